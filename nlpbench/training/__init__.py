"""The training run: trainer, optimisation and callbacks."""
