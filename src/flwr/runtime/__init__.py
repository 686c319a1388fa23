"""Inside an app process: workers, shared memory between them, and loading of apps."""
