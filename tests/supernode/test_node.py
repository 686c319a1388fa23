"""A node against a hub over real sockets, with a real ClientApp."""

import numpy as np
from conftest import StartNode
from fake_hub import NODE_ID, FakeHub

from flwr.app import ArrayRecord, ConfigRecord, RecordDict


def arrays(*values: np.ndarray) -> RecordDict:
    return RecordDict({"arrays": ArrayRecord(list(values))})


def config(**values: str | bool) -> RecordDict:
    return RecordDict({"config": ConfigRecord(dict(values))})


def test_a_message_is_handled_and_its_reply_comes_back(hub: FakeHub, start_node: StartNode) -> None:
    start_node(node_config={"partition-id": 3})
    message_id = hub.push(arrays(np.arange(4, dtype=np.float32)))
    (found,) = hub.content(message_id)["arrays"].to_numpy_ndarrays()
    assert found.tolist() == [1, 2, 3, 4]
    assert hub.reply(message_id).seconds > 0
    assert hub.hellos[0].node_config == {"partition-id": 3}


def test_one_worker_serves_all_messages_of_a_run(hub: FakeHub, start_node: StartNode) -> None:
    start_node()
    pids = set()
    for number in range(1, 5):
        content = hub.content(hub.push(RecordDict(), "query"))
        pids.add(content["metrics"]["pid"])
        assert content["metrics"]["n"] == number
        assert content["metrics"]["sum"] == 50_000 * number
    assert len(pids) == 1
    assert all(exchange.capacity <= 1 for exchange in hub.exchanges)
    assert hub.handed_out == list(hub.replies)


def test_apps_find_their_run_and_their_node(hub: FakeHub, start_node: StartNode) -> None:
    start_node(node_config={"partition-id": 3})
    content = hub.content(hub.push(RecordDict(), "query.facts"))
    assert content["config"]["run"] == "[('rounds', 3)]"
    assert content["config"]["node"] == "[('partition-id', 3)]"
    assert content["metrics"]["node-id"] == NODE_ID
