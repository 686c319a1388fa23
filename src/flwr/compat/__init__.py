"""The legacy API, as adapters on the rooms below: clients, the server's loop, strategies."""
