import pytest

from flwr.app import Context, Error, Message, RecordDict
from flwr.runtime.handler import describe, handle


def context(**run_config: float) -> Context:
    return Context(
        run_id=1, node_id=2, node_config={}, state=RecordDict(), run_config=dict(run_config)
    )


def message() -> Message:
    return Message(RecordDict(), 5, "query")


def test_a_reply_is_passed_on() -> None:
    reply = handle(lambda m, c: Message(RecordDict(), reply_to=m), message(), context())
    assert isinstance(reply, Message)


def test_an_exception_becomes_an_error_with_the_users_lines_once() -> None:
    def app(message: Message, context: Context) -> Message:
        raise KeyError("lr")

    error = handle(app, message(), context())
    assert isinstance(error, Error)
    assert error.code == 2
    assert error.reason is not None
    lines = error.reason.splitlines()
    assert lines[0] == "KeyError: 'lr'"
    assert error.reason.count("KeyError: 'lr'") == 1
    assert 'raise KeyError("lr")' in error.reason
    assert "handler.py" not in error.reason.replace("test_handler.py", "")


def test_a_cause_is_told_too() -> None:
    try:
        try:
            {}["a"]
        except KeyError as cause:
            raise ValueError("no such layer") from cause
    except ValueError as error:
        text = describe(error)
    assert text.startswith("ValueError: no such layer\n")
    assert "KeyError: 'a'" in text


def test_a_long_traceback_keeps_its_end() -> None:
    def deep(level: int) -> None:
        if level == 0:
            raise ValueError("x" * 20_000)
        deep(level - 1)

    with pytest.raises(ValueError, match="xxx") as caught:
        deep(3)
    assert len(describe(caught.value)) < 40_000


def test_what_is_no_message_is_refused() -> None:
    error = handle(lambda m, c: 3, message(), context())  # type: ignore[arg-type, return-value]
    assert isinstance(error, Error)
    assert "returned int, not a Message" in str(error.reason)


def test_the_run_config_cannot_be_modified() -> None:
    def app(message: Message, context: Context) -> Message:
        context.run_config["lr"] = 2.0
        return Message(RecordDict(), reply_to=message)

    error = handle(app, message(), context(lr=1.0))
    assert isinstance(error, Error)
    assert "`run_config`" in str(error.reason)
