"""What is fitted to a classifier on the validation rows after training: temperature, thresholds."""
