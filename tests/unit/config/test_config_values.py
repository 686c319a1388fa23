"""Flat dictionaries, and the grammar of ``--run-config``."""

import math
from pathlib import Path

import pytest

from flwr.config import (
    differing_types,
    flatten_dict,
    fuse_dicts,
    fuse_run_config,
    parse_config_args,
    unflatten_dict,
)
from flwr.errors import ConfigError, RunConfigError


def test_flattening_joins_keys_by_dots() -> None:
    assert flatten_dict({"a": {"b": 1, "c": {}}, "d": "x"}) == {"a.b": 1, "d": "x"}
    assert flatten_dict({"a": 1}, "p") == {"p.a": 1}
    assert flatten_dict(None) == {}


@pytest.mark.parametrize("value", [[1], None, b"x", (1, 2)])
def test_flattening_refuses_other_types_by_key(value: object) -> None:
    with pytest.raises(ValueError, match=r"a\.b"):
        flatten_dict({"a": {"b": value}})


def test_unflattening_undoes_flattening() -> None:
    nested = {"a": {"b": 1, "c": {"d": True}}, "e": 0.5}
    assert unflatten_dict(flatten_dict(nested)) == nested


@pytest.mark.parametrize("flat", [{"a": 1, "a.b": 2}, {"a.b": 2, "a": 1}])
def test_unflattening_refuses_a_key_below_a_value(flat: dict[str, int]) -> None:
    with pytest.raises(TypeError, match="a"):
        unflatten_dict(flat)


def test_fusing_replaces_values_and_merges_tables() -> None:
    main = {"a": {"b": 1, "c": 2}, "d": 3}
    assert fuse_dicts(main, {"a": {"b": 5}, "d": "x"}) == {"a": {"b": 5, "c": 2}, "d": "x"}
    assert main == {"a": {"b": 1, "c": 2}, "d": 3}


def test_fusing_refuses_or_drops_unknown_keys() -> None:
    with pytest.raises(ValueError, match="'z'"):
        fuse_dicts({"a": 1}, {"z": 1})
    assert fuse_dicts({"a": {"b": 1}}, {"z": 1, "a": {"z": 2}}, check_keys=False) == {"a": {"b": 1}}


def test_fusing_refuses_a_table_for_a_value() -> None:
    with pytest.raises(ValueError, match="'a'"):
        fuse_dicts({"a": 3}, {"a": {"b": 1}})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=1 b=2.5 c=true d=\"x y\" e='q'", {"a": 1, "b": 2.5, "c": True, "d": "x y", "e": "q"}),
        ("a=-3 b=1e-3 c=1_000 d=inf", {"a": -3, "b": 0.001, "c": 1000, "d": math.inf}),
        ("a.b.c=3", {"a.b.c": 3}),
        ("a={x=1, y='s'}", {"a.x": 1, "a.y": "s"}),
        ("a = 1", {"a": 1}),
        ('a="b=c" url="http://x?y=1"', {"a": "b=c", "url": "http://x?y=1"}),
        (r'a="q\"r"', {"a": 'q"r'}),
        ("a='m.toml'", {"a": "m.toml"}),
        ("a=1\nb=2", {"a": 1, "b": 2}),
        ("a-b_1=1", {"a-b_1": 1}),
        ("", {}),
        ("   ", {}),
    ],
)
def test_pairs_are_toml(text: str, expected: dict[str, object]) -> None:
    assert parse_config_args([text]) == expected


def test_later_texts_override_earlier_ones_key_by_key() -> None:
    assert parse_config_args(["a=1 b=2", "a=3"]) == {"a": 3, "b": 2}
    assert parse_config_args(["a.b=1", "a={c=2}"]) == {"a.b": 1, "a.c": 2}


def test_no_texts_say_nothing() -> None:
    assert parse_config_args(None) == {}
    assert parse_config_args([]) == {}


def test_nested_on_request() -> None:
    assert parse_config_args(["a.b=1", "a.c=2"], flatten=False) == {"a": {"b": 1, "c": 2}}


@pytest.mark.parametrize(
    ("text", "quoted", "advice"),
    [
        ("a=hello", "'a=hello'", "'a=\"hello\"'"),
        ("a=True", "'a=True'", "a=true"),
        ("a=FALSE", "'a=FALSE'", "a=false"),
        ("a=1 garbage b=2", "'garbage b=2'", "Write pairs"),
        ("a", "'a'", "Write pairs"),
        ("a=", "'a='", "Write pairs"),
        ("=3", "'=3'", "Write pairs"),
        ('a="x', "'a=\"x'", "quotes do not match"),
        ("a=1,b=2", "'a=1,b=2'", "a=1 b=2"),
        ("a=.5", "'a=.5'", "a=0.5"),
        ("a=1 a=2", "'a=1 a=2'", "once"),
        ("a=1 a.b=2", "'a=1 a.b=2'", "once"),
        ("a=[1,2]", "'a=[1,2]'", "'a'"),
        ("a=2020-01-01", "'a=2020-01-01'", "'a'"),
    ],
)
def test_text_that_does_not_parse_is_quoted_with_advice(
    text: str, quoted: str, advice: str
) -> None:
    with pytest.raises(RunConfigError) as caught:
        parse_config_args([text])
    assert quoted in str(caught.value)
    assert advice in str(caught.value)
    assert "--run-config" in str(caught.value)


def test_the_option_is_named() -> None:
    with pytest.raises(RunConfigError, match="--federation-config"):
        parse_config_args(["nonsense"], option="--federation-config")


def test_a_toml_file_is_flattened(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text("lr = 0.1\n[model]\nname = 'x'\n")
    assert parse_config_args([str(file)]) == {"lr": 0.1, "model.name": "x"}


def test_a_file_and_pairs_do_not_mix(tmp_path: Path) -> None:
    with pytest.raises(RunConfigError, match="x.toml"):
        parse_config_args(["x.toml", "a=1"])


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere.toml"):
        parse_config_args([str(tmp_path / "nowhere.toml")])
    broken = tmp_path / "broken.toml"
    broken.write_text("lr = 0.1\nname = hello\n")
    with pytest.raises(ConfigError, match="line 2: name = hello"):
        parse_config_args([str(broken)])


def test_overrides_take_the_defaults_places() -> None:
    assert fuse_run_config({"lr": 0.1, "rounds": 3}, {"lr": "x"}) == {"lr": "x", "rounds": 3}


def test_unknown_keys_are_named_with_the_nearest() -> None:
    with pytest.raises(RunConfigError) as caught:
        fuse_run_config({"num-server-rounds": 3, "lr": 0.1}, {"num-rounds": 2, "zzz": 1})
    assert "'num-rounds'; did you mean 'num-server-rounds'?" in str(caught.value)
    assert "\n- 'zzz'; known are lr, num-server-rounds\n" in str(caught.value)


def test_all_values_that_are_not_toml_are_told_at_once() -> None:
    with pytest.raises(RunConfigError) as caught:
        parse_config_args(["a=hello b=2 c=True"])
    text = str(caught.value)
    for expected in ("'a=hello' and 'c=True'", "'a=\"hello\"'", "c=true"):
        assert expected in text


def test_the_problems_of_several_texts_are_told_at_once() -> None:
    with pytest.raises(RunConfigError) as caught:
        parse_config_args(["a=hello junk", "b=[1]", "c=1"], option="--federation-config")
    assert caught.value.message.splitlines() == [
        "--federation-config: cannot read 'a=hello' and 'junk' in 'a=hello junk'",
        "--federation-config 'b=[1]': 'b': must be a bool, int, float or text; it is [1]",
    ]
    assert "as in --federation-config 'a=\"hello\"'" in caught.value.hint


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1])
def test_a_number_that_cannot_be_stored_or_sent_is_refused(number: int) -> None:
    with pytest.raises(RunConfigError, match=f"'seed': must be a whole number.*{number}"):
        parse_config_args([f"seed={number}"])


def test_all_wrong_values_of_a_file_are_told_with_their_lines(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text("lrs = 0.1\nsteps = [1]\n[model]\nday = 2020-01-01\ndays = 1\n")
    with pytest.raises(RunConfigError) as caught:
        parse_config_args([str(file)], known=["lr", "steps", "model.day"])
    text = str(caught.value)
    assert f"--run-config: Invalid settings in '{file}'" in text
    assert "line 2, steps: must be a bool, int, float or text; it is [1]" in text
    assert "line 4, model.day: must be a bool" in text
    assert "line 1, lrs: unknown key; did you mean 'lr'?" in text
    assert "line 5, model.days: unknown key; did you mean 'model.day'?" in text


def test_types_that_differ_from_the_defaults_are_named() -> None:
    defaults = {"lr": 0.1, "rounds": 3, "name": "x", "fast": True}
    assert differing_types(defaults, {"lr": 1, "rounds": 5, "name": "y", "fast": False}) == []
    told = differing_types(defaults, {"lr": "big", "rounds": 2.5, "fast": 1})
    assert told == [
        "'lr' was set to 'big' (text); by default it is 0.1 (a number).",
        "'rounds' was set to 2.5 (a number); by default it is 3 (a whole number).",
        "'fast' was set to 1 (a whole number); by default it is true (a boolean).",
    ]


# The rows of the grammar's table in the project's specification; None: an error.
ROWS = {
    "types": (["a=1 b=2.5 c=true d=\"x y\" e='q'"],
              {"a": 1, "b": 2.5, "c": True, "d": "x y", "e": "q"}),
    "numbers": (["a=-3 b=1e-3 c=1_000 d=inf"], {"a": -3, "b": 1e-3, "c": 1000, "d": math.inf}),
    "dots": (["a.b.c=3"], {"a.b.c": 3}),
    "table": (["a={x=1,y='s'}"], {"a.x": 1, "a.y": "s"}),
    "two texts": (["a=1", "a=2"], {"a": 2}),
    "a key twice": (["a=1 a=2"], None),
    "bare text": (["a=hello"], None),
    "Python's True": (["a=True"], None),
    "blanks": (["a = 1"], {"a": 1}),  # upstream: nothing, and no error
    "garbage": (["a=1 garbage b=2"], None),  # upstream: ignored
    "equals signs in text": (['a="b=c"', 'url="http://x?y=1"'], {"a": "b=c", "url": "http://x?y=1"}),
    "an escaped quote": ([r'a="q\"r"'], {"a": 'q"r'}),  # upstream: an error
    "a list": (["a=[1,2]"], None),
    "a date": (["a=2020-01-01"], None),
    "a file and pairs": (["x.toml", "a=1"], None),
    "nothing": ([""], {}),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("option", ["--run-config", "--federation-config"])
def test_the_grammar_s_rows(row: str, option: str) -> None:
    texts, expected = ROWS[row]
    if expected is not None:
        assert parse_config_args(texts, option=option) == expected
        return
    with pytest.raises(RunConfigError, match=option):
        parse_config_args(texts, option=option)
