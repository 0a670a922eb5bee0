"""structdiff: exact structured output for diffusion language models."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from structdiff.constraint.compile import compile
    from structdiff.constraint.constraint import Constraint
    from structdiff.constraint.plan import Plan
    from structdiff.core.errors import (
        BudgetTooSmall,
        CompileLimit,
        GenerationError,
        InvalidSchema,
        NothingToQuote,
        RepeatedKey,
        Restricted,
        StructdiffError,
        Unsatisfiable,
        UnsupportedSchema,
        UnsupportedTokenizer,
        ValidationFailed,
        VocabularyMismatch,
    )
    from structdiff.core.limits import Limits
    from structdiff.core.restrictions import Restriction, RestrictionWarning
    from structdiff.decode.policy import Policy
    from structdiff.frontends.choice import Choice
    from structdiff.frontends.grammar.source import GBNF, Lark
    from structdiff.frontends.grid.grid import Grid
    from structdiff.frontends.json_schema.check import Report, check
    from structdiff.frontends.pinned import Pinned
    from structdiff.frontends.regex.frontend import Regex
    from structdiff.frontends.registry import register
    from structdiff.frontends.table import Table
    from structdiff.frontends.tags import StructuralTag
    from structdiff.frontends.template import Edit, infill
    from structdiff.frontends.verbatim import Verbatim
    from structdiff.loading import load
    from structdiff.model import Model
    from structdiff.results.result import Failure, Result
    from structdiff.results.table import Results
    from structdiff.tokens.vocabulary import Vocabulary

__version__ = "0.2.0"

_HOME = {
    "structdiff.constraint.compile": ("compile",),
    "structdiff.constraint.constraint": ("Constraint",),
    "structdiff.constraint.plan": ("Plan",),
    "structdiff.decode.policy": ("Policy",),
    "structdiff.core.errors": (
        "BudgetTooSmall", "CompileLimit", "GenerationError", "InvalidSchema", "NothingToQuote", "RepeatedKey",
        "Restricted", "StructdiffError", "Unsatisfiable", "UnsupportedSchema", "UnsupportedTokenizer",
        "ValidationFailed", "VocabularyMismatch",
    ),
    "structdiff.model": ("Model",),
    "structdiff.results.result": ("Failure", "Result"),
    "structdiff.results.table": ("Results",),
    "structdiff.core.restrictions": ("Restriction", "RestrictionWarning"),
    "structdiff.frontends.registry": ("register",),
    "structdiff.core.limits": ("Limits",),
    "structdiff.frontends.json_schema.check": ("Report", "check"),
    "structdiff.frontends.pinned": ("Pinned",),
    "structdiff.frontends.choice": ("Choice",),
    "structdiff.frontends.regex.frontend": ("Regex",),
    "structdiff.frontends.table": ("Table",),
    "structdiff.frontends.tags": ("StructuralTag",),
    "structdiff.frontends.grid.grid": ("Grid",),
    "structdiff.frontends.grammar.source": ("GBNF", "Lark"),
    "structdiff.frontends.template": ("Edit", "infill"),
    "structdiff.frontends.verbatim": ("Verbatim",),
    "structdiff.loading": ("load",),
    "structdiff.tokens.vocabulary": ("Vocabulary",),
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "GBNF", "BudgetTooSmall", "Choice", "CompileLimit", "Constraint", "Edit", "Failure", "GenerationError", "Grid",
    "InvalidSchema", "Lark", "Limits", "Model", "NothingToQuote", "Pinned", "Plan", "Policy", "Regex", "RepeatedKey",
    "Report", "Restricted", "Restriction", "RestrictionWarning", "Result", "Results", "StructdiffError",
    "StructuralTag", "Table", "Unsatisfiable", "UnsupportedSchema", "UnsupportedTokenizer", "ValidationFailed",
    "Verbatim", "Vocabulary",
    "VocabularyMismatch", "check", "compile", "infill", "load", "register",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Public names are imported when first used: `import structdiff` alone loads neither torch nor transformers."""
    if name in _MODULE_OF:
        return getattr(import_module(_MODULE_OF[name]), name)
    raise AttributeError(f"module 'structdiff' has no attribute {name!r}")
