"""Values come back with the type of their source, as far as mypy can tell."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "typing"


def test_returns_are_typed(tmp_path):
    command = [sys.executable, "-m", "mypy", "--config-file", FOLDER / "mypy.ini", "--cache-dir", tmp_path]
    environment = os.environ | {"MYPYPATH": str(FOLDER.parents[1])}
    done = subprocess.run([*command, FOLDER / "returns.py"], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr


def _strict(tmp_path, name):
    config = tmp_path / "mypy.ini"
    config.write_text((FOLDER / "mypy.ini").read_text() + "\n[mypy-user,wrong_option]\nstrict = True\n")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", config, "--cache-dir", tmp_path / "cache"]
    environment = os.environ | {"MYPYPATH": str(FOLDER.parents[1])}
    return subprocess.run([*command, FOLDER / name], capture_output=True, text=True, env=environment)


def test_a_users_file_under_mypy_strict(tmp_path):
    found = _strict(tmp_path, "user.py")
    mine = [line for line in found.stdout.splitlines() if "user.py" in line]
    assert not mine, found.stdout
    wrong = _strict(tmp_path, "wrong_option.py")
    assert 'did you mean "max_tokens"?' in wrong.stdout, wrong.stdout


def test_a_users_file_under_basedpyright(tmp_path):
    pytest.importorskip("basedpyright")
    files = [str(FOLDER / name) for name in ("user.py", "wrong_option.py")]
    config = tmp_path / "pyrightconfig.json"
    config.write_text(json.dumps({"include": files, "extraPaths": [str(FOLDER.parents[1])]}))
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "-p", str(config), "--pythonpath", sys.executable]
    done = subprocess.run(command, capture_output=True, text=True)
    report = json.loads(done.stdout)
    errors = [one for one in report["generalDiagnostics"] if one["severity"] == "error"]
    assert [Path(one["file"]).name for one in errors] == ["wrong_option.py"], errors
    assert report["summary"]["filesAnalyzed"] == 2
