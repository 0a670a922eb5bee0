"""What holds before any model is loaded: light imports, an installed command."""

import subprocess
import sys

HEAVY = ("torch", "transformers", "numba")


def test_import_is_light():
    code = "import sys, structdiff; print([name for name in sys.argv[1:] if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code, *HEAVY], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
