"""App bundles: what goes into one, and what is refused when one comes from anybody."""

import errno
import hashlib
import io
import os
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from flwr.errors import ConfigError, FabError
from flwr.runtime import fab
from flwr.runtime.fabbuild import build
from flwr.runtime.fabfiles import LeftOut

PYPROJECT = """\
# a comment
[project]
name = "my-app"
version = "1.2.0"
dependencies = ["numpy"]

[tool.flwr.app]
publisher = "me"

[tool.flwr.app.components]
serverapp = "pkg.server:app"
clientapp = "pkg.client:app"

[tool.flwr.app.config]
lr.start = 0.1

[tool.flwr.federations]
default = "here"

[tool.flwr.federations.here]
options.num-supernodes = 2
"""
CODE = {"pkg/__init__.py": "", "pkg/server.py": "app = 1\n", "pkg/client.py": "app = 1\n"}


def app_of(folder: Path, more: dict[str, str] | None = None, pyproject: str = PYPROJECT) -> Path:
    for name, text in {**CODE, **(more or {}), "pyproject.toml": pyproject}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def setting_of(line: str) -> str:
    """The project file with a line more in [tool.flwr.app]."""
    return PYPROJECT.replace('publisher = "me"', f'publisher = "me"\n{line}')


def archive_of(files: dict[str, bytes], listed: str | None = None) -> bytes:
    """A FAB made by hand, by default with a true list."""
    if listed is None:
        listed = "\n".join(
            f"{name},{hashlib.sha256(data).hexdigest()},{len(data) * 8}"
            for name, data in files.items()
        )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        if listed:
            archive.writestr(".info/CONTENT", listed)
    return buffer.getvalue()


def files_of() -> dict[str, bytes]:
    files = {name: text.encode() for name, text in CODE.items()}
    return {"pyproject.toml": PYPROJECT.encode(), **files}


# -- building


def test_equal_folders_make_equal_bytes(tmp_path: Path) -> None:
    files = {"README.md": "x", "pkg/b.py": "", "pkg/a.py": ""}
    one = build(app_of(tmp_path / "one", files))
    umask = os.umask(0o077)
    try:
        folder = app_of(tmp_path / "elsewhere" / "other", dict(reversed(files.items())))
    finally:
        os.umask(umask)
    (folder / "pkg/a.py").chmod(0o755)
    for path in folder.rglob("*"):
        os.utime(path, (0, 1_000_000_000))
    assert build(folder).content == one.content
    assert one.fab_hash == hashlib.sha256(one.content).hexdigest()
    assert one.file_name == f"me.my-app.1-2-0.{one.fab_hash[:8]}.fab"


def state_of(folder: Path) -> dict[Path, tuple[int, int, int]]:
    """Return what changes with each file and folder that is written; not when it was read."""
    found = {path: path.stat() for path in folder.rglob("*")}
    return {path: (at.st_mtime_ns, at.st_mode, at.st_size) for path, at in found.items()}


def test_an_app_is_left_as_it_is(tmp_path: Path) -> None:
    folder = app_of(tmp_path)
    before = state_of(tmp_path)
    build(folder)
    assert state_of(tmp_path) == before


def test_the_bytes_are_those_of_flower(tmp_path: Path) -> None:
    # of the same folder, as `flwr build` of 1.41 names it
    assert build(app_of(tmp_path)).fab_hash[:8] == "081f7997"


def test_code_and_configuration_go_in_and_the_rest_is_told(tmp_path: Path) -> None:
    built = build(
        app_of(
            tmp_path,
            {
                "README.md": "",
                "LICENSE": "",
                "conf/a.yaml": "",
                "pkg/data.jsonl": "",
                "pkg/data.csv": "",
                "pkg/LICENSE": "",
                "pkg/test_it.py": "",
                "pkg/it_test.py": "",
                ".git/config.toml": "",
                "pkg/.cache/x.py": "",
                "venv/x.py": "",
                "pkg/venv/x.py": "",
                "pkg/__pycache__/x.py": "",
            },
        )
    )
    assert built.files == (
        "pyproject.toml",
        "LICENSE",
        "README.md",
        "conf/a.yaml",
        "pkg/__init__.py",
        "pkg/client.py",
        "pkg/data.jsonl",
        "pkg/server.py",
        "pkg/venv/x.py",
    )
    told = {each.path: each.why for each in built.left_out}
    assert told[".git/"] == told["pkg/.cache/"] == "a hidden folder"
    assert told["pkg/test_it.py"] == told["pkg/it_test.py"] == "a test"
    assert "data stays outside" in told["pkg/data.csv"]
    assert "pkg/LICENSE" in told
    assert "venv/" in told


def test_links_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.py").write_text("key = 1")
    app = app_of(tmp_path / "app")
    (app / "pkg/link.py").symlink_to(outside / "secret.py")
    (app / "pkg/links").symlink_to(outside)
    built = build(app)
    assert not any("link" in name or "secret" in name for name in built.files)
    assert {each.path for each in built.left_out} == {"pkg/link.py", "pkg/links/"}


def test_gitignore_of_the_root_counts(tmp_path: Path) -> None:
    ignored = {".gitignore": "# mine\n*.json\n!keep.json\nlocal/\n", "a.json": "", "keep.json": ""}
    built = build(app_of(tmp_path, {**ignored, "local/x.py": "", "pkg/.gitignore": "client.py"}))
    assert "keep.json" in built.files
    assert "pkg/client.py" in built.files
    assert not {"a.json", "local/x.py"} & set(built.files)


def test_gitignore_may_take_a_file_back(tmp_path: Path) -> None:
    lines = "  local/ \n!local/keep.py\n"
    built = build(app_of(tmp_path, {".gitignore": lines, "local/keep.py": "", "local/x.py": ""}))
    assert "local/keep.py" in built.files
    assert [each for each in built.left_out if each.path.startswith("local")] == [
        LeftOut("local/x.py", "named by .gitignore")
    ]


def test_a_gitignore_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.gitignore: '!' is no pattern"):
        build(app_of(tmp_path, {".gitignore": "*.json\n!\n"}))


def test_too_deep_files_are_an_error_unless_they_are_left_out(tmp_path: Path) -> None:
    deep = "a/b/c/d/e/f/g/h/i/j/"
    kept = build(app_of(tmp_path / "ten", {f"{deep}x.py": "", f"{deep}k/x.csv": ""}))
    assert f"{deep}x.py" in kept.files
    with pytest.raises(FabError, match="at most 10 folders one in the other; deeper: 'a/b/c/d"):
        build(app_of(tmp_path / "eleven", {f"{deep}k/x.py": ""}))
    build(app_of(tmp_path / "out", {f"{deep}k/x.py": ""}, setting_of('fab-exclude = ["a/**"]')))


def test_the_project_file_of_another_project_stays_outside(tmp_path: Path) -> None:
    built = build(app_of(tmp_path, {"pkg/sub/pyproject.toml": "x = 1", "pkg/sub/a.toml": ""}))
    assert "pkg/sub/a.toml" in built.files
    assert "pkg/sub/pyproject.toml" not in built.files


def test_patterns_narrow_it_down(tmp_path: Path) -> None:
    lines = 'publisher = "me"\nfab-include = ["pkg/**/*.py"]\nfab-exclude = ["pkg/x.py"]'
    text = PYPROJECT.replace('publisher = "me"', lines)
    built = build(app_of(tmp_path, {"pkg/x.py": "", "README.md": ""}, text))
    assert set(built.files) == {"pyproject.toml", *CODE}


@pytest.mark.parametrize(
    ("setting", "match"),
    [
        ('fab-exclude = ["nothing*.py"]', "no file of the app matches 'nothing"),
        ('fab-include = ["pkg/*.csv"]', "no file of the app matches"),
        ('fab-include = ["local.py"]', "no file of the app matches"),
        ('fab-include = [".git/hook.py"]', "no file of the app matches"),
        (
            'fab-exclude = ["pkg/*.py", "[z-a].py"]',
            r"'\[z-a\].py' is no pattern: bad character range",
        ),
        ("fab-include = 3", "must be a list of patterns; it is 3"),
        ("fab-include = [3]", "must be a list of patterns"),
        ("fab-exclude = []", "is empty"),
        ('fab-exclude = [""]', "is empty"),
    ],
)
def test_patterns_that_do_nothing_are_errors(tmp_path: Path, setting: str, match: str) -> None:
    more = {"pkg/data.csv": "", ".gitignore": "local.py", "local.py": "", ".git/hook.py": ""}
    with pytest.raises(ConfigError, match=match):
        build(app_of(tmp_path, more, setting_of(setting)))


@pytest.mark.parametrize("pattern", ["test_x.py", "build/x.py", "venv/**", "pyproject.toml"])
def test_patterns_may_name_what_stays_outside_or_inside_anyway(
    tmp_path: Path, pattern: str
) -> None:
    more = {"test_x.py": "", "build/x.py": "", "venv/lib/x.py": ""}
    built = build(app_of(tmp_path, more, setting_of(f'fab-exclude = ["{pattern}"]')))
    assert set(built.files) == {"pyproject.toml", *CODE}


def test_an_ignored_pyproject_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="names pyproject.toml"):
        build(app_of(tmp_path, {".gitignore": "*.toml"}))


def test_federations_stay_at_home(tmp_path: Path) -> None:
    built = build(app_of(tmp_path))
    project = fab.read_files(built.content)["pyproject.toml"].decode()
    assert "federations" not in project
    assert "comment" not in project


# -- what pyproject.toml says


def test_what_is_recommended_and_missing_is_told(tmp_path: Path) -> None:
    assert build(app_of(tmp_path / "none")).missing == ("description", "license")
    text = PYPROJECT.replace("[project]", '[project]\ndescription = "x"\nlicense = {text = "x"}')
    assert build(app_of(tmp_path / "all", pyproject=text)).missing == ()


@pytest.mark.parametrize(("was", "becomes"), [('"me"', '"a/b"'), ("1.2.0", "1/2")])
def test_what_cannot_be_in_a_file_name_is_an_error(tmp_path: Path, was: str, becomes: str) -> None:
    with pytest.raises(ConfigError, match="cannot be part of a file's name"):
        build(app_of(tmp_path, pyproject=PYPROJECT.replace(was, becomes)))


def format_1(
    license: str = '{file = "LICENSE"}',  # noqa: A002 - its name in the file
    needs: str = '"flwr[simulation]>=1.40.0"',
    target: str = 'flwr-version-target = "1.41.0"',
) -> str:
    text = setting_of(f"fab-format-version = 1\n{target}")
    return text.replace('["numpy"]', f'["numpy", {needs}]\nlicense = {license}')


@pytest.mark.parametrize(
    "text",
    [
        format_1(),
        format_1('{file = "LICENSE.md"}', "\"FLWR >= 1.40.0, < 2; python_version > '3'\""),
        setting_of('fab-format-version = 0\nflwr-version-target = "whatever"'),
    ],
)
def test_formats_are_accepted(tmp_path: Path, text: str) -> None:
    assert build(app_of(tmp_path, {"LICENSE": "x", "LICENSE.md": "y"}, text)).fab_hash


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (setting_of("fab-format-version = 2"), "there is no format 2"),
        (setting_of("fab-format-version = -1"), "must be 0 or 1; it is -1"),
        (setting_of("fab-format-version = true"), "must be 0 or 1; it is True"),
        (setting_of('fab-format-version = "1"'), "must be 0 or 1; it is '1'"),
        (format_1('"Apache-2.0"'), 'project.license: format 1 needs {file = "LICENSE"}'),
        (format_1('{text = "x"}'), 'project.license: format 1 needs {file = "LICENSE"}'),
        (format_1('{file = "doc/LICENSE"}'), 'project.license: format 1 needs {file = "LICENSE"}'),
        (format_1(needs=""), "needs flwr once; it is there 0 times"),
        (format_1(needs='"flwr>=1.40", "flwr>=1.41"'), "needs flwr once; it is there 2 times"),
        (format_1(needs='"flwr==1.41.0"'), "needs a lower bound of flwr with '>='"),
        (format_1(needs='"flwr @ https://example.com/x.whl"'), "needs a lower bound of flwr"),
        (format_1(needs='"flwr>>1"'), "'flwr>>1' is no requirement"),
        (format_1(target=""), "flwr-version-target: is missing"),
        (format_1(target="flwr-version-target = 3"), "must be a text; it is 3"),
        (format_1(target='flwr-version-target = "x"'), "'x' is no version"),
        (format_1(target='flwr-version-target = "1.39"'), "1.39 is none that 'flwr"),
        (format_1(needs='"flwr>=1.40.0,<1.41"'), "1.41.0 is none that 'flwr<1.41,>=1.40.0'"),
    ],
)
def test_formats_are_checked(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ConfigError, match="Invalid app configuration") as caught:
        build(app_of(tmp_path, {"LICENSE": "x"}, text))
    assert expected in str(caught.value)
    assert "line " in str(caught.value)


def test_all_that_is_wrong_with_a_format_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        build(app_of(tmp_path, pyproject=format_1('"x"', "", "")))
    assert str(caught.value).count("\n- ") == 3


@pytest.mark.parametrize("ignore", ["LICENSE", ""])
def test_the_licence_must_be_inside(tmp_path: Path, ignore: str) -> None:
    more = {"LICENSE": "x"} if ignore else {}
    with pytest.raises(ConfigError, match="licence file 'LICENSE' .* is not in the FAB"):
        build(app_of(tmp_path, {".gitignore": ignore, **more}, format_1()))


def test_too_much_is_refused_with_the_largest_file(tmp_path: Path) -> None:
    with pytest.raises(FabError, match="at most 10485760") as caught:
        build(app_of(tmp_path, {"pkg/big.json": "1" * (fab.MOST_BYTES + 1)}))
    assert "pkg/big.json" in caught.value.hint
    with pytest.raises(FabError, match="at most 998"):
        build(app_of(tmp_path / "many", {f"pkg/f{n}.py": "" for n in range(1000)}))


def test_a_huge_file_is_refused_without_being_read(tmp_path: Path) -> None:
    folder = app_of(tmp_path, {"pkg/records.jsonl": ""})
    os.truncate(folder / "pkg" / "records.jsonl", 1 << 37)  # takes no room on the disk
    with pytest.raises(FabError, match="at most 10485760") as caught:
        build(folder)
    assert "pkg/records.jsonl" in caught.value.hint


def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = app_of(tmp_path, {"pkg/secret.py": ""})

    read = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path.name == "secret.py":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(FabError, match=r"/pkg/secret.py' cannot be read: Permission denied"):
        build(folder)


def test_a_folder_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = app_of(tmp_path, {"pkg/secret/x.py": "", ".git/x": ""})
    scan = os.scandir

    def refuse(path: str) -> Iterator[os.DirEntry[str]]:
        if Path(path).name in ("secret", ".git"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(FabError, match=r"/pkg/secret' cannot be read: Permission denied"):
        build(folder)
    (folder / ".gitignore").write_text("secret/\n")
    assert "pkg/secret/x.py" not in build(folder).files


@pytest.mark.parametrize("name", ["back\\slash.md", "new\nline.py", "b\udcffd.py"])
def test_names_that_could_not_be_unpacked_are_refused(tmp_path: Path, name: str) -> None:
    folder = app_of(tmp_path)
    (folder / name).touch()
    with pytest.raises(FabError) as caught:
        build(folder)
    assert repr(name) in caught.value.message
    (folder / name).rename(folder / f"{name}.csv")
    fab.read(build(folder).content)


# -- reading and unpacking


def test_what_is_built_is_read(tmp_path: Path) -> None:
    app = fab.read(build(app_of(tmp_path)).content)
    assert (app.fab_id, app.version, app.run_config) == ("me/my-app", "1.2.0", {"lr.start": 0.1})


def test_a_fab_is_unpacked_once(tmp_path: Path) -> None:
    built = build(app_of(tmp_path / "app"))
    apps = tmp_path / "apps"
    app = fab.unpack(built.content, apps)
    assert app.app_dir == apps / f"me.my-app.1.2.0.{built.fab_hash[:8]}"
    assert (app.app_dir / "pkg/server.py").read_text() == "app = 1\n"
    (app.app_dir / "pkg/server.py").write_text("app = 2\n")  # tells whether it is written again
    assert fab.unpack(built.content, apps) == app
    assert (app.app_dir / "pkg/server.py").read_text() == "app = 2\n"
    assert [path.name for path in apps.iterdir()] == [app.app_dir.name]


def test_another_fab_with_the_same_eight_digits_gets_its_own_folder(tmp_path: Path) -> None:
    built = build(app_of(tmp_path / "app"))
    taken = tmp_path / "apps" / f"me.my-app.1.2.0.{built.fab_hash[:8]}"
    (taken / "pkg").mkdir(parents=True)
    app = fab.unpack(built.content, tmp_path / "apps")
    assert app.app_dir.name == f"me.my-app.1.2.0.{built.fab_hash}"


def test_names_in_pyproject_do_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    text = PYPROJECT.replace('"me"', '"../../me"').replace("1.2.0", "/etc/1")
    app = fab.unpack(archive_of(files_of() | {"pyproject.toml": text.encode()}), tmp_path / "apps")
    assert app.app_dir.parent == tmp_path / "apps"


def test_a_fab_of_1_18_is_read() -> None:
    files = files_of()
    listed = "\n".join(
        f"{name},{hashlib.sha256(data).hexdigest()},{len(data) * 8}"
        for name, data in files.items()
        if name != "pyproject.toml"
    )
    assert fab.read(archive_of(files, listed + "\n")).fab_id == "me/my-app"


def refused(content: bytes, match: str, tmp_path: Path) -> None:
    with pytest.raises(FabError, match=match):
        fab.read(content)
    with pytest.raises(FabError, match=match):
        fab.unpack(content, tmp_path / "apps")
    assert not list((tmp_path / "apps").glob("*")) if (tmp_path / "apps").exists() else True


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04" + b"x" * 100])
def test_what_is_no_zip_is_refused(content: bytes, tmp_path: Path) -> None:
    refused(content, "no ZIP archive", tmp_path)


def test_a_cut_or_altered_archive_is_refused(tmp_path: Path) -> None:
    content = archive_of(files_of())
    refused(content[: len(content) // 2], "no ZIP archive", tmp_path)
    at = content.index(b"app = 1")
    altered = content[:at] + b"app = 2" + content[at + 7 :]
    refused(altered, "damaged one: Bad CRC", tmp_path)


@pytest.mark.parametrize(
    "name", ["../out.py", "/etc/out.py", "a/../../out.py", "C:/out.py", "a\\b.py"]
)
def test_what_leads_out_of_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    refused(archive_of({**files_of(), name: b""}), "escapes the app's folder", tmp_path)


@pytest.mark.parametrize("name", ["a//b.py", "./a.py", "a/./b.py", "a\nb.py", "x" * 300 + ".py"])
def test_odd_names_are_refused(name: str, tmp_path: Path) -> None:
    refused(archive_of({**files_of(), name: b""}), "no proper name|too long a name", tmp_path)


def with_entry(entry: zipfile.ZipInfo, data: bytes) -> bytes:
    buffer = io.BytesIO(archive_of(files_of()))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(entry, data)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_are_refused(kind: int, tmp_path: Path) -> None:
    entry = zipfile.ZipInfo("pkg/link")
    entry.external_attr = (kind | 0o777) << 16
    refused(with_entry(entry, b"/etc/passwd"), "neither file nor folder", tmp_path)


def test_too_much_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    entry = zipfile.ZipInfo("pkg/bomb.py")
    entry.compress_type = zipfile.ZIP_DEFLATED
    bomb = with_entry(entry, bytes(fab.MOST_UNPACKED))
    assert len(bomb) < 1 << 20
    refused(bomb, "come to .* at most 67108864", tmp_path)
    refused(archive_of({f"{n}.py": b"" for n in range(1001)}), "at most 1000", tmp_path)
    refused(bytes(fab.MOST_BYTES + 1), "at most 10485760", tmp_path)


def test_sizes_that_lie_are_refused(tmp_path: Path) -> None:
    entry = zipfile.ZipInfo("pkg/bomb.py")
    entry.compress_type = zipfile.ZIP_DEFLATED
    content = bytearray(with_entry(entry, bytes(100_000)))
    size = (100_000).to_bytes(4, "little")
    at = content.rindex(size)  # in the directory at the end
    content[at : at + 4] = (10).to_bytes(4, "little")
    refused(bytes(content), "no ZIP|longer", tmp_path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_doubles_and_files_that_are_folders_are_refused(tmp_path: Path) -> None:
    refused(with_entry(zipfile.ZipInfo("pkg/server.py"), b"app = 2"), "is there twice", tmp_path)
    refused(with_entry(zipfile.ZipInfo("pkg/server.py/x.py"), b""), "and a folder too", tmp_path)


def test_rare_compressions_are_refused(tmp_path: Path) -> None:
    entry = zipfile.ZipInfo("pkg/x.py")
    entry.compress_type = zipfile.ZIP_LZMA
    refused(with_entry(entry, b"1"), "compressed in a rare way", tmp_path)


def test_the_list_must_be_there_and_true(tmp_path: Path) -> None:
    files = files_of()
    refused(archive_of(files, ""), "has no '.info/CONTENT'", tmp_path)
    refused(archive_of(files, "one line"), "not as it should be", tmp_path)
    refused(archive_of(files, "pyproject.toml,0,0"), "does not list: 'pkg/__init__.py'", tmp_path)
    refused(with_entry(zipfile.ZipInfo("pkg/more.py"), b""), "not list: 'pkg/more.py'", tmp_path)
    listed = "\n".join(f"{name},{'0' * 64},8" for name in files)
    refused(archive_of(files, listed), "was altered", tmp_path)
    refused(archive_of(files, listed + "\npkg/gone.py,0,0"), "not hold: 'pkg/gone.py'", tmp_path)
    del files["pyproject.toml"]
    refused(archive_of(files), "has no 'pyproject.toml'", tmp_path)


def test_a_bad_project_file_is_told_with_all_its_problems(tmp_path: Path) -> None:
    files = files_of() | {"pyproject.toml": b"[project]\nname = 3\n"}
    with pytest.raises(ConfigError, match="version"):
        fab.unpack(archive_of(files), tmp_path / "apps")
    assert list((tmp_path / "apps").iterdir()) == []
