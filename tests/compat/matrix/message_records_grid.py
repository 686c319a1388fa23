"""1.41: a ServerApp that pushes and pulls by itself, over actions; one action fails on a node."""

import threading
from contextlib import suppress

from keeping import keep

from flwr.app import ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.simulation import run_simulation

app = ClientApp()


@app.lifespan()
def around(context: Context):
    context.state["span"] = ConfigRecord({"open": True})
    yield


@app.query("add")
def add(msg: Message, context: Context):
    number = context.node_config["partition-id"]
    total = msg.content["numbers"]["value"] + number
    seen = context.state.setdefault("seen", MetricRecord({"all": []}))
    seen["all"] = [*seen["all"], total]
    record = ConfigRecord({"open": context.state["span"]["open"]})
    return Message(RecordDict({"sum": MetricRecord({"n": total}), "s": record}), reply_to=msg)


@app.query("tell")
def tell(msg: Message, context: Context):
    if context.node_config["partition-id"] == 0:
        raise PermissionError("this node does not tell")
    return Message(RecordDict({"seen": context.state["seen"]}), reply_to=msg)


server = ServerApp()


@server.main()
def main(grid: Grid, context: Context) -> None:
    node_ids = []
    while len(node_ids) < 3:
        node_ids = list(grid.get_node_ids())
        threading.Event().wait(0.05)

    def gather(action, content):
        messages = [Message(content, node_id, f"query.{action}") for node_id in node_ids]
        waiting, replies = set(grid.push_messages(messages)), []
        assert len(waiting) == len(node_ids)
        while waiting:
            for reply in grid.pull_messages(waiting):
                waiting.discard(reply.metadata.reply_to_message_id)
                replies.append(reply)
            threading.Event().wait(0.05)
        return replies

    sums = []
    for value in (10, 20):
        content = RecordDict({"numbers": MetricRecord({"value": value})})
        replies = gather("add", content)
        assert all(reply.content["s"]["open"] for reply in replies)
        sums.append(sorted(reply.content["sum"]["n"] for reply in replies))
    told, codes = [], []
    for reply in gather("tell", RecordDict()):
        with suppress(ValueError):  # an error reply has no content
            told.append(reply.content["seen"]["all"])
        if reply.has_error():
            codes.append([reply.error.code, "does not tell" in reply.error.reason])
    kinds = {reply.metadata.message_type for reply in replies}
    keep(sums=sums, told=sorted(told), codes=codes, kinds=sorted(kinds))


def run():
    run_simulation(server, app, num_supernodes=3)
