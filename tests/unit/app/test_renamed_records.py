import copy
import pickle  # noqa: TID251  # users' processes (ray, multiprocessing) pickle these objects

import numpy as np
import pytest

from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict, renamed
from flwr.app.renamed import ConfigsRecord, MetricsRecord, ParametersRecord, RecordSet

NAMES = {
    ParametersRecord: ArrayRecord,
    MetricsRecord: MetricRecord,
    ConfigsRecord: ConfigRecord,
    RecordSet: RecordDict,
}
EACH = pytest.mark.parametrize(("old", "new"), NAMES.items())


@pytest.fixture(autouse=True)
def nothing_said_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renamed, "_said", set())


@EACH
def test_an_old_name_is_a_subclass(old, new):
    assert isinstance(old(), new)
    assert not isinstance(new(), old)
    assert old() == new()


@EACH
def test_an_old_name_says_so_once(old, new, caplog):
    old()
    old()
    (message,) = caplog.messages
    assert message.startswith(f"The `{old.__name__}` class has been renamed to `{new.__name__}`.")


@EACH
def test_copies_keep_the_class(old, new):
    for other in (
        old().copy(),
        copy.copy(old()),
        copy.deepcopy(old()),
        pickle.loads(pickle.dumps(old())),
    ):
        assert type(other) is old


def test_the_same_arguments():
    arrays = ParametersRecord([np.zeros(2)], keep_input=True)
    records = RecordSet(
        parameters_records={"a": arrays},
        metrics_records={"m": MetricsRecord({"x": 1})},
        configs_records={"c": ConfigsRecord({"y": 1}, True)},
    )
    assert list(records) == ["a", "m", "c"]
    assert list(records.array_records) == ["a"]
    assert repr(records).startswith("RecordSet(\n")
    with pytest.raises(TypeError, match="keyword-only"):
        ParametersRecord([np.zeros(2)], True)
    with pytest.raises(TypeError):
        RecordSet({}, {}, {})
