"""Settings: ``FLWR_HOME``, an app's ``pyproject.toml``, ``config.toml`` and ``--run-config``.

One file a subject: ``home`` the folder, ``values`` flat dictionaries and ``key=value`` text,
``project`` an app's project file, ``simulation`` the options of a simulation, ``connections`` the
user's ``config.toml`` and where a run takes place, ``toml`` and ``spelling`` what these stand on.
"""

from flwr.config.connections import Connection as Connection
from flwr.config.connections import Connections as Connections
from flwr.config.connections import Place as Place
from flwr.config.connections import choose_place as choose_place
from flwr.config.connections import read_connections as read_connections
from flwr.config.home import home as home
from flwr.config.home import state_dir as state_dir
from flwr.config.project import AppConfig as AppConfig
from flwr.config.project import AppFederations as AppFederations
from flwr.config.project import Federation as Federation
from flwr.config.project import read_app as read_app
from flwr.config.project import read_federations as read_federations
from flwr.config.simulation import SimulationOptions as SimulationOptions
from flwr.config.values import UserConfig as UserConfig
from flwr.config.values import UserConfigValue as UserConfigValue
from flwr.config.values import differing_types as differing_types
from flwr.config.values import flatten_dict as flatten_dict
from flwr.config.values import fuse_dicts as fuse_dicts
from flwr.config.values import fuse_run_config as fuse_run_config
from flwr.config.values import parse_config_args as parse_config_args
from flwr.config.values import unflatten_dict as unflatten_dict

__all__ = [
    "AppConfig",
    "AppFederations",
    "Connection",
    "Connections",
    "Federation",
    "Place",
    "SimulationOptions",
    "UserConfig",
    "UserConfigValue",
    "choose_place",
    "differing_types",
    "flatten_dict",
    "fuse_dicts",
    "fuse_run_config",
    "home",
    "parse_config_args",
    "read_app",
    "read_connections",
    "read_federations",
    "state_dir",
    "unflatten_dict",
]
