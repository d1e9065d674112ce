"""Taking heads, neurons and layers out of a model, and telling which of them matter least."""
