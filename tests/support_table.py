"""The support table of docs/json_schema.md, made from the record of the official suite.

python -m tests.support_table > docs/json_schema.md
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

GOLDEN = Path(__file__).parent / "golden" / "json_schema_suite.txt"

HEAD = """# JSON Schema

Every keyword is *enforced*, *refused* with its JSON Pointer and a reason, or an *annotation*. None is dropped.
`$schema` chooses between drafts 4, 6, 7, 2019-09 and 2020-12. Where it is absent, 2020-12 counts.
One keyword is structdiff's own: `x-verbatim` takes a string from the text ([verbatim](verbatim.md)).

`structdiff schema check` and `structdiff.check()` tell for a schema what is enforced, what is refused and where, and
which valid values are never written:

```python
import structdiff

report = structdiff.check({"type": "array", "contains": {}, "uniqueItems": True, "title": "Tags"})
assert not report.ok
assert report.problems[0].keyword == "uniqueItems"
assert [note.keyword for note in report.annotations] == ["title"]
```

## What is never written

What is written is a subset of what the schema allows, never more. `check` and `compile` name each
[restriction](limits.md#what-is-never-written) of a schema with its bound. They come from:

- **Recursion.** It goes three rounds and 16 nested values deep by default; `max_depth` chooses. Less for large ones.
- **Values without a schema.** They nest six levels deep as the whole output, and five in a member of it. Below two of
  these levels they hold no array directly in an array, no control character, and no number with a point behind more
  than ten digits. Fewer levels for large schemas.
- **Maxima.** `maxLength`, `maxItems` and `maxProperties` are counted as stated where the automaton has room for it. A
  string is counted to at most 8,192 characters. A maximum is never lowered below 48 characters or 4 items.

- **Unique items.** Items out of up to eight values come in any order, out of up to 300 in one order. Other items differ
  in a checksum: up to three in any order, and more, up to 13, in the order of their checksums. Fewer for large items.
- **Added keys that count.** Where `minProperties` asks for added keys, they differ in a checksum. More than four stand
  in the order of it.
- **Any order of keys.** Of more than eight keys, each comes before those listed up to four places ahead of it.
- **Excluded alternatives.** In open objects of large schemas, keys that only an excluded alternative of `oneOf` names.
  In arrays and objects inside each other, arrays below five levels.

Without a maximum a string or an array has no bound but the budget.

## What is refused

- `unevaluatedProperties` and `unevaluatedItems` beside more than 64 ways to satisfy the rest of the schema, and the
  latter beside `contains` in draft 2019-09
- `uniqueItems` beside `contains`, or over strings that are taken from the text
- the negation of formats that validators read differently
- dynamic references whose meaning depends on the path
- `minProperties` that needs more than twelve added keys
- backreferences in patterns
- remote references without a registry

## The official test suite

One row per file: how many of its tests pass, have their schema refused, or are valid values that are never written. A
false accept would fail the tests of this project; there is none. `python -m tests.support_table` makes this table from
the record in `tests/golden/`, with `extra_properties="schema"`.
"""


def support_table() -> str:
    """The page as Markdown."""
    counts: dict[str, Counter[str]] = {}
    for line in GOLDEN.read_text(encoding="utf-8").splitlines():
        name, outcome = line.rsplit(": ", 1)
        counts.setdefault(name.split(" | ")[0], Counter())[outcome] += 1
    lines = [HEAD, "| draft and file | pass | refused | never written | false accept |", "|---|---|---|---|---|"]
    total: Counter[str] = Counter()
    for name, found in sorted(counts.items()):
        total += found
        lines.append(_row(name.removesuffix(".json"), found))
    lines.append(_row("**all**", total))
    return "\n".join(lines) + "\n"


def _row(name: str, found: Counter[str]) -> str:
    return f"| {name} | {found['pass']} | {found['refused']} | {found['false reject']} | {found['false accept']} |"


if __name__ == "__main__":
    print(support_table(), end="")
