"""What a client does when the server asks it to train or to evaluate."""

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from $package import task
from $package.dataset import load_partition

app = ClientApp()


def my_data(context: Context):
    """Return this client's examples and labels: to train on, and to evaluate on."""
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
    """Train the model that the server sent on this client's own data."""
    x, y, _, _ = my_data(context)
    weights, loss = task.train(
        msg.content["arrays"].to_numpy_ndarrays(),
        x,
        y,
        epochs=context.run_config["local-epochs"],
        learning_rate=context.run_config["learning-rate"],
    )
    metrics = MetricRecord({"train-loss": loss, "num-examples": len(x)})
    content = RecordDict({"arrays": ArrayRecord(weights), "metrics": metrics})
    return Message(content=content, reply_to=msg)


@app.evaluate()
def evaluate(msg: Message, context: Context) -> Message:
    """Test the model that the server sent on data that this client did not train on."""
    _, _, x, y = my_data(context)
    loss, accuracy = task.test(msg.content["arrays"].to_numpy_ndarrays(), x, y)
    metrics = MetricRecord({"loss": loss, "accuracy": accuracy, "num-examples": len(x)})
    return Message(content=RecordDict({"metrics": metrics}), reply_to=msg)
