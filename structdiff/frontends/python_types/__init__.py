"""Python types as Pydantic checks them: classes, dataclasses, typed dicts, named tuples, enums and plain types.

frontend.py   the front end, and what a validator rejects
reader.py     a core schema as a JSON Schema that says all that is checked; its parts: base.py, validators.py,
              containers.py, classes.py, aliases.py, scalars.py, questions.py
functions.py  the validators that Pydantic itself adds as Python functions
texts.py      the named languages of text that such a schema may ask for
temporal.py  networks.py  encodings.py  decimals.py   these languages
"""

from __future__ import annotations

from structdiff.frontends.python_types.frontend import PythonTypeFrontEnd

__all__ = ["PythonTypeFrontEnd"]
