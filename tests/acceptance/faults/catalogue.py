"""Faults that people meet, and what the terminal has to say of each.

The list was written before the code that handles them. Each one is injected as it happens to a
user, into the command that the user has typed; that command ends with an error, and `cause` is in
its terminal within `SECONDS` of the fault. Where a run is patient (a node is dead, nodes are
missing), what it waits for is named by then, and its end names the cause.

`where` says what it takes: a run in place (``simulation``), a hub and nodes (``deployment``), or
only the command (``command``).
"""

from dataclasses import dataclass
from typing import Literal

SECONDS = 5.0


@dataclass(frozen=True)
class Fault:
    """One of them.

    Attributes
    ----------
    name : str
        Of the function that injects it, see ``test_faults.py``.
    where : str
        What it takes.
    how : str
        What is done, in a few words.
    causes : tuple of str
        Texts that have to be in the terminal.
    within : int or None
        How many of them must be there within `SECONDS`: the rest come when what was waited for has
        not come. None: all of them.
    """

    name: str
    where: Literal["simulation", "deployment", "command"]
    how: str
    causes: tuple[str, ...]
    within: int | None = None


CATALOGUE = (
    # --- apps that do not load
    Fault(
        "server_import",
        "simulation",
        "the ServerApp's module imports a package that is not installed",
        ("ServerApp 'tiny.server_app:app'", "No module named 'nowhere_to_be_found'", "pip install"),
    ),
    Fault(
        "server_import_at_hub",
        "deployment",
        "the same, where only the SuperLink lacks the package",
        ("ServerApp 'tiny.server_app:app'", "No module named 'nowhere_to_be_found'", "SuperLink"),
    ),
    Fault(
        "client_import",
        "simulation",
        "the ClientApp's module imports a package that is not installed",
        ("ClientApp 'tiny.client_app:app'", "No module named 'nowhere_to_be_found'", "pip install"),
    ),
    Fault(
        "client_import_at_node",
        "deployment",
        "the same, where only the nodes lack the package",
        ("node", "ClientApp 'tiny.client_app:app'", "No module named 'nowhere_to_be_found'"),
    ),
    Fault(
        "syntax_error",
        "simulation",
        "the ClientApp's module has a syntax error",
        ("SyntaxError", "client_app.py", "def def"),
    ),
    Fault(
        "no_such_attribute",
        "simulation",
        "the reference to the ServerApp names an attribute that is not there",
        ("components.serverapp", "'tiny/server_app.py' defines no 'nothing'"),
    ),
    Fault(
        "no_such_module",
        "simulation",
        "the reference to the ClientApp names a module that is not there",
        ("clientapp", "tiny.nothing"),
    ),
    # --- exceptions in each function of an app
    Fault(
        "main_raises",
        "simulation",
        "the ServerApp's main raises",
        ("ValueError: broken main", "server_app.py", "in main"),
    ),
    Fault(
        "main_raises_at_hub",
        "deployment",
        "the same at a SuperLink",
        ("ValueError: broken main", "server_app.py", "in main"),
    ),
    Fault(
        "train_raises",
        "simulation",
        "the ClientApp's train raises on all nodes",
        ("at node", "ValueError: broken train", "client_app.py"),
    ),
    Fault(
        "train_raises_at_node",
        "deployment",
        "the same on real nodes",
        ("at node", "ValueError: broken train", "client_app.py"),
    ),
    Fault(
        "evaluate_raises",
        "simulation",
        "the ClientApp's evaluate raises on all nodes",
        ("at node", "ValueError: broken evaluate", "client_app.py"),
    ),
    Fault(
        "query_raises",
        "simulation",
        "the ClientApp's query raises on all nodes",
        ("at node", "ValueError: broken query", "client_app.py"),
    ),
    Fault(
        "server_lifespan_raises",
        "simulation",
        "the ServerApp's lifespan raises before main",
        ("ValueError: broken lifespan", "server_app.py"),
    ),
    Fault(
        "client_lifespan_raises",
        "simulation",
        "the ClientApp's lifespan raises before the first message",
        ("at node", "ValueError: broken lifespan", "client_app.py"),
    ),
    Fault(
        "mod_raises",
        "simulation",
        "a mod raises",
        ("at node", "ValueError: broken mod", "client_app.py"),
    ),
    Fault(
        "metrics_function_raises",
        "simulation",
        "train_metrics_aggr_fn raises",
        ("ValueError: broken metrics", "server_app.py"),
    ),
    Fault(
        "configure_raises",
        "simulation",
        "a strategy's configure_train raises",
        ("ValueError: broken configure", "server_app.py", "in configure_train"),
    ),
    Fault(
        "aggregate_raises",
        "simulation",
        "a strategy's aggregate_train raises",
        ("ValueError: broken aggregate", "server_app.py", "in aggregate_train"),
    ),
    Fault(
        "evaluate_fn_raises",
        "simulation",
        "evaluate_fn raises",
        ("ValueError: broken evaluate_fn", "server_app.py"),
    ),
    Fault(
        "server_exits",
        "simulation",
        "the ServerApp calls sys.exit(3)",
        ("the app called sys.exit(3)",),
    ),
    Fault(
        "client_exits",
        "simulation",
        "the ClientApp calls sys.exit(3)",
        ("at node", "SystemExit: 3", "client_app.py"),
    ),
    # --- what an app answers
    Fault(
        "returns_nothing",
        "simulation",
        "the ClientApp's train returns None",
        ("at node", "train", "returned None"),
    ),
    Fault(
        "no_handler",
        "simulation",
        "the ClientApp has no function for the messages that it gets",
        ("at node", "query"),
    ),
    Fault(
        "unsendable_record",
        "simulation",
        "the reply holds an array of Python objects",
        ("at node", "object"),
    ),
    Fault(
        "missing_record",
        "simulation",
        "one node's reply has no arrays",
        ("Expected exactly one ArrayRecord in the reply of node", "found 0"),
    ),
    Fault(
        "missing_weight",
        "simulation",
        "one node's reply lacks the key that replies are weighted by",
        ("Missing required key 'num-examples'", "of node"),
    ),
    Fault(
        "other_shapes",
        "simulation",
        "one node's arrays have another shape",
        ("node", "shape", "(4,)", "(3,)"),
    ),
    Fault(
        "nan_in_update",
        "simulation",
        "one node's model holds NaN",
        ("not finite, because of array '0' of node", "array '0' holds NaN"),
        within=1,  # the rounds go on
    ),
    Fault(
        "nan_weight",
        "simulation",
        "one node's weight is NaN",
        ("Key 'num-examples'", "of node", "is nan"),
    ),
    # --- processes that die, and time
    Fault(
        "client_killed_for_memory",
        "simulation",
        "the process of a ClientApp is ended by SIGKILL, as the system does when memory is short",
        ("at node", "SIGKILL", "out-of-memory killer"),
    ),
    Fault(
        "client_killed_at_node",
        "deployment",
        "the same on real nodes, each time",
        ("at node", "SIGKILL", "out-of-memory killer"),
    ),
    Fault(
        "client_memory_error",
        "simulation",
        "a ClientApp gets no more memory (RLIMIT_AS)",
        ("at node", "MemoryError", "client_app.py"),
    ),
    Fault(
        "server_killed",
        "deployment",
        "the ServerApp's process is ended by SIGKILL, each time that it is started again",
        ("was killed by signal 9", "started again"),
    ),
    Fault(
        "node_dies",
        "deployment",
        "a node is ended by SIGKILL while its ClientApp works",
        ("Node", "is away", "is offline"),
        within=2,
    ),
    Fault(
        "too_few_nodes",
        "deployment",
        "a strategy asks for more nodes than are connected; the run is stopped",
        ("Waiting for nodes: 2 of 5 are connected", "Stopped by flwr stop"),
        within=1,
    ),
    Fault(
        "too_few_virtual_nodes",
        "simulation",
        "the same where no more nodes will ever come",
        ("100 nodes are asked for, but this simulation has 2",),
    ),
    Fault(
        "time_to_live",
        "simulation",
        "a ClientApp takes longer than its message lives",
        ("at node", "time to live is over"),
    ),
    Fault(
        "time_to_live_at_node",
        "deployment",
        "the same on real nodes",
        ("at node", "was not answered in time"),
    ),
    Fault(
        "round_timeout",
        "simulation",
        "no node answers before the strategy's timeout",
        ("2 of 2 nodes sent no reply in time",),
    ),
    # --- links
    Fault(
        "connection_refused",
        "command",
        "nothing listens at the SuperLink's port",
        ("127.0.0.1", "connection refused"),
    ),
    Fault(
        "unknown_host",
        "command",
        "the SuperLink's name is not known",
        ("the name 'superlink.invalid' is not known",),
    ),
    Fault(
        "foreign_server",
        "command",
        "another program answers at the SuperLink's port",
        ("is no server of this software",),
    ),
    Fault(
        "wrong_port",
        "deployment",
        "the port is that of the nodes' API",
        ("Control", "Fleet"),
    ),
    Fault(
        "other_version",
        "command",
        "the SuperLink speaks another version of the protocol",
        ("version", "99"),
    ),
    Fault(
        "wrong_ca",
        "command",
        "the SuperLink's certificate was signed by another CA",
        ("signed by a CA that is not known here",),
    ),
    Fault(
        "wrong_name_in_certificate",
        "command",
        "the SuperLink's certificate is for another name",
        ("is not for the name '127.0.0.1'", "It is for: hub.example"),
    ),
    Fault(
        "clock_skew",
        "command",
        "this machine's clock is behind: the certificate is not valid yet",
        ("not yet valid", "Set the clocks of both machines"),
    ),
    Fault(
        "clock_skew_expired",
        "command",
        "this machine's clock is ahead, or the certificate has expired",
        ("expired", "clock"),
    ),
    Fault(
        "plain_to_tls",
        "command",
        "this side speaks plain HTTP, the SuperLink TLS",
        ("speaks TLS, and this side does not",),
    ),
    Fault(
        "tls_to_plain",
        "deployment",
        "this side speaks TLS, the SuperLink plain HTTP",
        ("speaks plain HTTP, and this side TLS",),
    ),
    Fault(
        "port_taken",
        "command",
        "another program listens at a port that flower-superlink wants",
        ("127.0.0.1", "in use"),
    ),
    # --- disks and files
    Fault(
        "disk_full_here",
        "simulation",
        "the disk that holds FLWR_HOME is full",
        ("cannot grow", "Make room"),
    ),
    Fault(
        "disk_full_at_hub",
        "deployment",
        "the disk of the SuperLink is full",
        ("disk", "room"),
    ),
    Fault(
        "home_not_writable",
        "simulation",
        "FLWR_HOME cannot be written",
        ("FLWR_HOME", "cannot be used"),
    ),
    Fault(
        "database_damaged",
        "simulation",
        "the database of runs is damaged",
        ("runs.db", "is damaged", "--fresh-database"),
    ),
    Fault(
        "database_newer",
        "command",
        "the SuperLink's database was written by a newer version",
        ("state.db", "newer version"),
    ),
    # --- bundles and configuration
    Fault(
        "project_malformed",
        "command",
        "pyproject.toml is no TOML",
        ("pyproject.toml", "line 3: name = tiny"),
    ),
    Fault(
        "project_key_misspelt",
        "command",
        "pyproject.toml has a misspelt key",
        ("tool.flwr.app.publsher", "did you mean 'publisher'"),
    ),
    Fault(
        "bundle_damaged",
        "command",
        "a bundle (FAB) was cut in the middle",
        ("is no ZIP archive, or a damaged one",),
    ),
    Fault(
        "run_config_key_unknown",
        "command",
        "--run-config names a key that the app does not have",
        ("'num-rounds'; did you mean 'num-server-rounds'?",),
    ),
    Fault(
        "run_config_type",
        "command",
        "--run-config gives a text where the app has a number",
        ('learning-rate="fast"',),
    ),
    Fault(
        "run_config_unparsable",
        "command",
        "--run-config cannot be read",
        ("cannot read 'hello'",),
    ),
    Fault(
        "connection_unknown",
        "command",
        "there is no connection of that name",
        ("There is no connection or federation 'pare'; did you mean 'pair'?",),
    ),
)
