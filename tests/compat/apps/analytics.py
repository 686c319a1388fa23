"""Federated analytics without a strategy: the ServerApp asks and adds up by itself."""

import threading

import numpy as np

from flwr.app import ConfigRecord, Context, Message, MessageType, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import ClientAppCallable
from flwr.serverapp import Grid, ServerApp

totals: list[list[int]] = []
failed: list[int] = []


def timed(msg: Message, context: Context, call_next: ClientAppCallable) -> Message:
    reply = call_next(msg, context)
    reply.content["seen-by"] = ConfigRecord({"mod": "timed"})
    return reply


client = ClientApp(mods=[timed])


@client.query()
def histogram(msg: Message, context: Context) -> Message:
    bins = msg.content["query"]["bins"]
    values = np.random.default_rng(context.node_config["partition-id"]).uniform(size=100)
    counts, _ = np.histogram(values, bins=bins, range=(0, 1))
    return Message(
        RecordDict({"query_results": MetricRecord({"counts": counts.tolist()})}), reply_to=msg
    )


@client.query("sometimes")
def sometimes(msg: Message, context: Context) -> Message:
    if context.node_config["partition-id"] == 0:
        raise RuntimeError("no data here")
    return Message(RecordDict(), reply_to=msg)


server = ServerApp()


@server.main()
def main(grid: Grid, context: Context) -> None:
    pause, node_ids = threading.Event(), list[int]()
    while len(node_ids) < 5:  # upstream's nodes are not all there at once
        node_ids = list(grid.get_node_ids())
        pause.wait(0 if len(node_ids) == 5 else 0.1)
    messages = [
        Message(
            content=RecordDict({"query": ConfigRecord({"bins": 4})}),
            message_type=MessageType.QUERY,
            dst_node_id=node_id,
            group_id=str(1),
        )
        for node_id in node_ids
    ]
    replies = grid.send_and_receive(messages)
    counts = np.zeros(4, dtype=int)
    for reply in replies:
        assert reply.has_content()
        assert reply.content["seen-by"]["mod"] == "timed"
        counts += np.array(reply.content["query_results"]["counts"])
    totals.append(counts.tolist())

    ids = list(
        grid.push_messages(
            Message(RecordDict(), node_id, "query.sometimes") for node_id in node_ids
        )
    )
    waiting = set(ids)
    while waiting:
        for reply in grid.pull_messages(list(waiting)):
            waiting.discard(reply.metadata.reply_to_message_id)
            if reply.has_error():
                assert "no data here" in (reply.error.reason or "")
                failed.append(reply.error.code)
