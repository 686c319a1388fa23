"""1.18: federated analytics over record dicts; a node without data answers with an error."""

import threading

from keeping import keep

from flwr.client import ClientApp
from flwr.common import ConfigRecord, Context, Message, MessageType, MetricRecord, RecordDict
from flwr.server import Grid, ServerApp
from flwr.simulation import run_simulation

client_app = ClientApp()


@client_app.query()
def query(msg: Message, context: Context) -> Message:
    number = context.node_config["partition-id"]
    settings = msg.content.config_records["query"]
    if number == settings["without data"]:
        raise FileNotFoundError(f"no file of node {number}")
    values = [number * 10 + place for place in range(4)]
    wanted = [value for value in values if settings["low"] <= value < settings["high"]]
    answer = RecordDict(
        {
            "counts": MetricRecord({"found": len(wanted), "values": wanted}),
            "about": ConfigRecord({"name": f"node {number}", "raw": bytes([number]), "yes": True}),
        }
    )
    return Message(answer, reply_to=msg)


server_app = ServerApp()


@server_app.main()
def main(grid: Grid, context: Context) -> None:
    node_ids = []
    while len(node_ids) < 5:
        node_ids = list(grid.get_node_ids())
        threading.Event().wait(0.05)
    settings = ConfigRecord({"low": 3, "high": 32, "without data": 3})
    messages = [
        Message(
            content=RecordDict({"query": settings}),
            message_type=MessageType.QUERY,
            dst_node_id=node_id,
            group_id="analytics",
        )
        for node_id in node_ids
    ]
    answers, codes, reasons = {}, [], []
    for reply in grid.send_and_receive(messages, timeout=60):
        if reply.has_error():
            codes.append(reply.error.code)
            reasons.append("no file of node 3" in reply.error.reason)
            continue
        about = reply.content.config_records["about"]
        counts = reply.content.metric_records["counts"]
        answers[about["name"]] = [counts["found"], counts["values"], about["raw"], about["yes"]]
    keep(answers=dict(sorted(answers.items())), codes=codes, reasons=reasons)


def run():
    run_simulation(server_app, client_app, num_supernodes=5)
