# ruff: noqa: E501 (sentences read better side by side)
"""What stands before and behind documents and says nothing that a schema asks for."""

from __future__ import annotations

import random
import re
from functools import cache
from importlib.resources import files

from training.documents.values import World, make_value

HEADS = {
    "en": ["FYI, see below.\n\n", "Please file this.\n\n", "---------- Forwarded message ----------\n\n", "Hi, can you process this one?\n\n",
           "COPY\n\n", "Page 1 of 2\n\n", "[scanned document]\n\n", "*** automatic message, please do not reply ***\n\n", "As discussed:\n\n",
           "Hello,\n\nthis is what we have on file:\n\n"],
    "de": ["Zur Info:\n\n", "Bitte ablegen.\n\n", "Seite 1 von 2\n\n", "KOPIE\n\n", "Wie besprochen:\n\n", "--- Weitergeleitete Nachricht ---\n\n"],
    "fr": ["Pour information :\n\n", "Comme convenu :\n\n", "COPIE\n\n", "Page 1 sur 2\n\n", "--- Message transféré ---\n\n"],
    "es": ["Para tu información:\n\n", "Como acordamos:\n\n", "COPIA\n\n", "Página 1 de 2\n\n", "--- Mensaje reenviado ---\n\n"],
    "it": ["Per conoscenza:\n\n", "Come d'accordo:\n\n", "COPIA\n\n", "Pagina 1 di 2\n\n"],
    "pt": ["Para informação:\n\n", "Como combinado:\n\n", "CÓPIA\n\n"],
    "nl": ["Ter info:\n\n", "Zoals besproken:\n\n", "KOPIE\n\n"],
    "pl": ["Do wiadomości:\n\n", "Zgodnie z ustaleniami:\n\n", "KOPIA\n\n"],
    "sv": ["För kännedom:\n\n", "KOPIA\n\n"],
    "da": ["Til orientering:\n\n", "KOPI\n\n"],
    "tr": ["Bilginize:\n\n", "KOPYA\n\n", "Konuştuğumuz gibi:\n\n"],
}  # fmt: skip
FEET = {
    "en": ["\n\nSent from my phone", "\n\nThis message is confidential. If you received it in error, please delete it.", "\n\nPage 1 of 1",
           "\n\nThank you!", "\n\nPlease consider the environment before printing.", "\n\nE. & O. E.", "\n\n-- end of document --",
           "\n\nThis document was generated automatically and is valid without a signature.", "\n\nLet me know if anything is unclear.",
           "\n\nAll information without guarantee."],
    "de": ["\n\nVielen Dank!", "\n\nDieses Dokument wurde maschinell erstellt und ist ohne Unterschrift gültig.", "\n\nSeite 1 von 1",
           "\n\nAlle Angaben ohne Gewähr.", "\n\nVon meinem Handy gesendet"],
    "fr": ["\n\nMerci !", "\n\nDocument généré automatiquement.", "\n\nEnvoyé depuis mon téléphone", "\n\nPage 1 sur 1"],
    "es": ["\n\n¡Gracias!", "\n\nDocumento generado automáticamente.", "\n\nEnviado desde mi móvil"],
    "it": ["\n\nGrazie!", "\n\nDocumento generato automaticamente.", "\n\nInviato dal mio telefono"],
    "pt": ["\n\nObrigado!", "\n\nDocumento gerado automaticamente."],
    "nl": ["\n\nBedankt!", "\n\nDit document is automatisch aangemaakt."],
    "pl": ["\n\nDziękujemy!", "\n\nDokument wygenerowany automatycznie."],
    "sv": ["\n\nTack!"],
    "da": ["\n\nTak!"],
    "tr": ["\n\nTeşekkürler!", "\n\nBu belge otomatik olarak oluşturulmuştur."],
}  # fmt: skip
INSTRUCTIONS = (
    "Extract the data.", "Read the document and fill in the fields.", "You extract structured data from documents.",
    "Use null for what the text does not say.", "Copy names exactly as they are written.", "Be precise.",
    "Fill the record from the text below. Do not guess.", "Extract the requested information from this message.",
)  # fmt: skip


def head(r: random.Random, language: str) -> str:
    return r.choice(HEADS[language])


def foot(r: random.Random, language: str) -> str:
    return r.choice(FEET[language])


ARGUMENTS = {"date": "-300-300", "int": "2-90", "money": "5-900", "person": "plain"}


@cache
def sentences() -> dict[str, list[str]]:
    """Sentences that tell of other things, by language."""
    found: dict[str, list[str]] = {}
    language = ""
    for line in (files("training.documents") / "filler.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            language = line[1:-1]
        elif line:
            found.setdefault(language, []).append(line)
    return found


def filler(w: World, count: int) -> list[str]:
    """``count`` different sentences at most, with values of their own."""
    r = w.r
    known = sentences()[w.language]

    def put(place: re.Match[str]) -> str:
        if place[1] == "year":
            return str(r.randint(1890, 2024))
        return make_value(w, place[1], ARGUMENTS.get(place[1], "")).shown

    return [re.sub(r"<(\w+)>", put, one) for one in r.sample(known, min(count, len(known)))]


def lengthened(w: World, text: str, count: int) -> str:
    """``text`` with sentences of filler: behind lines of prose, or as paragraphs of their own."""
    r = w.r
    blocks = text.split("\n\n")
    for sentence in filler(w, count):
        at = r.randrange(len(blocks))
        if r.random() < 0.6 and blocks[at].endswith((".", "!")) and "\n" not in blocks[at]:
            blocks[at] += " " + sentence
        elif r.random() < 0.3 and blocks[at].endswith((".", "!", "?")):
            blocks[at] += "\n" + sentence
        else:
            blocks.insert(at + (r.random() < 0.6), sentence)
    return "\n\n".join(blocks)
