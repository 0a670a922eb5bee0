"""Settings of every test run."""

import os

# Read when torch is imported: threads that wait in a loop take the core from those they wait for.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# The tests' own model: small, in the package, the same on every machine.
os.environ["STRUCTDIFF_MODEL"] = "tiny"
