"""What apps import to set up the workers of other versions."""
