"""Texts as vectors, and rows of several texts."""
