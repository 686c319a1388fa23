import json
import re
from pathlib import Path
from typing import Any

from hubs import Hub, exchange_bytes

from flwr.transport.openapi import CALLS, document, document_json

CHECKED_IN = Path(__file__).parents[2] / "docs" / "openapi.json"


def test_the_description_that_is_checked_in_is_today_s() -> None:
    assert CHECKED_IN.read_bytes() == document_json(), (
        "calls have changed: python -m flwr.transport.openapi > docs/openapi.json"
    )


def test_the_description_is_served(hub: Hub) -> None:
    with hub.connect() as sock:
        request = b"GET /openapi.json HTTP/1.1\r\nhost: h\r\n\r\n"
        status, headers, body = exchange_bytes(sock, request)
    assert (status, headers["content-type"]) == (200, "application/json")
    assert body == document_json()


def test_every_call_and_all_it_refers_to_is_described() -> None:
    told: dict[str, Any] = document()
    assert {call.path for call in CALLS} <= set(told["paths"])
    referred = set(re.findall(r'"#/components/(\w+)/(\w+)"', json.dumps(told)))
    assert referred
    for group, name in referred:
        assert name in told["components"][group]


def test_calls_that_need_a_token_say_so() -> None:
    paths = document()["paths"]
    assert paths["/v1/fleet/hello"]["post"]["security"] == []
    assert paths["/v1/fleet/exchange"]["post"]["security"] == [{"token": []}]
    assert paths["/v1/objects/{object_id}"]["get"]["security"] == [{"token": []}]
