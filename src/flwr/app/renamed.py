"""The names records had before version 1.17: subclasses that say so once."""

import logging
from typing import Any

from flwr.app.arrayrecord import ArrayRecord
from flwr.app.recorddict import RecordDict
from flwr.app.typedrecords import ConfigRecord, MetricRecord
from flwr.log import log

_said: set[str] = set()  # names that were pointed out in this process


class ParametersRecord(ArrayRecord):
    """The old name of `ArrayRecord`."""

    __slots__ = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _say_renamed("ParametersRecord", "ArrayRecord")
        super().__init__(*args, **kwargs)


class MetricsRecord(MetricRecord):
    """The old name of `MetricRecord`."""

    __slots__ = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _say_renamed("MetricsRecord", "MetricRecord")
        super().__init__(*args, **kwargs)


class ConfigsRecord(ConfigRecord):
    """The old name of `ConfigRecord`."""

    __slots__ = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _say_renamed("ConfigsRecord", "ConfigRecord")
        super().__init__(*args, **kwargs)


class RecordSet(RecordDict):
    """The old name of `RecordDict`."""

    __slots__ = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _say_renamed("RecordSet", "RecordDict")
        super().__init__(*args, **kwargs)


def _say_renamed(old: str, new: str) -> None:
    if old not in _said:
        _said.add(old)
        log(
            logging.WARNING,
            "The `%s` class has been renamed to `%s`. Please update your code accordingly.",
            old,
            new,
        )
