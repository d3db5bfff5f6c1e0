"""The command line: a file a command or group of commands, assembled in `main`."""
