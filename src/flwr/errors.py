"""Every error this project raises on purpose, and the exit code a command ends with.

::

    FlwrError                    1   anything below; a command prints it and exits with its code
    ├── ConfigError              1   an app's pyproject.toml, a run config, config.toml
    │   └── RunConfigError       1   a --run-config or --federation-config value
    ├── AppLoadError             1   a ServerApp or ClientApp reference that does not load
    ├── FabError                 1   an app bundle that is none, is damaged, or is not safe
    ├── NotAvailableError        1   a command or feature of Flower that is not there
    ├── HomeError                1   FLWR_HOME cannot be used
    ├── StoreError               1   the run database
    │   ├── DatabaseDamagedError 1   not a database, or a damaged one
    │   ├── DatabaseNewerError   1   written by a newer version
    │   ├── RunNotFoundError     1   no run has that id
    │   ├── RunStateError        1   the run is past the state in which that can happen
    │   ├── NodeNotFoundError    1   no node has that id
    │   ├── SupersededError      1   a newer process of the same node or run took over
    │   ├── ObjectNotFoundError  1   no object has that id, or not for whoever asks
    │   ├── WrongHashError       1   the bytes are not those that an object's id names
    │   └── DiskFullError        1   no room for more
    ├── ParcelError              1   bytes that are no parcel, or a damaged one
    ├── EngineError              1   the simulation engine cannot go on
    │   └── NotEnoughNodesError  1   a strategy asks for more nodes than the federation has
    ├── LinkError                1   another process cannot be talked to
    │   ├── AddressError         1   an address that cannot be read
    │   ├── UnreachableError     1   nobody answers there: refused, unknown name, time is up
    │   ├── TlsError             1   TLS on one side only, an unknown CA, a wrong name
    │   └── RefusedError         1   it answered, and refused; `code` says why
    ├── SettingsError            1   options of a server contradict each other, or one is missing
    ├── RunFailedError           1   a run ended as finished:failed
    ├── ProblemsFoundError       1   flwr doctor found something wrong
    └── AppExitError           200   documented exits of an app (202: aggregation)

Exit codes 0 (success), 2 (usage), 130 and 143 (SIGINT, SIGTERM) are the command line's own.
"""


class FlwrError(Exception):
    """Base of all errors of this project.

    Parameters
    ----------
    message : str
        What happened, and to what.
    hint : str, optional
        What the reader can do about it.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class ConfigError(FlwrError):
    """An app's ``pyproject.toml`` or ``config.toml`` is missing, malformed or invalid."""


class RunConfigError(ConfigError):
    """A ``--run-config`` or ``--federation-config`` value is malformed or unknown."""


class AppLoadError(FlwrError):
    """A ServerApp or ClientApp could not be loaded; the cause is chained."""


class FabError(FlwrError):
    """An app bundle (FAB) is none, is damaged or too large, or is not safe to unpack."""


class NotAvailableError(FlwrError):
    """A command needs a service or a feature that is not there; the hint says what to use."""


class HomeError(FlwrError):
    """``FLWR_HOME`` cannot be created or written."""


class StoreError(FlwrError):
    """The run database cannot be used."""


class DatabaseDamagedError(StoreError):
    """The file is no database, or a damaged one. It is left as it is."""


class DatabaseNewerError(StoreError):
    """The database was written by a newer version. It is left as it is."""


class RunNotFoundError(StoreError):
    """No run has the given id."""


class RunStateError(StoreError):
    """What is asked of a run cannot happen in its state, as stopping one that has finished."""


class NodeNotFoundError(StoreError):
    """No node has the given id."""


class SupersededError(StoreError):
    """A newer process of the same node or run has taken the place of the one that asks."""


class ObjectNotFoundError(StoreError):
    """No object has the given id, or none that whoever asks may know of."""


class WrongHashError(StoreError):
    """Bytes that are not those which an object's id names."""


class DiskFullError(StoreError):
    """There is no room for more. Nothing that was acknowledged is lost."""


class ParcelError(FlwrError, ValueError):
    """Bytes that are no parcel, or a truncated or altered one."""


class EngineError(FlwrError, RuntimeError):
    """The simulation engine cannot go on."""


class NotEnoughNodesError(EngineError):
    """A strategy asks for more nodes than the federation will ever have."""


class LinkError(FlwrError):
    """Another process cannot be talked to.

    Parameters
    ----------
    message, hint : str
        As for :class:`FlwrError`.
    code : str, optional
        Which way it failed, for programs: one of ``flwr.transport.call.Failure``.
    """

    def __init__(self, message: str, *, hint: str = "", code: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code


class AddressError(LinkError, ValueError):
    """An address that cannot be read."""


class UnreachableError(LinkError):
    """Nobody answers at an address, for as long as was waited."""


class TlsError(LinkError):
    """A secure link could not be made: plain on one side, an unknown CA, a wrong name."""


class RefusedError(LinkError):
    """A call was answered with a refusal.

    Parameters
    ----------
    code : str
        Which: one of ``flwr.transport.call.Refusal``.
    message, hint : str
        As for :class:`FlwrError`.
    """

    def __init__(self, code: str, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint, code=code)


class SettingsError(FlwrError):
    """Options of a server contradict each other, or something that they promise is missing."""


class RunFailedError(FlwrError):
    """A run ended as ``finished:failed``."""


class ProblemsFoundError(FlwrError):
    """``flwr doctor`` found problems; its checks say which."""


class AppExitError(FlwrError):
    """An app ends for a documented reason, with a documented exit code."""

    exit_code = 200
