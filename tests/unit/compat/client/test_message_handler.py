"""`flwr.client.message_handler`: answering messages outside a ClientApp."""

import pytest

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.client import NumPyClient
from flwr.client.message_handler.message_handler import (
    handle_control_message,
    handle_legacy_message_from_msgtype,
)
from flwr.common import GetPropertiesIns
from flwr.common.recorddict_compat import (
    getpropertiesins_to_recorddict,
    recorddict_to_getpropertiesres,
)


@pytest.mark.parametrize("seconds", [0, 5])
def test_a_client_that_is_told_to_leave_acknowledges_it(seconds: int) -> None:
    content = RecordDict({"config": ConfigRecord({"seconds": seconds})})
    reply, pause = handle_control_message(Message(content, 2, "reconnect"))
    assert pause == seconds
    assert reply is not None
    assert reply.metadata.message_type == "reconnect"
    assert reply.content == {"config": {"reason": 1}}


def test_other_messages_are_no_control_messages() -> None:
    assert handle_control_message(Message(RecordDict(), 2, "train")) == (None, 0)


def test_a_legacy_message_is_answered_by_the_client_of_a_function() -> None:
    class Names(NumPyClient):
        def get_properties(self, config):
            return {"name": "a"}

    question = getpropertiesins_to_recorddict(GetPropertiesIns({}))
    message = Message(question, 2, "get_properties")
    reply = handle_legacy_message_from_msgtype(
        lambda context: Names().to_client(), message, Context(1, 2, {}, RecordDict(), {})
    )
    assert recorddict_to_getpropertiesres(reply.content).properties == {"name": "a"}
