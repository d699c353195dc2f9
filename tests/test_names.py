"""Names that are no names, and names that would tell too much: one sentence, which says what was typed."""

import errno
import os
import socket
from pathlib import Path

import pytest

from jepa_core import config, files
from jepa_core.datasets import folders
from jepa_core.datasets.registry import get_dataset
from jepa_core.encoders import custom
from jepa_core.errors import EncoderError, JepaError, StoreError, UnknownName
from jepa_core.jobs import JobQueue
from jepa_core.redaction import told
from tests.helpers import png


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def odd(here: None, tmp_path: Path) -> Path:  # noqa: ARG001
    """A folder with all that a name can lead to and is no picture."""
    os.mkfifo(tmp_path / "pipe.png")
    os.mkfifo(tmp_path / "pipe.zip")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "file.png").write_bytes(png(1))
    with socket.socket(socket.AF_UNIX) as made:
        os.chdir(tmp_path)  # a socket's name may have no more than 107 bytes
        made.bind("socket.png")
    return tmp_path


NO_NAMES = [
    "{0}/" + "a" * 256,
    "{0}/" + "ä" * 200 + "/x",
    "{0}/" + "deep/" * 1000,
    "{0}/zero\0byte",
    "{0}/" + "lone\udce9surrogate",
    "{0}/loop.png",
    "{0}/loop.png/x",
    "{0}/file.png/x",
    "{0}/pipe.png",
    "{0}/pipe.zip",
    "{0}/socket.png",
    "{0}/zero.png",
    "/dev/zero",
    "/dev/stdin/x",
    "/proc/self/mem",
    "~" + "a" * 300 + "/x",
    "~nobody-of-that-name/x",
    "{0}/{{" + "a" * 300 + ",b}}.zip",
    "{0}/" + "a" * 300 + "*.zip",
    "{0}/\x1b[2J",
    "{0}/x#3",
    "a" * 5000,
    "\0",
    "#5",
    "folder:",
]


@pytest.mark.parametrize("name", NO_NAMES, ids=lambda name: ascii(name)[:40])
@pytest.mark.parametrize("hosted", [False, True])
def test_what_is_no_folder_is_one_sentence(odd: Path, monkeypatch: pytest.MonkeyPatch, name: str, hosted: bool) -> None:
    if hosted:
        monkeypatch.setenv("JEPA_DATA_ROOTS", str(odd))
    with pytest.raises(JepaError) as caught:
        get_dataset(name.format(odd))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [name for name in NO_NAMES if "\0" not in name], ids=lambda name: ascii(name)[:40])
def test_the_terminal_says_so_in_one_line(odd: Path, command, name: str) -> None:
    given = name.format(odd)
    for words in (("score", "--data", given), ("encoders", "x", "--like", "photo", "--weights", given)):
        status, out, err = command(*words)
        assert (status in (1, 2), out, err.count("\n")) == (True, "", 1)
        assert "did not expect" not in err
        assert err.startswith("error: ")
    for words in (("check", given), ("score", "--data", "shapes", "--out", f"{given}/x.csv")):
        status, out, err = command(*words)
        assert (status in (1, 2), err.count("\n")) == (True, 1)
        assert "did not expect" not in err


@pytest.mark.parametrize("name", ["pipe.png", "zero.png", "loop.png", "socket.png", "nothing.png", "zero\0byte"])
def test_reading_what_is_no_file_neither_waits_nor_goes_on_for_ever(odd: Path, name: str) -> None:
    with pytest.raises(OSError, match=r".") as caught:
        files.read_file(odd / name)
    assert caught.value.errno in (errno.EINVAL, errno.ELOOP, errno.ENOENT, errno.ENXIO)


def test_a_pipe_that_took_the_place_of_a_listed_picture_is_not_waited_for(odd: Path) -> None:
    item = get_dataset(str(odd)).item(0)
    (odd / "file.png").unlink()
    os.mkfifo(odd / "file.png")
    with pytest.raises(JepaError, match="and no file"):
        item.read()


def test_a_home_that_is_not_there_is_a_folder_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JEPA_CACHE", "~nobody-of-that-name/cache")
    assert config.cache_dir() == Path("~nobody-of-that-name/cache")
    with pytest.raises(EncoderError, match="There is no file or folder"):
        custom.find("~nobody-of-that-name/weights", None)


# --- hosted -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`root` is a link to `real/vault`, beside which lies `real/secret`; the server runs in `installed`."""
    for name in ("real/vault/cats/1.png", "real/secret/dogs/2.png", "installed/pages/3.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(png(1))
    (tmp_path / "root").symlink_to(tmp_path / "real" / "vault")
    (tmp_path / "real" / "vault" / "away").symlink_to(tmp_path / "real" / "secret")
    monkeypatch.chdir(tmp_path / "installed")
    monkeypatch.setenv("JEPA_DATA_ROOTS", str(tmp_path / "root"))
    monkeypatch.setenv("HOME", str(tmp_path / "installed"))
    return tmp_path


OUTSIDE = [
    "/proc/self/cwd",
    "/proc/self/cwd/pages",
    "/proc/self/root/etc",
    "~",
    "~/pages",
    "~root",
    ".",
    "./pages",
    "../installed/pages",
    "folder:pages",
    "{0}/root/../secret",
    "{0}/root/away",
    "{0}/root/away/dogs",
    "{0}/real/secret",
    "{0}/real/secret/*.zip",
    "/proc/self/cwd/{{a,b}}.zip",
    "~/*.tar",
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_visitor_reads_what_was_typed_and_nothing_of_where_it_leads(roots: Path, name: str) -> None:
    given = name.format(roots)
    with pytest.raises(JepaError) as caught:
        get_dataset(given)
    said = str(caught.value)
    assert repr(given.removeprefix("folder:")) in said
    rest = said.replace(repr(given.removeprefix("folder:")), "").replace(str(roots / "root"), "")
    assert str(roots) not in rest
    assert f"a folder in {roots / 'root'} is accepted" in said


@pytest.mark.parametrize("there", ["pages", "./pages", "~/pages", "{0}/real/secret", "{0}/root/away/dogs", "pages#5"])
def test_what_may_not_be_read_looks_like_what_is_not_there(roots: Path, there: str) -> None:
    name, number, count = there.format(roots).partition("#")
    said = []
    for given in (name, f"{name}-not"):
        with pytest.raises(JepaError) as caught:
            get_dataset(given + number + count)
        said.append(str(caught.value).replace(repr(given), "X"))
    assert said[0] == said[1]


@pytest.mark.usefixtures("roots")
def test_a_folder_of_the_server_itself_is_an_unknown_name() -> None:
    with pytest.raises(UnknownName, match="Unknown dataset: 'pages'"):
        get_dataset("pages")


@pytest.mark.parametrize("name", ["{0}/root", "{0}/root/cats", "{0}/real/vault/cats", "{0}/root/../vault"])
def test_a_dataset_is_called_as_the_owner_wrote_its_root(roots: Path, name: str) -> None:
    found = get_dataset(name.format(roots))
    shown = [found.name, found.title, found.description, found.name_of(0)]
    assert [text for text in shown if "real" in text or "vault" in text] == []
    assert str(roots / "root") in found.name
    assert found.item(0).read() == png(1)
    again = get_dataset(found.name)
    assert (again.name, again.fingerprint) == (found.name, found.fingerprint)


def test_at_home_a_dataset_is_known_by_where_it_is(roots: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JEPA_DATA_ROOTS")
    assert get_dataset(str(roots / "root")).name == f"folder:{roots / 'real' / 'vault'}"
    assert folders.as_named(roots / "real") == roots / "real"


@pytest.mark.usefixtures("roots")
def test_errors_of_the_server_itself_do_not_say_where_it_is(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    def fail(_job: object) -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file", str(config.ROOT / "secret.py"))

    error = StoreError(f"Results cannot be kept in {cache}/x ({config.ROOT}/y: no room); make room.")
    said = [told(error), *(job.message for job in _ended(fail))]
    assert said == [
        "Results cannot be kept in the cache folder/x (the explorer's folder/y: no room); make room.",
        "Working failed unexpectedly (FileNotFoundError); the log has the details.",
    ]
    monkeypatch.delenv("JEPA_DATA_ROOTS")
    assert told(error) == str(error)
    assert str(config.ROOT) in _ended(fail)[0].message


def _ended(work) -> list:
    job = JobQueue().submit("key", "Working", work)
    assert job.wait(10)
    return [job]
