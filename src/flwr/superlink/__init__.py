"""The hub: Fleet, AppIo and Control services, and the processes of runs."""
