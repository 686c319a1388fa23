"""Links between hub, nodes, app processes and commands: typed calls over HTTP, and objects."""
