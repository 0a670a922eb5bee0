"""A misspelled option, which type checkers refuse; checked, never run."""

import structdiff

value = structdiff.load()("Ann", int, max_tokns=5)
