"""Constraints inside loops and tools of other packages; each module needs the package it is named after."""
