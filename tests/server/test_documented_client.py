"""The client that the documentation shows works as it stands, but for the port."""

from __future__ import annotations

import contextlib
import io
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

pytest.importorskip("openai")
PAGE = Path(__file__).parents[2] / "docs" / "server.md"


def test_the_documented_client_gets_a_valid_answer(running: Any) -> None:
    blocks = re.findall(r"^```python client\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert blocks
    for block in blocks:
        printed, names = io.StringIO(), {}
        code = block.replace("http://127.0.0.1:8000", running.url)
        assert code != block
        with contextlib.redirect_stdout(printed):
            exec(compile(code, str(PAGE), "exec"), names)
        jsonschema.validate(json.loads(printed.getvalue()), names["schema"])
