"""Tasks whose answers are written: sources and targets, prompts, and how a model writes."""
