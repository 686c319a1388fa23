"""Faults of apps, in place: their modules, functions, answers and processes."""

from collections.abc import Callable

from bench import Bench

INJECTIONS: dict[str, Callable[[Bench], None]] = {}
IMPORT = {"# imports": "import nowhere_to_be_found"}


def injection(function: Callable[[Bench], None]) -> Callable[[Bench], None]:
    INJECTIONS[function.__name__] = function
    return function


def _simple(name: str, part: str, old: str, new: str) -> None:
    """Have a fault be one replaced text of the server's or the client's module."""

    def inject(bench: Bench) -> None:
        bench.run(bench.app(**{part: {old: new}}))

    INJECTIONS[name] = inject


def _raises(what: str) -> str:
    return f"raise ValueError('broken {what}')"


LIFESPAN = """
@app.lifespan()
def lifespan(context):
    raise ValueError('broken lifespan')
    yield
"""

_simple("server_import", "server", "# imports", "import nowhere_to_be_found")
_simple("client_import", "client", "# imports", "import nowhere_to_be_found")
_simple("syntax_error", "client", "# imports", "def def")
_simple("no_such_attribute", "project", "tiny.server_app:app", "tiny.server_app:nothing")
_simple("no_such_module", "project", "tiny.client_app:app", "tiny.nothing:app")
_simple("main_raises", "server", "# main", _raises("main"))
_simple("train_raises", "client", "# train", _raises("train"))
_simple("evaluate_raises", "client", "# evaluate", _raises("evaluate"))
_simple("server_lifespan_raises", "server", "# lifespan", LIFESPAN)
_simple("client_lifespan_raises", "client", "# lifespan", LIFESPAN)
_simple("mod_raises", "client", "# mod", _raises("mod"))
_simple(
    "configure_raises",
    "server",
    "# methods",
    f"def configure_train(self, *_): {_raises('configure')}",
)
_simple(
    "aggregate_raises",
    "server",
    "# methods",
    f"def aggregate_train(self, *_): {_raises('aggregate')}",
)
_simple(
    "evaluate_fn_raises",
    "server",
    'return MetricRecord({"accuracy": 0.5})',
    _raises("evaluate_fn"),
)
_simple("server_exits", "server", "# main", "import sys; sys.exit(3)")
_simple("client_exits", "client", "# train", "import sys; sys.exit(3)")
_simple("returns_nothing", "client", "# train", "return None")
_simple("unsendable_record", "client", "# values", "arrays = [np.array([object()])]")
_simple("missing_record", "client", "# content", "if first(context): del content['arrays']")
_simple("missing_weight", "client", "# values", "if first(context): name = 'examples'")
_simple(
    "other_shapes", "client", "# values", "if first(context): arrays = [np.ones(4, np.float32)]"
)
_simple("nan_in_update", "client", "# values", "if first(context): arrays[0][1] = np.nan")
_simple("nan_weight", "client", "# values", "if first(context): weight = float('nan')")
_simple(
    "client_killed_for_memory",
    "client",
    "# train",
    "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
)
_simple(
    "client_memory_error",
    "client",
    "# train",
    "import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 32, -1)); bytearray(1 << 33)",
)
_simple(
    "too_few_virtual_nodes", "server", '{"min_available_nodes": 2}', '{"min_available_nodes": 100}'
)

ASK = """
    asked = [Message(RecordDict(), node, "{kind}", ttl={ttl}) for node in grid.get_node_ids()]
    list(grid.send_and_receive(asked))
    return
"""


def asking(kind: str, ttl: float = 100.0) -> dict[str, str]:
    return {"# main": ASK.format(kind=kind, ttl=ttl).strip()}


HANG = "import threading; threading.Event().wait(20)"


@injection
def metrics_function_raises(bench: Bench) -> None:
    function = f"def aggregate(replies, weighted_by): {_raises('metrics')}"
    given = '{"min_available_nodes": 2, "train_metrics_aggr_fn": aggregate}'
    parts = {"# imports": function, '{"min_available_nodes": 2}': given}
    bench.run(bench.app(server=parts))


@injection
def query_raises(bench: Bench) -> None:
    query = f"@app.query()\ndef query(msg, context): {_raises('query')}"
    bench.run(bench.app(server=asking("query"), client={"# query": query}))


@injection
def no_handler(bench: Bench) -> None:
    bench.run(bench.app(server=asking("query")))


@injection
def time_to_live(bench: Bench) -> None:
    bench.run(bench.app(server=asking("train", ttl=0.5), client={"# train": HANG}))


@injection
def round_timeout(bench: Bench) -> None:
    bench.run(bench.app(client={"# train": HANG}), "-c", "timeout=0.5 num-server-rounds=1")
