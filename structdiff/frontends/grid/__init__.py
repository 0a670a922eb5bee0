"""Grids: cells of one token each, givens and delimiters as anchors, rules over the cells.

rules.py      what a rule is: a small automaton over the letters of its cells
grid.py       the source `Grid` and how its text is laid out
frontend.py   how a grid is read as a source
solve.py      arc consistency, beliefs, and the exact best grid
refine.py     the rules inside the denoising loop
"""
