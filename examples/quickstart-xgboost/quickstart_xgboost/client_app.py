"""What a client does when the server asks it to train or to evaluate."""

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from quickstart_xgboost import task
from quickstart_xgboost.dataset import load_partition

app = ClientApp()


def my_data(context: Context):
    """Return this client's rows: to train on, and to evaluate on."""
    node, config = context.node_config, context.run_config
    return load_partition(
        config["dataset"],
        node["partition-id"],
        node["num-partitions"],
        config["alpha"],
        config["seed"],
    )


@app.train()
def train(msg: Message, context: Context) -> Message:
    """Grow trees on top of those that the server sent, from this client's own rows."""
    config = context.run_config
    [model] = msg.content["arrays"].to_numpy_ndarrays()
    mine, _ = my_data(context)
    trees = task.train(
        model,
        mine,
        trees=config["local-trees"],
        learning_rate=config["learning-rate"] / context.node_config["num-partitions"],
        max_depth=config["max-depth"],
    )
    metrics = MetricRecord({"num-examples": len(mine)})
    content = RecordDict({"arrays": ArrayRecord([trees]), "metrics": metrics})
    return Message(content=content, reply_to=msg)


@app.evaluate()
def evaluate(msg: Message, context: Context) -> Message:
    """Test the trees that the server sent on rows that this client did not train on."""
    [model] = msg.content["arrays"].to_numpy_ndarrays()
    _, mine = my_data(context)
    loss, accuracy, _ = task.test(model, mine)
    metrics = MetricRecord({"loss": loss, "accuracy": accuracy, "num-examples": len(mine)})
    return Message(content=RecordDict({"metrics": metrics}), reply_to=msg)
