"""Values come back with the type of their source, as far as mypy can tell."""

import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "typing"


def test_returns_are_typed(tmp_path):
    command = [sys.executable, "-m", "mypy", "--config-file", FOLDER / "mypy.ini", "--cache-dir", tmp_path]
    environment = os.environ | {"MYPYPATH": str(FOLDER.parents[1])}
    done = subprocess.run([*command, FOLDER / "returns.py"], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
