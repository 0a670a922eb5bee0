"""Extraction over many texts: reading records, running a model over them, and files that survive a kill."""
