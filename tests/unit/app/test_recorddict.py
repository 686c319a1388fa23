import copy
import logging
import pickle  # noqa: TID251  # users' processes (ray, multiprocessing) pickle these objects
from collections.abc import MutableMapping

import numpy as np
import pytest

from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict, recorddict

VIEWS = {
    "array_records": ArrayRecord,
    "metric_records": MetricRecord,
    "config_records": ConfigRecord,
}


@pytest.fixture
def records() -> RecordDict:
    return RecordDict(
        {
            "arrays": ArrayRecord([np.zeros(2)]),
            "metrics": MetricRecord({"loss": 1.0}),
            "config": ConfigRecord({"lr": 0.1}),
        }
    )


@pytest.fixture
def nothing_said_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorddict, "_said", set())


def test_empty():
    assert RecordDict() == RecordDict(None) == RecordDict({}) == {}
    assert not RecordDict()


def test_records_are_kept_as_they_are():
    metrics = MetricRecord()
    given = {"m": metrics}
    records = RecordDict(given)
    assert records["m"] is metrics
    given["n"] = metrics
    assert list(records) == ["m"]
    assert RecordDict(records) == records
    assert RecordDict(records=records) == records


@pytest.mark.parametrize("value", [1, None, {}, np.zeros(2), RecordDict()])
def test_values_must_be_records(records, value):
    text = (
        "Expected `ArrayRecord`, `MetricRecord`, or `ConfigRecord` but received "
        f"`{type(value).__name__}` for the value. The key is 'x'."
    )
    for put in (
        lambda: RecordDict({"x": value}),
        lambda: records.__setitem__("x", value),
        lambda: records.update({"x": value}),
        lambda: records.setdefault("x", value),
    ):
        with pytest.raises(TypeError) as caught:
            put()
        assert str(caught.value) == text
    assert "x" not in records


def test_keys_must_be_text(records):
    with pytest.raises(TypeError, match="Expected `str`, but received `int` for the key: 1"):
        RecordDict({1: MetricRecord()})
    with pytest.raises(TypeError, match="for the key"):
        records[1] = MetricRecord()
    with pytest.raises(TypeError, match="for the key"):
        records.metric_records[1] = MetricRecord()


def test_text_keys_become_plain():
    records = RecordDict({np.str_("a"): MetricRecord()})
    records[np.str_("b")] = MetricRecord()
    records.metric_records[np.str_("c")] = MetricRecord()
    assert [(type(key), key) for key in records] == [(str, "a"), (str, "b"), (str, "c")]


def test_array_records_is_no_argument():
    with pytest.raises(TypeError, match="array_records"):
        RecordDict(array_records={})
    with pytest.raises(TypeError):
        RecordDict({}, {}, {})


def test_mapping(records):
    assert isinstance(records, MutableMapping)
    assert not isinstance(records, dict)
    assert type(records.keys()) is type({}.keys())
    assert type(records.values()) is type({}.values())
    assert type(records.items()) is type({}.items())
    assert list(records) == ["arrays", "metrics", "config"]
    assert "arrays" in records
    assert records.get("z") is None
    assert records.popitem() == ("config", ConfigRecord({"lr": 0.1}))
    assert records.pop("metrics") == {"loss": 1.0}
    del records["arrays"]
    assert len(records) == 0
    records.update({"m": MetricRecord()})
    records.clear()
    assert records == {}
    for missing in (
        lambda: records["z"],
        lambda: records.pop("z"),
        lambda: records.__delitem__("z"),
    ):
        with pytest.raises(KeyError, match="z"):
            missing()
    with pytest.raises(TypeError):
        records | {}
    with pytest.raises(TypeError):
        reversed(records)
    with pytest.raises(TypeError, match="unhashable"):
        hash(records)


def test_equality(records):
    assert records == RecordDict(dict(reversed(records.items())))
    assert records == dict(records)
    assert records != RecordDict()
    assert records != 1
    assert RecordDict({"a": MetricRecord({"x": 1})}) == {"a": ConfigRecord({"x": 1})}


def test_repr_shows_the_kinds_line_by_line():
    records = RecordDict({"m": MetricRecord({"x": 1}), "n": MetricRecord()})
    assert repr(records) == (
        "RecordDict(\n"
        "  array_records={},\n"
        "  metric_records={'m': {'x': 1}, 'n': {}},\n"
        "  config_records={}\n"
        ")"
    )


def test_shallow_copies(records):
    for other in (records.copy(), copy.copy(records)):
        assert other == records
        assert other["arrays"] is records["arrays"]
        del other["arrays"]
        assert "arrays" in records


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda r: pickle.loads(pickle.dumps(r))])
def test_deep_copies(records, duplicate):
    other = duplicate(records)
    assert other == records
    other["metrics"]["loss"] = 2.0
    assert records["metrics"] == {"loss": 1.0}


# Views.


@pytest.mark.parametrize(("view", "kind"), VIEWS.items())
def test_views_show_one_kind(records, view, kind):
    shown = getattr(records, view)
    assert isinstance(shown, MutableMapping)
    assert not isinstance(shown, dict)
    assert [type(value) for value in shown.values()] == [kind]
    assert len(shown) == 1
    assert dict(shown) == shown
    assert list(shown.items()) == [(name, records[name]) for name in shown]
    assert repr(shown) == repr(dict(shown))
    assert shown.copy() == dict(shown)
    with pytest.raises(AttributeError):
        setattr(records, view, {})


def test_views_are_live(records):
    view = records.metric_records
    records["more"] = MetricRecord()
    assert list(view) == ["metrics", "more"]
    records["metrics"] = ConfigRecord()
    assert list(view) == ["more"]
    assert "metrics" not in view
    records.clear()
    assert not view


def test_views_write_through(records):
    records.metric_records["n"] = MetricRecord()
    assert records["n"] == {}
    del records.metric_records["n"]
    assert "n" not in records
    assert records.array_records.pop("arrays") == ArrayRecord([np.zeros(2)])
    assert "arrays" not in records


def test_views_hide_other_kinds(records):
    for touch in (
        lambda: records.metric_records["arrays"],
        lambda: records.metric_records.__delitem__("arrays"),
        lambda: records.metric_records.pop("arrays"),
    ):
        with pytest.raises(KeyError, match="arrays"):
            touch()
    assert "arrays" in records
    assert records.metric_records.get("arrays") is None


def test_a_view_refuses_other_kinds(records):
    with pytest.raises(TypeError, match="Expected `ArrayRecord` but received `MetricRecord`"):
        records.array_records["x"] = MetricRecord()


def test_the_dict_may_change_while_a_view_is_walked(records):
    records["more"] = MetricRecord()
    for name in records.metric_records:
        del records[name]
    assert list(records) == ["arrays", "config"]


def test_overwriting_another_kind_through_a_view_is_logged(records, caplog):
    records.config_records["arrays"] = ConfigRecord()
    assert caplog.messages == [
        (
            "Key 'arrays' was overwritten: record of type `ArrayRecord` replaced with type "
            "`ConfigRecord`"
        )
    ]
    records.config_records["arrays"] = ConfigRecord()
    assert len(caplog.messages) == 1


# Old names.


@pytest.mark.usefixtures("nothing_said_yet")
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("parameters_records", "array_records"),
        ("metrics_records", "metric_records"),
        ("configs_records", "config_records"),
    ],
)
def test_old_properties_work_and_say_so_once(records, caplog, old, new):
    assert getattr(records, old) == getattr(records, new)
    assert getattr(records, old)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert f"`{old}` property" in record.getMessage()
    assert f"`{new}`" in record.getMessage()


@pytest.mark.parametrize(
    "arguments",
    [
        {"parameters_records": {"a": ArrayRecord()}},
        {"metrics_records": {"a": MetricRecord()}},
        {"configs_records": {"a": ConfigRecord()}},
    ],
)
def test_old_arguments_work_with_the_new_and_say_so(caplog, arguments):
    for _ in range(2):
        records = RecordDict({"m": MetricRecord()}, **arguments)
        assert list(records) == ["m", "a"]
    assert len(caplog.records) == 2
    assert "deprecated" in caplog.messages[0]
    assert "`records`" in caplog.messages[0]
