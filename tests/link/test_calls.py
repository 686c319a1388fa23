"""Every call, there and back, and everything that may be wrong with one."""

import asyncio
import json
import types
import typing
from typing import Any

import msgspec
import pytest
from hubs import LOOPBACK, TOKENS, FolderShelf, Hub, authenticate, exchange_bytes, gives
from relay import Relay

from flwr.errors import RefusedError, SettingsError
from flwr.transport import appio, control, fleet
from flwr.transport.call import Access, Call, Caller, Refusal
from flwr.transport.incoming import Limits
from flwr.transport.openapi import CALLS
from flwr.transport.parts import Nothing, RunQuestion
from flwr.transport.server import Api, Listen, serve

HTTP_HELLO = (
    b"POST /v1/fleet/hello HTTP/1.1\r\nhost: hub\r\ncontent-type: application/json\r\n"
    b"%scontent-length: %d\r\n\r\n%s"
)


def hello(body: bytes = b'{"instance": "me"}', headers: bytes = b"") -> bytes:
    return HTTP_HELLO % (headers, len(body), body)


def sample(kind: Any) -> Any:
    """Give a value of a type, with every field set to something that is not its default."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return sample(parts[0])
    if origin is list:
        return [sample(parts[0])] * 2
    if origin is tuple:
        return ("x", "y")
    if origin is dict:
        return {"key": sample(parts[1])}
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = typing.get_type_hints(kind)
        return kind(**{field: sample(hint) for field, hint in hints.items()})
    return {int: 2**63 - 1, float: 0.5, str: "größe", bytes: b"\x00\xff", bool: False, Any: 1}[kind]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.path)
def test_a_call_goes_there_and_back_in_messagepack(hub: Hub, call: Call[Any, Any]) -> None:
    question, answer = sample(call.request), sample(call.answer)
    hub.answers[call.path] = gives(answer)
    with hub.link(call.access) as link:
        assert link.call(call, question) == answer
    assert [(q, caller.access) for q, caller in hub.asked] == [(question, call.access)]
    assert hub.asked[0][1].address == "127.0.0.1"


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.path)
def test_a_call_goes_there_and_back_in_json(hub: Hub, call: Call[Any, Any]) -> None:
    question, answer = sample(call.request), sample(call.answer)
    hub.answers[call.path] = gives(answer)
    body = msgspec.json.encode(question)
    head = (
        f"POST {call.path} HTTP/1.1\r\nhost: hub\r\ncontent-type: application/json; charset=utf-8"
        f"\r\nauthorization: Bearer {TOKENS.get(call.access, '')}\r\ncontent-length: {len(body)}"
    )
    with hub.connect() as sock:
        status, headers, content = exchange_bytes(sock, head.encode() + b"\r\n\r\n" + body)
    assert (status, headers["content-type"]) == (200, "application/json")
    assert msgspec.json.decode(content, type=call.answer) == answer
    assert hub.asked[0][0] == question


def test_fields_of_a_newer_version_are_ignored(hub: Hub) -> None:
    hub.answers[fleet.HELLO.path] = gives({"node_id": 1, "epoch": 2, "mood": "good"})
    with hub.connect() as sock:
        status, _, _ = exchange_bytes(sock, hello(b'{"instance": "me", "colour": "blue"}'))
    assert status == 200
    with hub.link() as link:
        assert link.call(fleet.HELLO, fleet.Hello("me")).epoch == 2


def test_many_calls_of_one_link_share_a_connection(hub: Hub) -> None:
    hub.answers[fleet.HELLO.path] = gives(fleet.Welcome(1, 1))
    with Relay(hub.port) as relay, hub.link(port=relay.port) as link:
        for _ in range(20):
            link.call(fleet.HELLO, fleet.Hello("me"))
        assert relay.connections == 1


def refused(hub: Hub, request: bytes) -> tuple[int, dict[str, str]]:
    with hub.connect() as sock:
        status, headers, body = exchange_bytes(sock, request)
    denied = json.loads(body)
    assert headers["flwr-refusal"] == denied["code"]
    return status, denied


def test_another_version_of_the_protocol_is_refused_and_says_so(hub: Hub) -> None:
    status, denied = refused(hub, hello(headers=b"flwr-protocol: 2\r\n"))
    assert (status, denied["code"]) == (426, "version")
    assert "version 1 of the protocol, not '2'" in denied["message"]


def test_the_version_of_objects_is_checked_too(hub: Hub) -> None:
    request = b"GET /v1/objects/" + b"0" * 64 + b" HTTP/1.1\r\nhost: h\r\nflwr-protocol: 2\r\n\r\n"
    assert refused(hub, request)[1]["code"] == "version"


def test_a_link_reports_that_its_version_is_refused(hub: Hub) -> None:
    with hub.link() as link:
        link._headers["flwr-protocol"] = "7"
        with pytest.raises(RefusedError, match="not '7'") as caught:
            link.call(fleet.HELLO, fleet.Hello("me"))
    assert caught.value.code == Refusal.VERSION
    assert "same version" in caught.value.hint


@pytest.mark.parametrize("call", [call for call in CALLS if call.access != Access.OPEN])
def test_a_call_without_its_token_is_refused_before_its_body_is_read(
    hub: Hub, call: Call[Any, Any]
) -> None:
    head = f"POST {call.path} HTTP/1.1\r\nhost: hub\r\ncontent-length: 1000000\r\n%s\r\n"
    assert refused(hub, (head % "").encode())[0] == 401
    status, denied = refused(hub, (head % "authorization: Bearer wrong\r\n").encode())
    assert (status, denied["code"]) == (403, "not-allowed")
    for access, token in TOKENS.items():
        if access != call.access:
            other = (head % f"authorization: Bearer {token}\r\n").encode()
            assert refused(hub, other)[0] == 403
    assert hub.asked == []


def test_a_link_with_a_wrong_token_is_refused_at_once(hub: Hub) -> None:
    with hub.link(Access.APP) as link, pytest.raises(RefusedError, match="no token for node") as no:
        link.call(fleet.LEAVE, fleet.Leave(1))
    assert no.value.code == Refusal.NOT_ALLOWED


def test_what_a_port_does_not_serve_is_refused_and_says_what_it_serves(hub: Hub) -> None:
    status, denied = refused(hub, b"POST /v1/fleet/sing HTTP/1.1\r\nhost: hub\r\n\r\n")
    assert (status, denied["code"]) == (404, "unknown-call")
    assert "fleet, app, control, client" in denied["hint"]
    assert refused(hub, b"GET /v1/fleet/hello HTTP/1.1\r\nhost: hub\r\n\r\n")[0] == 404


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (hello(b'{"instance": 3}'), "Expected `str`, got `int` - at `$.instance`"),
        (hello(b"{}"), "missing required field `instance`"),
        (hello(b'{"instance": "m'), "truncated"),
        (hello(b""), "truncated"),
        (hello(b"[" * 100_000), "does not take that"),
        (hello(headers=b"content-encoding: gzip\r\n"), "not compressed"),
        (hello().replace(b"application/json", b"text/plain"), "application/json"),
    ],
)
def test_a_body_that_is_no_request_is_refused_with_the_place(
    hub: Hub, request_: bytes, says: str
) -> None:
    status, denied = refused(hub, request_)
    assert (status, denied["code"]) == (400, "bad-request")
    assert says in denied["message"]
    assert hub.asked == []


def test_a_body_that_is_too_large_is_refused_without_being_read(hub: Hub) -> None:
    head = HTTP_HELLO.partition(b"%s")[0] + b"content-length: 99999999\r\n\r\n"
    assert refused(hub, head)[0] == 413


def test_a_body_of_unknown_length_is_bounded_too() -> None:
    with Hub(limits=Limits(call_bytes=1000)) as hub:
        head = HTTP_HELLO.partition(b"%s")[0] + b"transfer-encoding: chunked\r\n\r\n"
        status, denied = refused(hub, head + (b"1f4\r\n" + b" " * 500 + b"\r\n") * 3)
    assert (status, denied["code"]) == (413, "too-large")


def test_the_refusal_of_a_handler_arrives_whole(hub: Hub) -> None:
    async def refuse(question: Any, caller: Caller) -> Any:
        raise RefusedError(Refusal.UNKNOWN_RUN, "There is no run 7.", hint="Ask for 8.")

    hub.answers[control.STOP_RUN.path] = refuse
    with hub.link() as link, pytest.raises(RefusedError) as caught:
        link.call(control.STOP_RUN, RunQuestion(7))
    error = caught.value
    assert (error.code, error.message, error.hint) == (
        "unknown-run",
        "There is no run 7.",
        "Ask for 8.",
    )


def test_an_error_in_a_handler_is_logged_there_and_told_here_without_details(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(question: Any, caller: Caller) -> Any:
        raise KeyError("a secret")

    hub.answers[control.RUNS.path] = fail
    with hub.link() as link, pytest.raises(RefusedError, match="failed at /v1/control") as caught:
        link.call(control.RUNS, control.RunsQuestion())
    assert caught.value.code == Refusal.INTERNAL
    assert "secret" not in str(caught.value)
    assert "KeyError: 'a secret'" in caplog.text


def test_a_client_that_waits_to_be_asked_for_its_body_is_asked(hub: Hub) -> None:
    hub.answers[fleet.HELLO.path] = gives(fleet.Welcome(1, 1))
    whole = hello(headers=b"expect: 100-continue\r\n")
    head, _, body = whole.partition(b"\r\n\r\n")
    with hub.connect() as sock:
        assert exchange_bytes(sock, head + b"\r\n\r\n")[0] == 100
        assert exchange_bytes(sock, body)[0] == 200


def test_after_a_refusal_the_connection_goes_on(hub: Hub) -> None:
    with hub.connect() as sock:
        assert exchange_bytes(sock, hello(b"{}"))[0] == 400
        hub.answers[fleet.HELLO.path] = gives(fleet.Welcome(1, 1))
        assert exchange_bytes(sock, hello())[0] == 200


def test_a_handler_ends_when_its_client_is_gone(hub: Hub) -> None:
    began = asyncio.Event()

    async def park(question: Any, caller: Caller) -> Any:
        began.set()
        await asyncio.sleep(100)

    hub.answers[fleet.EXCHANGE.path] = park
    body = msgspec.json.encode(fleet.Exchange(1))
    with hub.connect() as sock:
        sock.sendall(
            b"POST /v1/fleet/exchange HTTP/1.1\r\nhost: h\r\nauthorization: Bearer node-token\r\n"
            b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
        )
        hub.run(began.wait())
    assert hub.cancelled.wait(10)


def test_the_health_of_a_port_can_be_asked(hub: Hub) -> None:
    with hub.connect() as sock:
        assert exchange_bytes(sock, b"GET /health HTTP/1.1\r\nhost: h\r\n\r\n")[0] == 200


def test_a_port_for_health_serves_nothing_else() -> None:
    with Hub(listens=[Listen(LOOPBACK)]) as hub, hub.connect() as sock:
        assert exchange_bytes(sock, b"GET /health HTTP/1.1\r\nhost: h\r\n\r\n")[0] == 200
        assert exchange_bytes(sock, b"GET /openapi.json HTTP/1.1\r\nhost: h\r\n\r\n")[0] == 404
        status, _, body = exchange_bytes(sock, hello())
    assert status == 404
    assert b"GET /health only" in body


async def nothing(question: Any, caller: Caller) -> Nothing:
    return Nothing()


def test_a_call_without_a_rule_stops_start_up() -> None:
    careless = Call("fleet", "sing", Nothing, Nothing, typing.cast("Access", None), "Sing.")
    with pytest.raises(SettingsError, match="/v1/fleet/sing has no rule"):
        Api("fleet", {careless: nothing}, authenticate)


def test_objects_without_a_rule_stop_start_up(shelf: FolderShelf) -> None:
    with pytest.raises(SettingsError, match="to whom its objects are open"):
        Api("control", {control.RUNS: nothing}, authenticate, shelf)


def test_one_call_twice_at_a_port_stops_start_up() -> None:
    api = Api("control", {control.RUNS: nothing}, authenticate)
    with pytest.raises(SettingsError, match="/v1/control/list-runs"):
        asyncio.run(serve([Listen(LOOPBACK, [api, api])]))


def test_each_port_serves_its_own_calls_only() -> None:
    apis = [
        Api("fleet", {fleet.LEAVE: nothing}, authenticate),
        Api("app", {appio.FINISH: nothing}, authenticate),
    ]
    with Hub(listens=[Listen(LOOPBACK, [api]) for api in apis]) as hub:
        ports = [address.port for address in hub.servers.addresses]
        with hub.link(port=ports[0]) as link:
            assert link.call(fleet.LEAVE, fleet.Leave(1)) == Nothing()
            with pytest.raises(RefusedError) as caught:
                link.call(appio.FINISH, appio.Finish("completed"))
        assert caught.value.code == Refusal.WRONG_PORT
        assert f"127.0.0.1:{ports[0]} is the wrong port. It serves SuperNodes" in str(caught.value)
        assert f"The ServerAppIo API is port {ports[1]} of this server." in str(caught.value)
