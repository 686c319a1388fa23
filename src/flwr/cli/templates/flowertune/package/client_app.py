"""What a client does when the server asks it to train or to evaluate."""

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from $package import task
from $package.dataset import load_partition

app = ClientApp()


def my_texts(context: Context):
    """Return this client's texts."""
    node = context.node_config
    return load_partition(
        context.run_config["dataset"], node["partition-id"], node["num-partitions"]
    )


def model_in(msg: Message, context: Context):
    """Return the model with the adapters that the server sent."""
    model = task.new_model(context.run_config)
    task.set_adapters(model, msg.content["arrays"].to_torch_state_dict())
    return model


@app.train()
def train(msg: Message, context: Context) -> Message:
    """Train the adapters on this client's own texts."""
    model, texts = model_in(msg, context), my_texts(context)
    loss = task.train(
        model, texts, context.run_config, learning_rate=msg.content["config"]["learning-rate"]
    )
    metrics = MetricRecord({"train-loss": loss, "num-examples": len(texts)})
    content = RecordDict({"arrays": ArrayRecord(task.adapters_of(model)), "metrics": metrics})
    return Message(content=content, reply_to=msg)


@app.evaluate()
def evaluate(msg: Message, context: Context) -> Message:
    """Test the model on this client's own texts."""
    texts = my_texts(context)
    loss = task.test(model_in(msg, context), texts, context.run_config)
    metrics = MetricRecord({"loss": loss, "num-examples": len(texts)})
    return Message(content=RecordDict({"metrics": metrics}), reply_to=msg)
