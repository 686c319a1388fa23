"""The description of all calls, as OpenAPI: served at ``/openapi.json``, kept in ``docs``.

``python -m flwr.transport.openapi > docs/openapi.json`` writes it.
"""

import sys
from functools import cache
from typing import Any

import msgspec

from flwr.transport import appio, clientio, control, fleet
from flwr.transport.call import PROTOCOL_VERSION, Access, Call
from flwr.transport.parts import Denied

CALLS: tuple[Call[Any, Any], ...] = (*fleet.CALLS, *appio.CALLS, *control.CALLS, *clientio.CALLS)

_RULES = {
    Access.OPEN: "Open to whoever reaches the port.",
    Access.NODE: "For nodes, by their secret.",
    Access.APP: "For the app process of a run, by its token.",
    Access.CLIENT: "For hosts of ClientApps, at their SuperNode.",
}
_REFUSED = {"$ref": "#/components/responses/Refused"}
_OBJECT_ID = {
    "name": "object_id",
    "in": "path",
    "required": True,
    "description": "The BLAKE3 hash of the object's bytes.",
    "schema": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
}
_OFFSET = {"upload-offset": {"schema": {"type": "integer"}, "description": "Bytes that are here."}}


def document() -> dict[str, Any]:
    """Describe every call of every protocol."""
    types = [Denied, *(kind for call in CALLS for kind in (call.request, call.answer))]
    schemas, components = msgspec.json.schema_components(
        types, ref_template="#/components/schemas/{name}"
    )
    paths: dict[str, Any] = {
        call.path: {"post": _operation(call, schemas[2 * n + 1], schemas[2 * n + 2])}
        for n, call in enumerate(CALLS)
    }
    paths["/v1/objects/{object_id}"] = _objects()
    paths["/health"] = {
        "get": {
            "summary": "Answer as long as the server is well.",
            "responses": {"200": {"description": "Well."}},
        }
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Wildflower",
            "version": str(PROTOCOL_VERSION),
            "description": (
                "Calls between hub, nodes, app processes and commands. Bodies are MessagePack "
                "(application/msgpack) or JSON, in which bytes are base64. Every call is "
                "idempotent. Each port serves its own protocol only."
            ),
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": {
                "Refused": {
                    "description": "Refused; the code says why.",
                    "headers": {"flwr-refusal": {"schema": {"type": "string"}}},
                    "content": _content(schemas[0]),
                }
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


@cache
def document_json() -> bytes:
    """Give :func:`document` as text that people can read."""
    return msgspec.json.format(msgspec.json.encode(document()), indent=1) + b"\n"


def _operation(call: Call[Any, Any], request: Any, answer: Any) -> dict[str, Any]:
    return {
        "operationId": f"{call.protocol}.{call.name}",
        "tags": [call.protocol],
        "summary": call.summary,
        "description": _RULES[call.access],
        "security": [] if call.access == Access.OPEN else [{"token": []}],
        "requestBody": {"required": True, "content": _content(request)},
        "responses": {
            "200": {"description": "Done.", "content": _content(answer)},
            "default": _REFUSED,
        },
    }


def _content(schema: Any) -> dict[str, Any]:
    return {kind: {"schema": schema} for kind in ("application/json", "application/msgpack")}


def _objects() -> dict[str, Any]:
    """Describe probe, upload and download."""
    raw: dict[str, Any] = {"application/octet-stream": {}}
    whole = {"name": "size", "in": "query", "required": True, "schema": {"type": "integer"}}
    first = {"name": "offset", "in": "query", "schema": {"type": "integer", "default": 0}}
    span = {"name": "range", "in": "header", "schema": {"type": "string"}}

    def operation(name: str, summary: str, responses: dict[str, Any], **more: Any) -> Any:
        told = {
            status: {"description": text} | extra for status, (text, extra) in responses.items()
        }
        return {
            "operationId": f"objects.{name}",
            "tags": ["objects"],
            "summary": summary,
            "security": [{"token": []}],
            "responses": told | {"default": _REFUSED},
        } | more

    return {
        "parameters": [_OBJECT_ID],
        "head": operation(
            "probe",
            "Ask how much of an object is there.",
            {"200": ("All of it.", {}), "404": ("A part, or nothing.", {"headers": _OFFSET})},
        ),
        "put": operation(
            "upload",
            "Send an object, or what is missing of it.",
            {
                "201": ("It is whole, and its hash is right.", {}),
                "202": ("Not whole yet.", {"headers": _OFFSET}),
            },
            parameters=[first, whole],
            requestBody={"required": True, "content": raw},
        ),
        "get": operation(
            "download",
            "Fetch an object, or a range of it.",
            {"200": ("The object.", {"content": raw}), "206": ("The range.", {"content": raw})},
            parameters=[span],
        ),
    }


if __name__ == "__main__":
    sys.stdout.buffer.write(document_json())
