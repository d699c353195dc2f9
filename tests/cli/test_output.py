r"""What reaches a terminal: nothing that it would obey, nothing that its encoding cannot take, and no traces."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from jepa_core.cli import encoders as cli_encoders
from jepa_core.cli import output as cli_output
from tests.helpers import png

ROOT = Path(__file__).parent.parent.parent
NASTY = ["\x1b[2J\x1b]0;title\x07", "\u202egnp.exe", "a\rb", "new\nline", "\x9b31m", "grün 猫 🐈", "=1+1"]


@pytest.fixture
def nasty(tmp_path: Path) -> Path:
    """A folder whose classes and pictures have such names, and one that is no text."""
    for number, name in enumerate(NASTY):
        (tmp_path / "nasty" / name).mkdir(parents=True)
        (tmp_path / "nasty" / name / f"{name}.png").write_bytes(png(number))
    (tmp_path / "nasty" / os.fsdecode(b"\xe9.png")).write_bytes(png(99))
    (tmp_path / "nasty" / "\x1b[2Jbroken.png").write_bytes(b"no picture")
    return tmp_path / "nasty"


def score(command, folder: Path, *more: object) -> tuple[int, str, str]:
    return command("score", "--encoder", "tiny", "--device", "cpu", "--data", folder, *more)


def obeyed(text: str) -> set[str]:
    return {letter for letter in text if cli_output.visible(letter) != letter} - {"\n", "\r"}


@pytest.mark.usefixtures("own_assets")
def test_names_reach_the_terminal_written_out_and_files_as_they_are(command, nasty: Path, tmp_path: Path) -> None:
    status, out, err = score(command, nasty)
    assert status == 0
    assert (obeyed(out), "\r" in out) == (set(), False)
    assert r"\x1b[2J" in out
    assert "grün 猫 🐈" in out
    assert not obeyed(err.replace("\x1b[A", ""))  # tqdm's own
    assert r"\x1b[2Jbroken.png" in err

    status, out, _err = score(command, nasty, "--json")
    names = {row["name"] for row in json.loads(out)}
    assert {f"{name}/{name}.png" for name in NASTY} <= names
    assert out.isascii()

    status, _out, _err = score(command, nasty, "--out", tmp_path / "t.parquet")
    assert set(pd.read_parquet(tmp_path / "t.parquet")["name"]) == names


@pytest.mark.usefixtures("own_assets")
def test_errors_are_written_out_too(command, tmp_path: Path) -> None:
    for words in (
        ("score", "--encoder", "\x1b[2J", "--data", "shapes"),
        ("score", "--encoder", "tiny", "--data", "shapes", "--class", "\u202e"),
        ("check", "--encoder", "tiny", tmp_path / "\x1b[2J\n.png"),
        ("encoders", "tiny", "--\x1b[2J"),
        ("score", "--encoder", "tiny", "--data", "shapes", "--out", f"{tmp_path}/\x1b[2J/x.csv"),
    ):
        status, out, err = command(*words)
        assert (status in (1, 2), out, err.count("\n"), obeyed(err)) == (True, "", 1, set())


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_a_letter_that_the_encoding_lacks_is_no_error(encoding: str) -> None:
    code = "import sys; from jepa_core.cli import datasets, output, parser\n"
    code += "def show(args):\n"
    code += "    output.note('grün 猫 \\udce9'); output.say('grün 猫 \\udce9'); output.Bar('猫')(1, 2)\n"
    code += "datasets.run = show; sys.exit(parser.main(['datasets']))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=os.environ | {"PYTHONIOENCODING": encoding}, capture_output=True
    )
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)
    said = done.stdout.decode(encoding).rstrip()
    assert said == "grün 猫 \\udce9".encode(encoding, "backslashreplace").decode(encoding)


def test_the_app_and_the_terminal_need_nothing_that_only_tests_do() -> None:
    code = "import sys; sys.modules |= dict.fromkeys(['beartype', 'pytest', 'xdist'])\n"
    code += "import jepa_core.cli.parser, jepa_core.theory, "
    code += "jepa_core.jacobian.engine, pages._shared.score_tables"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_what_was_not_foreseen_is_a_sentence_and_kept(command, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    def fail() -> None:
        raise RuntimeError("\x1b[2Jno such thing")

    monkeypatch.setattr(cli_encoders, "list_encoders", fail)
    status, out, err = command("encoders")
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert err == (
        "error: This met something that it did not expect (RuntimeError: \\x1b[2Jno such thing); nothing that was kept "
        f"before is lost, and {cache / 'last-error.txt'} has the details.\n"
    )
    assert "Traceback" in (cache / "last-error.txt").read_text()


def test_libraries_remarks_are_left_out_and_our_own_are_sentences(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    cli_output.be_ready([])
    logging.getLogger("timm.models._builder").warning("No pretrained configuration specified")
    logging.getLogger("huggingface_hub").error("first line\nsecond line")
    logging.getLogger("jepa_core.encoders.registry").warning("The model card %s cannot be read.", "x\x1b[2J")
    assert capsys.readouterr().err == ("huggingface_hub: first line\nThe model card x\\x1b[2J cannot be read.\n")


def test_rows_are_written_as_pandas_writes_them(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"name": "a\x1b[2J", "about MB": 3, "title": "grün 猫 and more", "empty": ""},
        {"name": "longer name", "about MB": 1234567, "title": "b", "empty": ""},
    ]
    cli_output.show(pd.DataFrame(rows), as_json=False)
    expected = capsys.readouterr().out
    cli_output.show_rows(rows, as_json=False)
    assert capsys.readouterr().out == expected
    cli_output.show(pd.DataFrame(rows), as_json=True)
    expected = capsys.readouterr().out
    cli_output.show_rows(rows, as_json=True)
    assert json.loads(capsys.readouterr().out) == json.loads(expected)
    cli_output.show_rows([], as_json=False)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 1)])
def test_a_command_that_is_told_to_end_says_so_and_leaves_nothing_half_done(
    cache: Path, number: int, status: int
) -> None:
    # As a step that takes long: told in the middle of it.
    code = (
        "import runpy, sys, time\nfrom jepa_core.cli import datasets\n"
        "def wait(args):\n    print('begun', flush=True)\n    time.sleep(60)\n"
        "datasets.run = wait\nsys.argv = ['jepa_core', 'datasets']\n"
        "runpy.run_module('jepa_core', run_name='__main__')"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert running.stdout is not None
    assert running.stdout.readline() == "begun\n"
    time.sleep(0.05)
    running.send_signal(number)
    _out, err = running.communicate(timeout=30)
    assert (running.returncode, err) == (
        status,
        "Stopped; what is finished is kept, and the same command goes on from there.\n",
    )
    assert list(cache.iterdir()) == []
