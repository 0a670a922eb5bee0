"""Puzzles on grids: seeded generators of instances with one solution, checkers, and the arms that solve them.

kinds.py   the kinds, their rules and their generators
texts.py   kinds that are no grids of letters: tables with totals, zebra, countdown
instances.py  seeded puzzles of every kind
check.py   is a solution right? Shares no code with the rules
arms.py    the model without and with shape and rules, and a plain solver, side by side
"""
