"""What a client answers when the server asks about its table."""

import pandas as pd
from flwr.app import Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from $package import task
from $package.dataset import load_partition

app = ClientApp()


@app.query()
def query(msg: Message, context: Context) -> Message:
    """Answer with sums and counts; no row leaves this client."""
    node, config = context.node_config, context.run_config
    mine = pd.concat(
        load_partition(
            config["dataset"],
            node["partition-id"],
            node["num-partitions"],
            config["alpha"],
            config["seed"],
        )
    )
    answer = MetricRecord(task.sums(mine, config["bins"]))
    return Message(content=RecordDict({"sums": answer}), reply_to=msg)
