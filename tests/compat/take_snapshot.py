"""Write down the public surface of an installed upstream Flower, asked from outside.

Run by hand with the Python of an environment that holds upstream, never in the tests:

    UPSTREAM_PYTHON tests/compat/take_snapshot.py > tests/compat/upstream-1.41.json

Only `dir` and `inspect.signature` are used. Each name is described by what a caller can rely on:
the signature without annotations, with `...` for a default that is an object, and the members.
"""

import importlib
import inspect
import json
from types import ModuleType
from typing import Any

NAMES: dict[str, list[str] | None] = {  # None: what the module's __all__ says
    "flwr": ["app", "clientapp", "serverapp", "client", "common", "server", "simulation"],
    "flwr.app": None,
    "flwr.clientapp": None,
    "flwr.clientapp.mod": None,
    "flwr.clientapp.typing": ["ClientAppCallable", "Mod"],
    "flwr.serverapp": None,
    "flwr.serverapp.exception": [
        "AggregationError",
        "InconsistentMessageReplies",
        "PrivacyBudgetExhausted",
    ],
    "flwr.serverapp.strategy": None,
    "flwr.simulation": None,
}
# How upstream moves objects over its own wire: visible on its classes, but not documented API.
WIRE = {"children", "deflate", "inflate", "is_dirty", "object_id", "slice_array"}
PLAIN = (bool, int, float, str, type(None))


def signature(thing: Any) -> str | None:
    """Return the signature without annotations, `...` standing for defaults that are objects."""
    try:
        parameters = inspect.signature(thing).parameters.values()
    except (TypeError, ValueError):
        return None
    bare = [
        parameter.replace(
            annotation=parameter.empty,
            default=parameter.default
            if parameter.default is parameter.empty or isinstance(parameter.default, PLAIN)
            else ...,
        )
        for parameter in parameters
    ]
    return str(inspect.Signature(bare)).replace("Ellipsis", "...")


def member(cls: type, name: str) -> Any:
    """Describe one attribute of a class: `property`, a signature, or a plain value."""
    raw = inspect.getattr_static(cls, name)
    if isinstance(raw, property):
        return "property"
    if callable(raw) or isinstance(raw, classmethod | staticmethod):
        return signature(getattr(cls, name))
    return raw if isinstance(raw, PLAIN) else "value"


def describe(thing: Any) -> dict[str, Any]:
    """Describe one public name."""
    if inspect.ismodule(thing):
        return {"kind": "module"}
    if inspect.isclass(thing):
        inherited = set(dir(str)) | set(dir(Exception))
        names = [n for n in dir(thing) if n[0] != "_" and n not in WIRE | inherited]
        return {
            "kind": "class",
            "signature": signature(thing),
            "abstract": sorted(getattr(thing, "__abstractmethods__", [])),
            "members": {name: member(thing, name) for name in names},
        }
    if inspect.isfunction(thing):
        return {"kind": "function", "signature": signature(thing)}
    return {"kind": "value", "value": thing} if isinstance(thing, PLAIN) else {"kind": "alias"}


def surface() -> dict[str, dict[str, Any]]:
    """Describe all public names of the modules above."""
    modules: dict[str, ModuleType] = {name: importlib.import_module(name) for name in NAMES}
    return {
        path: {
            name: describe(getattr(module, name)) for name in sorted(NAMES[path] or module.__all__)
        }
        for path, module in modules.items()
    }


if __name__ == "__main__":
    print(json.dumps(surface(), indent=1))  # noqa: T201 (a script)
