"""JSON Schema to a grammar tree. Every keyword is enforced, refused with its place, or listed as an annotation.

document.py   drafts, validity, references
leaves.py     sets of strings and of numbers: conjunctions with exact intersection and complement
shapes.py     sets of JSON values: unions of shapes, one JSON type each
keywords.py   what each keyword says, as shapes
algebra.py    evaluates schemas and sets of demands, each once
containers.py  array and object shapes as networks over demands
emit.py       plans and leaves as bytes, in a layout
check.py      what a schema asks for that cannot be given
"""

from __future__ import annotations

from structdiff.frontends.json_schema.compiler import SchemaOptions, json_schema_tree
from structdiff.frontends.json_schema.containers import Bounds

__all__ = ["Bounds", "SchemaOptions", "json_schema_tree"]
