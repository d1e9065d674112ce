"""The command line: one thin file a command, arguments in, table and exit code out."""
