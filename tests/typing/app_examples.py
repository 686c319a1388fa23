"""What users write with flwr.app; `mypy --strict` must accept it, and refuse what is marked so."""

from collections import OrderedDict
from typing import assert_type

import numpy as np
import numpy.typing as npt
import torch

from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    ConfigRecordValues,
    Context,
    Error,
    Message,
    MessageType,
    Metadata,
    MetricRecord,
    MetricRecordValues,
    RecordDict,
    UserConfig,
)


def arrays(model: torch.nn.Module, layers: list[npt.NDArray[np.float32]]) -> None:
    """Make arrays and take them back."""
    array = Array(np.zeros(3))
    Array(torch.zeros(3))
    Array(ndarray=layers[0])
    Array(torch_tensor=torch.zeros(3))
    Array("float32", (2, 2), "numpy.ndarray", b"")
    Array(dtype="float32", shape=[2, 2], stype="numpy.ndarray", data=b"")
    assert_type(array.data, bytes)
    assert_type(array.shape, tuple[int, ...])
    array.data = b"x"
    rows, columns = array.shape
    del rows, columns

    record = ArrayRecord(layers)
    ArrayRecord()
    ArrayRecord(None)
    ArrayRecord(numpy_ndarrays=layers, keep_input=False)
    ArrayRecord(model.state_dict())
    ArrayRecord(OrderedDict(weight=torch.zeros(3)))
    ArrayRecord({"a": array})
    ArrayRecord(array_dict={"a": array})
    assert_type(record["0"], Array)
    assert_type(record.copy(), ArrayRecord)
    model.load_state_dict(record.to_torch_state_dict(), strict=True)
    for values in record.to_numpy_ndarrays(keep_input=False):
        values[...] = 1
    record["new"] = array

    Array([1.0])  # type: ignore[call-overload]
    Array(dtype="float32", shape=(2,))  # type: ignore[call-overload]
    ArrayRecord((np.zeros(3),))  # type: ignore[call-overload]
    ArrayRecord(layers, False)  # type: ignore[call-overload]
    record["new"] = np.zeros(3)  # type: ignore[assignment]


def records(loss: float, accuracies: list[float]) -> RecordDict:
    """Make records and read them."""
    metrics = MetricRecord({"loss": loss, "num-examples": 10})
    MetricRecord({"accuracies": accuracies})
    MetricRecord(metrics)
    metrics["epochs"] = 3
    assert_type(metrics["loss"], MetricRecordValues)
    config = ConfigRecord({"lr": 0.1, "name": "x", "layers": ["a", "b"], "on": True})
    assert_type(config.get("lr"), ConfigRecordValues | None)
    content = RecordDict({"arrays": ArrayRecord(), "metrics": metrics, "config": config})
    content["more"] = metrics
    assert_type(content.metric_records["metrics"], MetricRecord)
    for array_record in content.array_records.values():
        assert_type(array_record, ArrayRecord)

    MetricRecord({"name": "x"})  # type: ignore[dict-item]
    metrics["name"] = "x"  # type: ignore[assignment]
    content["number"] = 1  # type: ignore[assignment]
    content.metric_records["config"] = config  # type: ignore[assignment]
    return content


def messages(content: RecordDict, metadata: Metadata) -> Message:
    """Make messages in all documented forms."""
    message = Message(content, 1, "train")
    Message(content, dst_node_id=1, message_type=MessageType.TRAIN, ttl=60, group_id="1")
    Message(content=content, dst_node_id=1, message_type="query.abc")
    Message(metadata=metadata, content=content)
    Message(metadata=metadata, error=Error(1))
    Message(Error(2, "reason"), reply_to=message)
    assert_type(message.content, RecordDict)
    assert_type(message.metadata.ttl, float)
    message.metadata.ttl = 5

    Message(content)  # type: ignore[call-overload]
    Message(content, "1", "train")  # type: ignore[call-overload]
    message.metadata.run_id = 5  # type: ignore[misc]
    message.metadata = metadata  # type: ignore[misc]
    return Message(content, reply_to=message)


def contexts(run_config: UserConfig) -> Context:
    """Read settings."""
    context = Context(1, 2, {"partition-id": 0}, RecordDict(), run_config)
    rate = context.run_config["lr"]
    assert_type(rate, bool | float | int | str)
    return context
