"""``config.toml``, ``FLWR_HOME``, and where a run takes place."""

from collections.abc import Callable
from pathlib import Path

import pytest

from flwr.config import (
    AppConfig,
    Federation,
    SimulationOptions,
    choose_place,
    home,
    read_connections,
    read_federations,
    state_dir,
)
from flwr.errors import ConfigError, HomeError

CONNECTIONS = """
[superlink]
default = "local"

[superlink.local]
address = ":local:"

[superlink.hub]
address = "hub.example:9093"
insecure = true

[superlink.big]
options.num-supernodes = 500
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Return a function that writes ``config.toml`` of a new ``FLWR_HOME``."""
    monkeypatch.setenv("FLWR_HOME", str(tmp_path))

    def write(text: str) -> Path:
        file = tmp_path / "config.toml"
        file.write_text(text)
        return file

    return write


def app(default: str | None, **federations: Federation) -> AppConfig:
    return AppConfig(Path("/app"), "a", "1", "me", "s:app", "c:app", {}, federations, default)


def test_home_is_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "a" / "b"))
    assert home() == tmp_path / "a" / "b"
    assert state_dir() == home() / "wildflower"
    assert state_dir().is_dir()


def test_home_is_in_the_users_folder_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FLWR_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert home() == tmp_path / ".flwr"


def test_a_home_that_cannot_be_used_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(HomeError, match="FLWR_HOME .*file.home"):
        home()


def test_a_home_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLWR_HOME", str(tmp_path))
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write everywhere
    with pytest.raises(HomeError, match="cannot be written"):
        home()


def test_without_a_file_there_is_local_and_none_is_written(write: Callable[[str], Path]) -> None:
    connections = read_connections()
    assert connections.default == "local"
    assert connections.by_name["local"].is_local
    assert not connections.path.exists()


def test_connections_are_read(write: Callable[[str], Path]) -> None:
    write(CONNECTIONS)
    connections = read_connections()
    assert set(connections.by_name) == {"local", "hub", "big"}
    assert connections.by_name["hub"].insecure
    assert not connections.by_name["hub"].is_local
    assert connections.by_name["big"].is_local
    assert connections.by_name["big"].options.num_supernodes == 500


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[superlink]\ndefault = 'hob'\n[superlink.hub]\naddress='h:1'", "did you mean 'hub'?"),
        ("[superlink.hub]\nadress='h:1'", "did you mean 'address'?"),
        ("[superlink.hub]\ninsecure=true", "'address' is missing"),
        ("[superlink.hub]\naddress='not an address'", "must be host:port"),
        ("[superlink.hub]\naddress=3", "address: must be a text; it is 3"),
        (
            "[superlink.hub]\naddress='h:1'\nroot-certificates='/ca.crt'\ninsecure=true",
            "cannot be used together",
        ),
        ("[superlink.hub]\naddress='h:1'\nfederation='x'", "must be @account/name"),
        ("[superlink.'a.b']\naddress='h:1'", "must not contain a dot"),
        ("[superlink]\nhub = 3", "must be a table"),
        ("x = 1", "[superlink] is missing"),
        ("[superlinks.a]\naddress = 'h:1'", "did you mean 'superlink'?"),
        ("superlink = 3", "must be a table; it is 3"),
        ("[superlink]\ndefualt = 'hub'", "did you mean 'default'?"),
        ("[superlink]\ndefault = ['a']", "must be the name of one"),
        ("[superlink.a.b]\naddress='h:1'", "must not contain a dot"),
        ("[superlink.hub]\naddress='h:99999'", "a port is at most 65535"),
        ("[superlink.hub]\naddress=':locl:'", "did you mean ':local:'?"),
        ("[superlink.hub]\naddress='h:1'\ninsecure='yes'", "insecure: must be true or false"),
        ("[superlink.hub]\naddress='h:1'\nroot-certificates=''", "it is empty"),
        ("[superlink.hub]\naddress='h:1'\nroot-certificates=3", "must be a path"),
        ("[superlink.hub]\naddress='h:1'\nfederation=''", "must be @account/name"),
        ("[superlink.hub]\naddress='h:1'\noptions=3", "options: must be a table"),
        ("[superlink.hub]\noptions.num-supernode = 3", "did you mean 'num-supernodes'?"),
        ("[superlink.hub]\noptions.num-supernodes = 0", "at least 1"),
    ],
)
def test_bad_connections_are_told(write: Callable[[str], Path], text: str, expected: str) -> None:
    file = write(text)
    with pytest.raises(ConfigError) as caught:
        read_connections()
    assert expected in str(caught.value)
    assert str(file) in str(caught.value)


OPTION = "options.num-supernodes"


def test_all_problems_are_told_at_once_with_line_and_key(write: Callable[[str], Path]) -> None:
    file = write(
        "[superlink]\ndefault = 'labb'\n[superlink.lab]\nadress = 'h:1'\ninsecure = 1\n"
        "[superlink.far]\naddress = 'h:1'\nfederation = 'me'\ninsecure = true\n"
        "root-certificates = '/ca.crt'\noptions.num-supernodes = 0\n"
    )
    with pytest.raises(ConfigError) as caught:
        read_connections()
    assert str(caught.value).splitlines() == [
        f"Invalid connections in '{file}':",
        "- line 2, superlink.default: there is no connection 'labb'; did you mean 'lab'?",
        "- line 4, superlink.lab.adress: unknown key; did you mean 'address'?",
        "- line 5, superlink.lab.insecure: must be true or false; it is 1",
        "- line 8, superlink.far.federation: must be @account/name; it is 'me'",
        "- line 10, superlink.far.root-certificates: cannot be used together with insecure = true",
        f"- line 11, superlink.far.{OPTION}: must be an integer of at least 1; it is 0",
    ]


def test_text_that_is_no_toml_is_told_with_its_line(write: Callable[[str], Path]) -> None:
    file = write("[superlink]\ndefault = hub\n")
    with pytest.raises(ConfigError, match="line 2: default = hub") as caught:
        read_connections()
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("written", ["certificates/ca.crt", "{home}/certificates/ca.crt"])
def test_root_certificates_may_lie_beside_the_file(
    write: Callable[[str], Path], tmp_path: Path, written: str
) -> None:
    path = written.format(home=tmp_path)
    write(f"[superlink.hub]\naddress = 'h:1'\nroot-certificates = '{path}'\n")
    found = read_connections().by_name["hub"].root_certificates
    assert found == tmp_path / "certificates" / "ca.crt"


def test_root_certificates_may_lie_in_the_users_folder(
    write: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    write("[superlink.hub]\naddress = 'h:1'\nroot-certificates = '~/ca.crt'\n")
    found = read_connections().by_name["hub"].root_certificates
    assert found == tmp_path / "me" / "ca.crt"


def test_a_connection_may_be_called_default(write: Callable[[str], Path]) -> None:
    write("[superlink.default]\naddress = 'h:1'\n")
    assert read_connections().by_name["default"].address == "h:1"
    assert read_connections().default == "local"


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "[superlink]\n"])
def test_an_empty_file_is_as_good_as_none(write: Callable[[str], Path], text: str) -> None:
    write(text)
    assert read_connections().default == "local"


def test_the_file_of_flower_1_41_is_read_as_it_is(write: Callable[[str], Path]) -> None:
    file = write(
        '[superlink]\ndefault = "local"\n[superlink.supergrid]\naddress = "api.flower.ai"\n'
        '[superlink.local]\naddress = ":local:"\n'
    )
    before = file.read_bytes()
    assert set(read_connections().by_name) == {"local", "supergrid"}
    assert file.read_bytes() == before


SIMULATION = Federation("sim", options=SimulationOptions(num_supernodes=3, configured=True))
REMOTE = Federation("remote", address="h:1")


def test_unnamed_the_apps_default_comes_first(write: Callable[[str], Path]) -> None:
    write(CONNECTIONS.replace('default = "local"', 'default = "hub"'))
    place = choose_place(None, app("sim", sim=SIMULATION), read_connections())
    assert (place.name, place.address, place.options.num_supernodes) == ("sim", None, 3)


def test_unnamed_a_remote_default_connection_comes_second(write: Callable[[str], Path]) -> None:
    write(CONNECTIONS.replace('default = "local"', 'default = "hub"'))
    place = choose_place(None, app(None, sim=SIMULATION), read_connections())
    assert (place.name, place.address) == ("hub", "hub.example:9093")
    assert "config.toml" in place.why


def test_unnamed_and_unconfigured_it_is_in_place(write: Callable[[str], Path]) -> None:
    place = choose_place(None, app(None), read_connections())
    assert (place.name, place.address) == ("", None)
    assert place.options == SimulationOptions(num_supernodes=10, configured=False)


def test_a_name_is_a_connection_before_it_is_a_federation(write: Callable[[str], Path]) -> None:
    write(CONNECTIONS)
    federations = app("sim", sim=SIMULATION, hub=REMOTE)
    connections = read_connections()
    assert choose_place("hub", federations, connections).address == "hub.example:9093"
    assert choose_place("sim", federations, connections).options.num_supernodes == 3
    assert choose_place("local", federations, connections).address is None


def test_a_place_says_how_its_superlink_is_reached(write: Callable[[str], Path]) -> None:
    write(CONNECTIONS + "[superlink.safe]\naddress = 'h:1'\nroot-certificates = '/ca.crt'\n")
    ca = Path("/app/ca.crt")
    lab = Federation("lab", address="lab.example:9093", root_certificates=ca)
    connections = read_connections()
    hub = choose_place("hub", app(None), connections)
    assert (hub.insecure, hub.root_certificates, hub.of_app) == (True, None, False)
    safe = choose_place("safe", app(None), connections)
    assert (safe.insecure, safe.root_certificates) == (False, Path("/ca.crt"))
    place = choose_place("lab", app(None, lab=lab), connections)
    assert (place.address, place.insecure, place.of_app) == ("lab.example:9093", False, True)
    assert place.root_certificates == ca


PROJECT = """
[project]
name = 3

[tool.flwr.federations]
default = "lab"

[tool.flwr.federations.lab]
address = "lab.example:9093"
root-certificates = "certificates/ca.crt"
"""


def test_federations_are_read_without_the_rest_of_the_app(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    found = read_federations(tmp_path)
    assert found.default_federation == "lab"
    ca = tmp_path / "certificates" / "ca.crt"
    assert found.federations["lab"].root_certificates == ca
    assert read_federations(tmp_path / "elsewhere").federations == {}


def test_certificates_for_an_insecure_federation_are_a_contradiction(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(f"{PROJECT}insecure = true\n")
    with pytest.raises(ConfigError, match="root-certificates: cannot be used together"):
        read_federations(tmp_path)


def test_an_unknown_name_is_told_with_the_nearest(write: Callable[[str], Path]) -> None:
    with pytest.raises(ConfigError, match="did you mean 'remote'"):
        choose_place("remot", app(None, remote=REMOTE), read_connections())


@pytest.mark.parametrize(
    "key", ["num-supernodes", "options.num-supernodes", "num_supernodes", "options.num_supernodes"]
)
def test_options_have_several_spellings(key: str) -> None:
    told: list[str] = []
    options = SimulationOptions().override({key: 4}, lambda *problem: told.extend(problem))
    assert options.num_supernodes == 4
    assert options.configured
    assert not told


def test_unknown_and_wrong_options_are_told() -> None:
    told: dict[str, str] = {}
    SimulationOptions().override(
        {"num-supernode": 4, "verbose": 1, "client-resources-num-cpus": 0}, told.__setitem__
    )
    assert "did you mean 'num-supernodes'?" in told["num-supernode"]
    assert "true or false" in told["verbose"]
    assert "above 0" in told["client-resources-num-cpus"]


def test_the_whole_simulations_resources_are_checked() -> None:
    told: dict[str, str] = {}
    given = {"backend.init-args": {"num-cpus": 0, "num-gpus": "two", "log-to-driver": True}}
    options = SimulationOptions().override(given, told.__setitem__)
    assert options.init_args == {"log_to_driver": True}
    assert "above 0" in told["backend.init-args.num-cpus"]
    assert "at least 0" in told["backend.init-args.num-gpus"]
