"""The story of one run, top to bottom; what Python users call."""
