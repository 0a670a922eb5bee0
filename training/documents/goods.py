"""Names of goods by language: adjectives that may stand in front, and nouns."""

# ruff: noqa: E501 (lists of words read better on few lines)
from __future__ import annotations

GOODS = {
    "en": ("oak walnut steel cotton leather folding wireless ceramic compact electric bamboo wool portable glass rubber "
           "adjustable insulated vintage solar magnetic waterproof linen brass cordless",
           "desk|lamp|backpack|kettle|office chair|notebook|headset|water bottle|drill|jacket|keyboard|monitor stand|"
           "blender|rug|tent|bookshelf|toaster|umbrella|screwdriver set|coffee grinder|garden hose|bicycle pump|wall clock|"
           "mattress|router|printer paper|safety gloves|extension cable|paint roller|stapler|scarf|helmet|frying pan"),
    "de": ("", "Schreibtischlampe|Bürostuhl|Rucksack|Wasserkocher|Akkuschrauber|Regenjacke|Tastatur|Bücherregal|Zelt|"
           "Kaffeemühle|Gartenschlauch|Fahrradpumpe|Wanduhr|Matratze|Druckerpapier|Schutzhandschuhe|Verlängerungskabel|"
           "Farbroller|Teppich|Schraubendrehersatz|Bratpfanne|Toaster|Ordner A4|USB-Kabel|Blumentopf"),
    "fr": ("", "lampe de bureau|chaise pliante|sac à dos|bouilloire|perceuse|imperméable|clavier sans fil|étagère|tente|"
           "moulin à café|tuyau d'arrosage|pompe à vélo|horloge murale|matelas|ramette de papier|gants de protection|"
           "rallonge électrique|rouleau à peinture|tapis|poêle|grille-pain|cahier|pot de fleurs|écran 24 pouces"),
    "es": ("", "lámpara de mesa|silla de oficina|mochila|hervidor|taladro|impermeable|teclado inalámbrico|estantería|"
           "tienda de campaña|molinillo de café|manguera|bomba de bicicleta|reloj de pared|colchón|papel para impresora|"
           "guantes de seguridad|alargador|rodillo de pintura|alfombra|sartén|tostadora|cuaderno|maceta"),
    "it": ("", "lampada da tavolo|sedia da ufficio|zaino|bollitore|trapano|impermeabile|tastiera senza fili|libreria|tenda|"
           "macinacaffè|tubo da giardino|pompa per bicicletta|orologio da parete|materasso|carta per stampante|"
           "guanti da lavoro|prolunga|tappeto|padella|tostapane|quaderno|vaso di fiori"),
    "pt": ("", "candeeiro de mesa|cadeira de escritório|mochila|chaleira|berbequim|impermeável|teclado sem fios|estante|"
           "tenda|moinho de café|mangueira|bomba de bicicleta|relógio de parede|colchão|papel de impressora|"
           "luvas de trabalho|extensão elétrica|tapete|frigideira|torradeira|caderno|vaso"),
    "nl": ("", "bureaulamp|bureaustoel|rugzak|waterkoker|accuboor|regenjas|draadloos toetsenbord|boekenkast|tent|koffiemolen|"
           "tuinslang|fietspomp|wandklok|matras|printpapier|werkhandschoenen|verlengsnoer|verfroller|vloerkleed|koekenpan"),
    "pl": ("", "lampka biurkowa|krzesło biurowe|plecak|czajnik|wiertarka|kurtka przeciwdeszczowa|klawiatura|regał|namiot|"
           "młynek do kawy|wąż ogrodowy|pompka rowerowa|zegar ścienny|materac|papier do drukarki|rękawice robocze|"
           "przedłużacz|dywan|patelnia|toster"),
    "sv": ("", "skrivbordslampa|kontorsstol|ryggsäck|vattenkokare|borrmaskin|regnjacka|tangentbord|bokhylla|tält|kaffekvarn|"
           "trädgårdsslang|cykelpump|väggklocka|madrass|skrivarpapper|arbetshandskar|matta|stekpanna"),
    "da": ("", "skrivebordslampe|kontorstol|rygsæk|elkedel|boremaskine|regnjakke|tastatur|reol|telt|kaffekværn|haveslange|"
           "cykelpumpe|vægur|madras|printerpapir|arbejdshandsker|gulvtæppe|stegepande"),
    "tr": ("", "masa lambası|ofis koltuğu|sırt çantası|su ısıtıcısı|matkap|yağmurluk|kablosuz klavye|kitaplık|çadır|"
           "kahve değirmeni|bahçe hortumu|bisiklet pompası|duvar saati|yatak|yazıcı kâğıdı|iş eldiveni|halı|tava"),
}  # fmt: skip
