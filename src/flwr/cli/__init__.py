"""The ``flwr`` command: one file a command."""
