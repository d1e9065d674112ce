"""What a run leaves behind: its record, its files and its row in a table; knows no torch."""
