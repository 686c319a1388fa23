"""The agent beside the data: one exchange with the hub, a spool, and warm ClientApp workers."""
