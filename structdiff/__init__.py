"""structdiff: exact structured output for diffusion language models."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from structdiff.constraint import Constraint, Plan, compile
    from structdiff.denoise.policy import Policy
    from structdiff.errors import (
        BudgetTooSmall,
        CompileLimit,
        GenerationError,
        InvalidSchema,
        StructdiffError,
        Unsatisfiable,
        UnsupportedSchema,
        UnsupportedTokenizer,
    )
    from structdiff.extract import Model, Result
    from structdiff.grammar.automaton import Limits
    from structdiff.grammar.json_schema.check import Report, check
    from structdiff.grammar.table import Table
    from structdiff.grids.grid import Grid
    from structdiff.holes import Edit, infill
    from structdiff.models.loading import load
    from structdiff.prefill import Pinned
    from structdiff.source import Choice, Regex
    from structdiff.vocabulary.vocabulary import Vocabulary

__version__ = "0.1.0"

_HOME = {
    "structdiff.constraint": ("Constraint", "Plan", "compile"),
    "structdiff.denoise.policy": ("Policy",),
    "structdiff.errors": (
        "BudgetTooSmall", "CompileLimit", "GenerationError", "InvalidSchema", "StructdiffError", "Unsatisfiable",
        "UnsupportedSchema", "UnsupportedTokenizer",
    ),
    "structdiff.extract": ("Model", "Result"),
    "structdiff.grammar.automaton": ("Limits",),
    "structdiff.grammar.json_schema.check": ("Report", "check"),
    "structdiff.prefill": ("Pinned",),
    "structdiff.source": ("Choice", "Regex"),
    "structdiff.grammar.table": ("Table",),
    "structdiff.grids.grid": ("Grid",),
    "structdiff.holes": ("Edit", "infill"),
    "structdiff.models.loading": ("load",),
    "structdiff.vocabulary.vocabulary": ("Vocabulary",),
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "BudgetTooSmall", "Choice", "CompileLimit", "Constraint", "Edit", "GenerationError", "Grid", "InvalidSchema",
    "Limits", "Model", "Pinned", "Plan", "Policy", "Regex", "Report", "Result", "StructdiffError", "Table",
    "Unsatisfiable", "UnsupportedSchema", "UnsupportedTokenizer", "Vocabulary", "check", "compile", "infill", "load",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Public names are imported when first used: `import structdiff` alone loads neither torch nor transformers."""
    if name in _MODULE_OF:
        return getattr(import_module(_MODULE_OF[name]), name)
    raise AttributeError(f"module 'structdiff' has no attribute {name!r}")
