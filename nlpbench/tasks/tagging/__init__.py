"""Words and their tags: columns, schemes, and windows over long sentences."""
