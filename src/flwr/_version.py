"""The version, in a module of its own so that no room needs to import the root."""

__version__ = "1.41.0+wildflower.1"
