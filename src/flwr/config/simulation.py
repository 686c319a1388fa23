"""The options of a simulation, from ``pyproject.toml``, ``config.toml`` or the command line."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from flwr.config.spelling import suggestion
from flwr.config.values import UserConfigValue, flatten_dict

DEFAULT_NODES = 10
_BACKENDS = ("ray",)  # what apps write; it means the built-in engine here
_INIT = "init-args-"
_KEYS = (
    "num-supernodes",
    "verbose",
    "backend-name",
    "client-resources-num-cpus",
    "client-resources-num-gpus",
)


@dataclass(frozen=True)
class SimulationOptions:
    """How a simulation is run.

    Attributes
    ----------
    num_supernodes : int, default 10
        Virtual nodes.
    num_cpus, num_gpus : float, defaults 1 and 0
        What one client needs; decides how many run at a time.
    init_args : mapping
        What the backend as a whole may use (``num_cpus``, ``num_gpus``, ...).
    verbose : bool, default False
        Log at level DEBUG.
    configured : bool, default False
        Whether `num_supernodes` was set by anybody.
    """

    num_supernodes: int = DEFAULT_NODES
    num_cpus: float = 1.0
    num_gpus: float = 0.0
    init_args: Mapping[str, UserConfigValue] = field(default_factory=dict)
    verbose: bool = False
    configured: bool = False

    def override(
        self, values: Mapping[str, Any], complain: Callable[[str, str], None]
    ) -> "SimulationOptions":
        """Return these options with `values` in their places.

        Parameters
        ----------
        values : mapping
            Nested or dotted. Both spellings are known: ``options.num-supernodes``,
            ``backend.client-resources.num-cpus`` and ``client-resources-num-cpus``.
        complain : callable
            Called with a key and what is wrong with it, for each problem.
        """
        changed: dict[str, Any] = {}
        init_args = dict(self.init_args)
        try:
            flat = flatten_dict(values)
        except ValueError as error:
            complain("options", str(error))
            return self
        for key, value in flat.items():
            name = _canonical(key)
            if name not in _KEYS and not name.startswith(_INIT):
                complain(key, f"unknown option; {suggestion(name, _KEYS)}")
            elif wrong := _wrong(name, value):
                complain(key, wrong)
            elif name.startswith(_INIT):
                init_args[name.removeprefix(_INIT).replace("-", "_")] = value
            elif name != "backend-name":
                changed[_FIELDS[name]] = value
        if "num_supernodes" in changed:
            changed["configured"] = True
        return replace(self, init_args=init_args, **changed)


_FIELDS = {
    "num-supernodes": "num_supernodes",
    "verbose": "verbose",
    "client-resources-num-cpus": "num_cpus",
    "client-resources-num-gpus": "num_gpus",
}


def is_option(key: str) -> bool:
    """Return whether a key is that of an option, or of a table of options."""
    return key.replace("_", "-") in (*_KEYS, "backend", "client-resources", "init-args")


def _canonical(key: str) -> str:
    """Return the one name of an option that has several spellings."""
    name = key.removeprefix("options.").removeprefix("backend.")
    name = name.replace(".", "-").replace("_", "-")
    return "backend-name" if name in ("name", "backend", "backend-name") else name


def _wrong(name: str, value: UserConfigValue) -> str:
    """Return what is wrong with an option's value, or an empty text."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if name == "num-supernodes":
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            return f"must be an integer of at least 1; it is {value!r}"
    elif name == "verbose":
        if not isinstance(value, bool):
            return f"must be true or false; it is {value!r}"
    elif name == "backend-name":
        if value not in _BACKENDS:
            return f"there is no backend {value!r}; {suggestion(str(value), _BACKENDS)}"
    elif name.endswith("-num-cpus"):
        if not is_number or not 0 < float(value) < float("inf"):
            return f"must be a number above 0; it is {value!r}"
    elif name.endswith("-num-gpus") and not (is_number and 0 <= float(value) < float("inf")):
        return f"must be a number of at least 0; it is {value!r}"
    return ""
