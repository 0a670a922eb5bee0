"""How good extracted values are: compared with gold field by field, counted with intervals, reported."""
