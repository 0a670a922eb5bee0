"""JSON Schema to a grammar tree. Every keyword is enforced, refused with its place, or listed as an annotation.

document.py   drafts, validity, references
leaves.py     sets of strings and of numbers: conjunctions with exact intersection and complement
shapes.py     sets of JSON values: unions of shapes, one JSON type each
keywords.py   what each keyword says, as shapes
algebra.py    evaluates schemas and sets of demands, each once
bounds.py     where unbounded things end, and how far maxima are counted
plans.py      arrays and objects as networks over demands, made by
arrays.py, objects.py, containers.py
compact.py    the plans of several alternatives as one
contents.py   which parts of a document are equal
texts.py      the characters of strings, numerals.py those of numbers
emit.py       plans and leaves as bytes, in a layout
left_out.py   what is left out, and at which places of the schema
fitting.py    how large a tree may become, and what gives way
compiler.py   the entry points
check.py      what a schema asks for that cannot be given
"""

from __future__ import annotations

from structdiff.frontends.json_schema.bounds import Bounds
from structdiff.frontends.json_schema.compiler import SchemaOptions, compile_schema, json_schema_tree

__all__ = ["Bounds", "SchemaOptions", "compile_schema", "json_schema_tree"]
