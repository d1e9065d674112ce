"""Language modelling: blocks and windows of text, masks, and log-likelihoods."""
