"""From a source (JSON Schema, regex, choices, table, grid) to a grammar tree, and from a tree to a byte automaton."""
