"""Finds, reads, splits, subsamples and audits data sets; knows no task."""
