"""Answers cut out of a context: columns, windows, and the search for the best span."""
