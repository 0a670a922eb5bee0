"""Training data: a text, a schema and the JSON that the text states.

A record is a handful of fields; every field has key aliases, clause templates and a value generator, and a text is the
fields' clauses in random order, so that wordings multiply. Most string values are random syllables: the model can only
copy them. Made-up keys with made-up values teach to look a key up in the
text. Held-out splits use values that training never sees (``"values"``) and, with them, clause templates
(``"wordings"``) or keys and combinations of fields (``"schemas"``).

>>> sorted(make_example(random.Random(1)))
['answer', 'kind', 'prompt', 'schema', 'text', 'value']
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

from structdiff.frontends.prompt import (
    build_choice_prompt,
    build_grid_prompt,
    build_prompt,
    build_regex_prompt,
    build_table_prompt,
)
from training.fields import DOMAINS, FIELDS, GENERIC, NO, TEXT, WORDINGS, YES, Clauses
from training.grids import make_grid
from training.values import (
    LETTERS,
    WORDS,
    company,
    key,
    money,
    person,
    place,
    spelled_date,
    spelled_number,
    syllables,
    thing,
    word,
)

Example = dict[str, Any]
KINDS = ("object", "document", "label", "code", "table", "grid")
SPLITS = ("train", "values", "wordings", "schemas")

OPENERS = ("Hello, ", "Hi team, ", "", "", "", "", "Note: ", "FYI ", "Good morning, ", "Update: ", "Dear all, ")
FILLERS = ("thanks for your help", "see you soon", "please confirm", "more details later", "let me know", "that is all",
           "we talked about it", "the weather was fine", "sorry for the delay", "it was a long day")  # fmt: skip
CHOICES: dict[str, dict[str, str]] = {
    "sentiment": {"positive": "great|love it|works perfectly|very happy|excellent|wonderful|so good|I am delighted",
                  "negative": "terrible|hate it|useless|very angry|awful|a waste|so bad|I am disappointed",
                  "neutral": "it arrived|as expected|average|it is okay|it is fine|normal|so so|nothing special"},
    "kind": {"bug": "crashes|error|does not work|fails|broken|freezes|stopped working|wrong result",
             "feature": "please add|would be nice|I wish|could you support|add an option|new function|"
                        "would love to have|we miss",
             "question": "how do I|where is|what does|can I|why is|is it possible|who can|when will"},
    "topic": {"billing": "invoice|refund|charged twice|payment|my bill|the fee|the money|a receipt",
              "delivery": "package|late|courier|shipping|not arrived|parcel|still waiting for it|the driver",
              "account": "password|login|my account|sign in|username|locked out|my profile|log in"},
}  # fmt: skip
LINES, PAIRS, ADDRESSES = WORDINGS["lines"], WORDINGS["pairs"], WORDINGS["addresses"]
MODIFIERS = WORDINGS["modifiers"]
COLORS = ("black", "white", "red", "green", "blue", "silver")


def part(clauses: Sequence[str], split: str) -> list[str]:
    """The clauses a split may use: those marked in the file of wordings, else the last fifth, are held out of training.

    >>> part(["a", "b", "c", "d", "e"], "train"), part(["a", "b", "c", "d", "e"], "wordings")
    (['a', 'b', 'c', 'd'], ['e'])
    """
    held = clauses.held if isinstance(clauses, Clauses) else max(1, len(clauses) // 5)
    return list(clauses[-held:] if split == "wordings" else clauses[:-held])


def shown(r: random.Random, value: Any, schema: Any) -> str:
    """A value as a text writes it: dates and amounts of money in several spellings."""
    if schema.get("format") == "date" and r.random() < 0.5:
        return spelled_date(r, value)
    return spelled_number(r, value) if isinstance(value, float) else str(value)


def say(r: random.Random, name: str, value: Any, split: str) -> str:
    if isinstance(value, bool):
        return r.choice(part(YES if value else NO, split))
    return r.choice(part(FIELDS[name].clauses, split)).replace("{v}", shown(r, value, FIELDS[name].schema))


def vary(r: random.Random, clause: str) -> str:
    """In training a quarter of the clauses get a modifier before or behind them."""
    if r.random() > 0.25:
        return clause
    modifier = r.choice(MODIFIERS)
    return r.choice(
        [f"{modifier} {clause}", f"{modifier}, {clause}", f"{clause}, {modifier}", f"{clause} ({modifier})"]
    )


PARAPHRASES = {
    "status": {"open": "not done yet|still in progress|nobody has finished it|unresolved",
               "closed": "done|resolved|completed|all finished|settled and over",
               "pending": "waiting for approval|on hold|not decided yet|awaiting an answer"},
    "priority": {"low": "no rush|whenever you find time|can wait|not important",
                 "medium": "normal importance|nothing special, but soon|of average weight",
                 "high": "very important|really matters|please hurry|a pressing matter",
                 "urgent": "as soon as possible|drop everything|right now please|an emergency"},
    "currency": {"EUR": "in euros|euro|paid in euro", "USD": "in dollars|US dollars|American dollars",
                 "GBP": "in pounds|pounds sterling|British pounds", "CHF": "in francs|Swiss francs|Swiss money"},
}  # fmt: skip
WORDS_OF_NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve".split()  # noqa: SIM905


def paraphrase(r: random.Random, name: str, value: Any) -> str | None:
    """In training, at times: an enum's member in other words, or a small number as a word. None: as it is."""
    if name in PARAPHRASES and r.random() < 0.25:
        return r.choice(PARAPHRASES[name][value].split("|"))
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 12 and r.random() < 0.2:
        clause: str = r.choice(part(FIELDS[name].clauses, "train"))
        return clause.replace("{v}", WORDS_OF_NUMBERS[value])
    return None


TELLING = ("email", "date", "time", "price", "currency", "code", "sku", "phone", "status", "priority", "color")
"""Fields whose values can be told by their form alone, where no other such field stands beside them."""
ALIKE = ({"code", "sku", "phone"}, {"age", "quantity", "guests", "nights", "dose", "rating", "price"})


def say_strangely(r: random.Random, name: str, value: Any) -> str:
    """The value among words that say nothing: its form alone tells which field it is."""
    words = [r.choice(WORDS) if r.random() < 0.7 else syllables(r, 1, 2) for _ in range(r.randint(0, 4))]
    words.insert(r.randint(0, len(words)), shown(r, value, FIELDS[name].schema))
    return " ".join(words)


def told_by_form(name: str, names: Sequence[str]) -> bool:
    """Whether no other field of an object has values of the same form.

    >>> told_by_form("date", ["date", "name"]), told_by_form("code", ["code", "sku"]), told_by_form("name", ["name"])
    (True, False, False)
    """
    if name not in TELLING or "" in names:
        return False
    return not any({name, other} <= group for group in ALIKE for other in names if other != name)


Parts = tuple[dict[str, Any], dict[str, Any], list[str]]


def made_up(r: random.Random, split: str) -> tuple[str, dict[str, Any], Any, str]:
    """(key, schema, value, clause) of a field whose key is a made-up word that the text repeats."""
    name = key(r, split)
    spoken = name.replace("_", " ").replace("-", " ") if r.random() < 0.8 else name
    kind = r.random()
    if kind < 0.6:
        schema: dict[str, Any] = {"type": "string"}
        value: Any = r.choice([word, thing, person, place])(r, split)
    elif kind < 0.85:
        schema, value = {"type": "integer"}, r.choice([r.randint(0, 20), r.randint(0, 999), r.randint(1000, 50000)])
    else:
        schema, value = {"type": "number"}, money(r, split)
    clause = r.choice(part(GENERIC, split)).replace("{k}", spoken).replace("{v}", shown(r, value, schema))
    return name, schema, value, clause


def make_object(r: random.Random, names: Sequence[str], split: str, optional: bool = True) -> Parts:
    """(schema, value, clauses) of an object with these fields ("" for made-up ones); with ``optional`` some may be
    absent or null."""
    properties: dict[str, Any] = {}
    value: dict[str, Any] = {}
    said: list[str] = []
    required: list[str] = []
    optional_share, null_share = r.choice([(0.0, 0.0), (0.0, 0.0), (0.4, 0.0), (0.0, 0.4)]) if optional else (0.0, 0.0)
    described = r.random() < 0.2
    for name in names:
        if name:
            spec = FIELDS[name]
            named = r.choice(spec.held_keys if split == "schemas" else spec.keys)
            schema, made = spec.schema, spec.make(r, split)
            clause = say(r, name, made, split)
            if split == "train":
                if told_by_form(name, names) and r.random() < 0.15:
                    clause = say_strangely(r, name, made)
                clause = vary(r, paraphrase(r, name, made) or clause)
            if described and r.random() < 0.7:
                schema = {**schema, "description": r.choice(spec.notes)}
        else:
            named, schema, made, clause = made_up(r, split)
        if named in properties:
            continue
        properties[named] = schema
        left_out = r.random() < optional_share
        if not left_out:
            required.append(named)
        if "type" in schema and r.random() < null_share:
            properties[named] = {**schema, "type": [schema["type"], "null"]}
            if r.random() < 0.5:
                value[named] = None
                continue
        elif left_out and r.random() < 0.5:
            continue
        value[named] = made
        said.append(clause)
    return {"type": "object", "properties": properties, "required": required}, value, said


def add(parts: Parts, key: str, schema: Any, value: Any, said: Sequence[str]) -> Parts:
    """The object with one more required member, unless the key is taken."""
    whole, values, clauses = parts
    if key in whole["properties"]:
        return parts
    properties = {**whole["properties"], key: schema}
    return (
        {**whole, "properties": properties, "required": [*whole["required"], key]},
        {**values, key: value},
        [*clauses, *said],
    )


def line_form(r: random.Random, priced: bool) -> str:
    """In training half of the lines are put together from parts in any order.

    >>> line_form(random.Random(4), True)
    'some {i} | no. {q} | @ {p}'
    """
    parts = [r.choice(WORDINGS[f"line {what}"]) for what in ("item", "quantity", "price")[: 2 + priced]]
    r.shuffle(parts)
    return r.choice([" ", " ", ", ", ", ", " - ", " / ", ": ", " | ", " -- "]).join(parts)


def make_lines(
    r: random.Random, split: str, count: int, priced: bool | None = None
) -> tuple[dict[str, Any], list[dict[str, Any]], str]:
    """(columns with their schemas, rows, what a text says of them) of line items."""
    name_key, quantity_key = (
        r.choice(["name", "item", "product", "article"]),
        r.choice(["quantity", "count", "qty", "units"]),
    )
    price_key = r.choice(["price", "cost", "unit_price"])
    priced = r.random() < 0.4 if priced is None else priced
    rows = [{name_key: thing(r, split), quantity_key: r.randint(1, 30)} for _ in range(count)]
    columns: dict[str, Any] = {name_key: {"type": "string"}, quantity_key: {"type": "integer"}}
    if priced:
        columns[price_key] = {"type": "number"}
        rows = [{**row, price_key: money(r, split)} for row in rows]
    form = r.choice(part(LINES if priced else PAIRS, split))
    if split == "train" and r.random() < 0.5:
        form = line_form(r, priced)
    lines = [
        form.replace("{q}", str(row[quantity_key]))
        .replace("{i}", str(row[name_key]))
        .replace("{p}", f"{row.get(price_key, 0):.2f}")
        for row in rows
    ]
    return columns, rows, r.choice([", ", " and ", "\n", "; "]).join(lines)


def add_lines(r: random.Random, parts: Parts, split: str) -> Parts:
    """With an array of objects: line items."""
    columns, rows, said = make_lines(r, split, r.choice([1, 2, 2, 3]))
    items = {"type": "object", "properties": columns, "required": list(columns)}
    return add(parts, r.choice(["items", "lines", "products"]), {"type": "array", "items": items}, rows, [said])


def add_list(r: random.Random, parts: Parts, split: str) -> Parts:
    """With an array of strings or of enum members."""
    if r.random() < 0.5:
        chosen, items = r.sample(COLORS, r.randint(1, 3)), {"enum": list(COLORS)}
        key, forms = r.choice(["colors", "colours"]), WORDINGS["colors"]
    else:
        chosen, items = [syllables(r, 1, 2) for _ in range(r.randint(1, 3))], {"type": "string"}
        key, forms = r.choice(["tags", "keywords", "labels"]), WORDINGS["tags"]
    listed = r.choice([", ", " and ", " or "]).join(chosen)
    return add(
        parts, key, {"type": "array", "items": items}, chosen, [r.choice(part(forms, split)).replace("{v}", listed)]
    )


def add_address(r: random.Random, parts: Parts, split: str) -> Parts:
    """With an object inside: street and town, at times the code of the country."""
    value = {"street": f"{word(r, split)} {r.randint(1, 99)}", "city": place(r, split)}
    schema: dict[str, Any] = {"type": "object", "properties": {"street": TEXT, "city": TEXT}, "required": list(value)}
    said = r.choice(part(ADDRESSES, split)).replace("{s}", value["street"]).replace("{c}", value["city"])
    if r.random() < 0.4:
        value["country"] = "".join(r.choice(LETTERS) for _ in range(2))
        said += r.choice([", ", " "]) + value["country"]
        schema["properties"] = {**schema["properties"], "country": {"type": "string", "pattern": "^[A-Z]{2}$"}}
        schema["required"] = list(value)
    return add(parts, r.choice(["address", "location"]), schema, value, [said])


def add_nested(r: random.Random, parts: Parts, split: str) -> Parts:
    """With an object inside: an address, or a person or firm (in one clause), at times with an address."""
    if r.random() < 0.4:
        return add_address(r, parts, split)
    inner = make_object(r, r.sample(["name", "email", "phone", "city", "company"], r.choice([1, 2, 2])), split)
    if r.random() < 0.3:
        inner = add_address(r, inner, split)
    schema, value, said = inner
    key = r.choice(["seller", "buyer", "customer", "contact", "owner", "sender", "guest", "patient"])
    return add(parts, key, schema, value, [r.choice([", ", " "]).join(said)])


def add_choice(r: random.Random, parts: Parts, split: str) -> Parts:
    """With an object inside of one of two forms, told apart by the constant that comes first."""
    forms, values = [], []
    for kind, names in r.sample([("flight", ["city", "date"]), ("hotel", ["hotel", "date", "nights"]),
                                 ("train", ["city", "time"]), ("table", ["guests", "time"])], 2):  # fmt: skip
        schema, value, said = make_object(r, names, split)
        forms.append({**schema, "properties": {"kind": {"const": kind}, **schema["properties"]},
                      "required": ["kind", *schema["required"]]})  # fmt: skip
        values.append(({"kind": kind, **value}, [f"{r.choice(['a', 'one', 'the'])} {kind}, {', '.join(said)}"]))
    value, said = r.choice(values)
    return add(parts, r.choice(["booked", "booking", "service"]), {"anyOf": forms}, value, said)


def make_document(r: random.Random, split: str) -> Example:
    """A form of several lines, as orders and invoices have: fields, objects inside, lists; one to four canvases."""
    names = list(DOMAINS[r.choice(list(DOMAINS))]) if split != "schemas" else list(FIELDS)
    parts = make_object(r, r.sample(names, r.choice([1, 2, 3, 3])), split)
    ways = r.sample([add_nested, add_nested, add_lines, add_list, add_choice], r.choice([1, 2, 2]))
    for way in ways:
        parts = way(r, parts, split)
    schema, value, said = parts
    order = list(schema["properties"])
    r.shuffle(order)
    schema = {**schema, "properties": {key: schema["properties"][key] for key in order}}
    value = {key: value[key] for key in order if key in value}
    return as_object("document", r, schema, value, said)


def write_text(r: random.Random, said: Sequence[str], keep: Sequence[str] = ()) -> str:
    """The clauses as one text. Clauses that begin with a value (``keep``) are not given a capital."""
    said = list(said)
    if r.random() < 0.7:
        r.shuffle(said)
    if r.random() < 0.3:
        said.insert(r.randint(0, len(said)), r.choice(FILLERS))
    joiners = r.choice([[", "], [". "], [", ", ". "], ["; "], ["\n"], [", ", " and ", ". "]])
    text = r.choice(OPENERS)
    for i, clause in enumerate(said or [r.choice(FILLERS)]):
        joiner = r.choice(joiners) if i else ""
        starts = not text or joiner in (". ", "\n")
        free = starts and not any(clause.startswith(value) for value in keep)
        text += joiner + (clause[:1].upper() + clause[1:] if free and r.random() < 0.8 else clause)
    return text + r.choice([".", ".", "", "!"])


def strings(value: Any) -> list[str]:
    """Every string in ``value``."""
    if isinstance(value, dict):
        return [s for member in value.values() for s in strings(member)]
    if isinstance(value, list):
        return [s for member in value for s in strings(member)]
    return [value] if isinstance(value, str) else []


def make_example(r: random.Random, split: str = "train") -> Example:
    """One example; ``split`` is "train", or "values" (unseen values), "wordings" or "schemas" (those with unseen clause
    templates, or with unseen keys and combinations)."""
    if r.random() < 0.15:
        return make_document(r, split)
    kind = r.random()
    if split == "schemas":
        kind = 0.3 + 0.7 * kind
    if kind < 0.06:
        return make_label(r, split)
    if kind < 0.09:
        return make_code(r, split)
    if kind < 0.12:
        return make_table(r, split)
    if kind < 0.20:
        return make_puzzle(r, split)
    names = list(DOMAINS[r.choice(list(DOMAINS))]) if kind > 0.45 and split != "schemas" else list(FIELDS)
    size = min(len(names), r.choice([1, 2, 2, 3, 3, 3, 4, 4, 5]))
    if kind > 0.78:
        size = min(size, 2)
    chosen = r.sample(names, size)
    if kind < 0.40:
        chosen = ["" if r.random() < 0.6 else name for name in chosen]
    parts = make_object(r, chosen, split)
    if kind > 0.89:
        parts = add_lines(r, parts, split)
    elif kind > 0.83:
        parts = add_nested(r, parts, split)
    elif kind > 0.78:
        parts = add_list(r, parts, split)
    schema, value, said = parts
    if r.random() < 0.25:  # a fact nobody asks for
        other = r.choice([name for name in FIELDS if not set(FIELDS[name].keys) & set(schema["properties"])])
        if not any(same_kind(FIELDS[other].schema, p) for k, p in schema["properties"].items() if value.get(k) is None):
            said = [*said, say(r, other, FIELDS[other].make(r, split), split)]
    return as_object("object", r, schema, value, said)


def as_object(kind: str, r: random.Random, schema: Any, value: Any, said: Sequence[str]) -> Example:
    """An example whose answer is JSON and whose text is made of these clauses."""
    text = write_text(r, said, strings(value))
    return as_example(kind, build_prompt(text, schema), schema, text, value, json.dumps(value, ensure_ascii=False))


def as_example(kind: str, prompt: str, schema: Any, text: str, value: Any, answer: str) -> Example:
    """``kind`` is one of `KINDS`; the schema of a grid or a table only names it."""
    return {"kind": kind, "prompt": prompt, "schema": schema, "text": text, "value": value, "answer": answer}


def same_kind(one: Any, other: Any) -> bool:
    """Whether a value of one schema might be taken for one of the other: a fact could fill an absent field."""
    kinds = [
        set(schema["type"] if isinstance(schema.get("type"), list) else [schema.get("type")]) - {"null"}
        for schema in (one, other)
    ]
    return bool(kinds[0] & kinds[1])


def make_puzzle(r: random.Random, split: str) -> Example:
    """A grid with empty cells; the answer is the completed grid, in lines."""
    kind, puzzle, solution = make_grid(r, held_out=split != "train")
    return as_example("grid", build_grid_prompt(puzzle, kind), {"grid": kind}, puzzle, solution, solution)


def make_table(r: random.Random, split: str) -> Example:
    """Line items; the answer is a table of them, in Markdown or CSV."""
    columns, rows, said = make_lines(r, split, r.choice([1, 2, 2, 3]))
    style = r.choice(["markdown", "csv"])
    cells = [list(columns), *([str(row[name]) for name in columns] for row in rows)]
    if style == "csv":
        lines = [",".join(row) for row in cells]
    else:
        lines = [f"| {' | '.join(row)} |" for row in cells]
        lines.insert(1, "|" + "|".join(" --- " for _ in columns) + "|")
    text, answer = write_text(r, [said], strings(rows)), "\n".join(lines)
    schema = {"table": columns, "style": style}
    return as_example("table", build_table_prompt(text, columns, style), schema, text, answer, answer)


def make_invoice(r: random.Random, split: str) -> Example:
    """A number, a firm, a date and three line items with prices: an answer of two canvases."""
    parts = make_object(r, ["code", "company", "date"], split, optional=False)
    columns, rows, said = make_lines(r, split, 3, priced=True)
    items = {"type": "object", "properties": columns, "required": list(columns)}
    schema, value, clauses = add(parts, "items", {"type": "array", "items": items}, rows, [said])
    return as_object("invoice", r, schema, value, clauses)


def make_label(r: random.Random, split: str) -> Example:
    """A text and a list of labels; the answer is one of them."""
    groups = CHOICES[r.choice(list(CHOICES))]
    label = r.choice(list(groups))
    cue = r.choice(part(groups[label].split("|"), split))
    subject = f"{r.choice(['the', 'my', 'this', 'your'])} {thing(r, split)}"
    text = r.choice([f"{subject}: {cue}.", f"{cue}, {subject}.", f"{cue} {subject}.", f"{subject}, {cue}!"])
    text = r.choice(OPENERS) + text + r.choice(["", "", f" {r.choice(FILLERS)}."])
    options = list(groups)
    r.shuffle(options)
    return as_example("label", build_choice_prompt(text, options), {"enum": options}, text, label, label)


def make_code(r: random.Random, split: str) -> Example:
    """A pattern and a text with one code that matches it; the answer is the code."""
    letters, digits, dash = r.randint(1, 3), r.randint(2, 5), r.choice(["-", ""])
    answer = "".join(r.choice(LETTERS) for _ in range(letters)) + dash
    answer += "".join(r.choice("0123456789") for _ in range(digits))
    pattern = f"[A-Z]{{{letters}}}{dash}" + r.choice([rf"\d{{{digits}}}", f"[0-9]{{{digits}}}", r"\d+", "[0-9]+"])
    forms = ("the code is {v}", "order {v}", "see {v}", "{v} is the number", "reference {v}", "your ticket {v}",
             "about {v}",              "part {v}", "invoice {v}", "it is labelled {v}")  # fmt: skip
    other = r.choice(
        [f"for {person(r, split)}", f"from {company(r, split)}", f"{r.randint(2, 90)} pieces", r.choice(FILLERS)]
    )
    text = write_text(r, [r.choice(part(forms, split)).replace("{v}", answer), other], [answer])
    schema = {"type": "string", "pattern": pattern}
    return as_example("code", build_regex_prompt(text, pattern), schema, text, answer, answer)
