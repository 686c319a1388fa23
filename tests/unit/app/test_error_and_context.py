import copy
import dataclasses
import pickle  # noqa: TID251  # users' processes (ray, multiprocessing) pickle these objects

import pytest

from flwr.app import Context, Error, MetricRecord, RecordDict
from flwr.app.error import ErrorCode


def test_error():
    error = Error(3, "x")
    assert (error.code, error.reason) == (3, "x")
    assert Error(code=3, reason="x") == error
    assert Error(3).reason is None
    assert Error(3) != error
    assert error != 3
    assert repr(error) == "Error(code=3, reason='x')"
    assert pickle.loads(pickle.dumps(error)) == copy.deepcopy(error) == error


@pytest.mark.parametrize("name", ["code", "reason"])
def test_an_error_is_read_only(name):
    with pytest.raises(AttributeError):
        setattr(Error(3), name, 4)


def test_an_error_is_checked():
    with pytest.raises(TypeError, match="code of an Error is an int, not a str"):
        Error("3")
    with pytest.raises(TypeError, match="reason of an Error is text, not a ValueError"):
        Error(3, ValueError("x"))


def test_error_codes():
    codes = {name: value for name, value in vars(ErrorCode).items() if name.isupper()}
    assert codes == {
        "UNKNOWN": 0,
        "LOAD_CLIENT_APP_EXCEPTION": 1,
        "CLIENT_APP_RAISED_EXCEPTION": 2,
        "MESSAGE_UNAVAILABLE": 3,
        "REPLY_MESSAGE_UNAVAILABLE": 4,
        "NODE_UNAVAILABLE": 5,
        "MOD_FAILED_PRECONDITION": 6,
        "INVALID_FAB": 7,
        "CLIENT_APP_CRASHED": 8,
    }


def context() -> Context:
    state = RecordDict({"m": MetricRecord({"x": 1})})
    return Context(1, 2, {"partition-id": 0}, state, run_config={"lr": 0.1})


def test_context():
    assert context() == context()
    assert context().series_id == 0
    assert [field.name for field in dataclasses.fields(Context)] == [
        "run_id",
        "node_id",
        "node_config",
        "state",
        "run_config",
        "series_id",
    ]
    changed = context()
    changed.state = RecordDict()
    changed.anything = 1
    assert changed != context()
    assert pickle.loads(pickle.dumps(context())) == copy.deepcopy(context()) == context()


def test_a_context_needs_its_five_values():
    with pytest.raises(TypeError, match="run_config"):
        Context(1, 2, {}, RecordDict())
