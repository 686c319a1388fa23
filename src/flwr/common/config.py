"""The legacy path of configurations."""

from flwr.compat.app_config import (
    get_fab_config,
    get_flwr_dir,
    get_fused_config,
    get_fused_config_from_dir,
    get_fused_config_from_fab,
    get_metadata_from_config,
    get_project_config,
    get_project_dir,
    user_config_to_configrecord,
    validate_config,
    validate_fields_in_config,
)
from flwr.compat.app_config import user_config_to_configrecord as user_config_to_configsrecord
from flwr.config import flatten_dict, fuse_dicts, parse_config_args, unflatten_dict
from flwr.config import home as get_flwr_home

__all__ = [
    "flatten_dict",
    "fuse_dicts",
    "get_fab_config",
    "get_flwr_dir",
    "get_flwr_home",
    "get_fused_config",
    "get_fused_config_from_dir",
    "get_fused_config_from_fab",
    "get_metadata_from_config",
    "get_project_config",
    "get_project_dir",
    "parse_config_args",
    "unflatten_dict",
    "user_config_to_configrecord",
    "user_config_to_configsrecord",
    "validate_config",
    "validate_fields_in_config",
]
