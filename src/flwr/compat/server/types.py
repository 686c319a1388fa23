"""What the parts of a legacy ServerApp are called in annotations."""

from collections.abc import Callable

from flwr.app import Context
from flwr.compat.server.components import ServerAppComponents
from flwr.compat.server.workflow import Workflow
from flwr.serverapp.serverapp import ServerAppCallable

ServerFn = Callable[[Context], ServerAppComponents]

__all__ = ["ServerAppCallable", "ServerFn", "Workflow"]
