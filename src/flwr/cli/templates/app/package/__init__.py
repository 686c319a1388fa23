"""$description."""
