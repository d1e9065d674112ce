"""Predictions, their scores with intervals, and what they cost."""
