"""The legacy path of the version."""

from flwr._version import __version__ as package_version

package_name = "flwr"

__all__ = ["package_name", "package_version"]
