"""What a schema asks for, keyword by keyword, before anything is generated: `structdiff.check`.

>>> report = check({"type": "array", "contains": {}, "uniqueItems": True, "title": "Tags"})
>>> report.ok, report.problems[0].keyword, report.annotations
(False, 'uniqueItems', [Note(pointer='', keyword='title', reason='says nothing about the value')])
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from referencing import Registry

from structdiff.core.errors import InvalidSchema, Unsatisfiable, UnsupportedSchema
from structdiff.core.restrictions import Restriction
from structdiff.frontends.json_schema.compiler import CompiledSchema, options_of


@dataclass(frozen=True)
class Problem:
    """Something in the schema that prevents exact output, and where; keyword is "" where none is to blame."""

    pointer: str
    keyword: str
    reason: str


@dataclass(frozen=True)
class Note:
    """A keyword that asserts nothing."""

    pointer: str
    keyword: str
    reason: str


@dataclass
class Report:
    """``problems`` stand in the way; ``annotations`` are keywords without force; ``restrictions`` are values that the
    schema allows and that are nevertheless never written (very long arrays, deep recursion)."""

    draft: str = ""
    problems: list[Problem] = field(default_factory=list)
    annotations: list[Note] = field(default_factory=list)
    restrictions: list[Restriction] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems


def check(schema: Any, *, registry: Registry | Mapping[str, Any] | None = None, **options: Any) -> Report:
    """Read ``schema`` as `json_schema_tree` would with these options and report instead of raising."""
    report = Report()
    try:
        compiled = CompiledSchema(schema, options_of(**options), registry)
    except UnsupportedSchema as error:
        report.problems.append(Problem(error.pointer, error.keyword, error.reason))
        return report
    except InvalidSchema as error:
        report.problems.append(Problem(error.pointer, "", str(error)))
        return report
    report.draft = compiled.document.draft
    try:
        report.restrictions = list(compiled.restrictions)
    except UnsupportedSchema as error:
        report.problems.append(Problem(error.pointer, error.keyword, error.reason))
        for other in compiled.each_alone():
            if Problem(*other) not in report.problems:
                report.problems.append(Problem(*other))
    except Unsatisfiable as error:
        report.problems.append(Problem(error.pointer, "", str(error)))
    found = {
        (at, keyword): reason
        for (pointer, keyword), reason in compiled.algebra.annotations.items()
        for at in compiled.algebra.everywhere(pointer)
    }
    report.annotations = [Note(*at, reason) for at, reason in sorted(found.items())]
    return report
