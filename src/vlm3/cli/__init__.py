"""The command line: one file a group of commands, assembled in `main`."""
