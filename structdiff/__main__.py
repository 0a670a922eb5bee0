"""``python -m structdiff``: the command line."""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    # Python puts the current folder first, where a file called email.py would stand in for the standard library's.
    told = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if sys.path and sys.path[0] in ("", os.getcwd()) and sys.path[0] not in told:
        del sys.path[0]
    from structdiff_cli.main import cli

    cli(prog_name="structdiff")
