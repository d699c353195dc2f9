"""The terminal when something is wrong: one sentence and a status, and no traceback, however a run ends."""

import ast
import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs

import pytest

from jepa_core import config
from jepa_core.cli import encoders as cli_encoders
from jepa_core.cli import parser

ROOT = Path(__file__).parent.parent.parent

pytestmark = pytest.mark.usefixtures("own_assets")


@pytest.fixture
def score(command, folder):
    return lambda *more: command("score", "--encoder", "tiny", "--device", "cpu", "--data", folder, *more)


ABSENT = "cuda" if sys.platform == "darwin" else "mps"
WRONG = [
    (("score", "--data", "digits-test", "--encoder", "tny"), 2, "error: Unknown encoder: 'tny'. Must be one of: tiny."),
    (
        ("score", "--data", "digits-test", "--encoder", "tiny", "--output", "x"),
        2,
        "error: Unknown output of encoder 'tiny': 'x'. Must be one of: projector, backbone.",
    ),
    (("score", "--data", "digit", "--encoder", "tiny"), 2, "error: Unknown dataset: 'digit'. Must be one of: digits-"),
    (("score", "--data", "digits-test", "--encoder", "tiny", "--class", "x"), 2, "error: Unknown class of dataset"),
    (("score", "--data", "./nowhere", "--encoder", "tiny"), 1, "error: There is no folder './nowhere'"),
    (("score", "--data", "digits-test", "--encoder", "tiny", "--limit", "0"), 2, "error: argument --limit: '0' was"),
    (
        ("score", "--data", "digits-test", "--encoder", "tiny", "--out", "x.txt"),
        2,
        "error: argument --out: A table cannot be written to x.txt; names ending in .parquet or .csv are accepted;",
    ),
    (("check", "--encoder", "tiny", "nowhere.png"), 1, "error: nowhere.png cannot be read (No such file or directory)"),
    (("check", "--encoder", "tiny", "--reference", "digit", __file__), 2, "error: Unknown dataset: 'digit'."),
    (("export", "--data", "digits-test", "--encoder", "tny", "--out", "x.csv"), 2, "error: Unknown encoder: 'tny'"),
    (("verify", "--encoder", "tny"), 2, "error: Unknown encoder: 'tny'"),
    (("pretrain", "nothing"), 2, "error: Unknown recipe: 'nothing'. Must be one of: digits"),
    (("datasets", "--x", "y"), 2, "error: unrecognized arguments: --x y; see 'python -m jepa_core --help'."),
    (("scores",), 2, "error: argument command: invalid choice: 'scores'"),
    (("score",), 2, "error: the following arguments are required: --data; see 'python -m jepa_core score --help'."),
    (("score", "--data", "digits-test", "--seed", "-1"), 2, "error: argument --seed: '-1' was given where a whole"),
    (("score", "--data", "digits-test", "--seed", "1.5"), 2, "error: argument --seed: '1.5' was given where a whole"),
    (
        ("verify", "--seed", "-1"),
        2,
        "error: argument --seed: '-1' was given where a whole number from 0 on is accepted",
    ),
    (
        ("score", "--data", "digits-test", "--encoder", "tiny", "--device", ABSENT),
        1,
        f"error: The device '{ABSENT}' is not to be had on this machine; ",
    ),
    (
        ("pretrain", "digits", "--out", __file__),
        1,
        f"error: The encoder cannot be written to {__file__} (File exists);",
    ),
    (("score", "--data", "digits-test", "--limit", "x"), 2, "error: argument --limit: 'x' was given where a whole"),
    (("score", "--data", "digits-test", "--device", "tpu"), 2, "error: argument --device: invalid choice: 'tpu'"),
]


@pytest.mark.parametrize(("words", "status", "sentence"), WRONG, ids=[" ".join(row[0])[:60] or "none" for row in WRONG])
def test_an_error_is_one_line_on_standard_error_and_a_status(command, words, status, sentence):
    found, out, err = command(*words)
    assert (found, out) == (status, "")
    assert err.startswith(sentence)
    assert err.count("\n") == 1


def test_an_empty_folder_is_told(command, tmp_path):
    (tmp_path / "empty").mkdir()
    status, _out, err = command("score", "--encoder", "tiny", "--data", tmp_path / "empty")
    assert status == 1
    assert err.startswith(f"error: The folder {tmp_path / 'empty'} has no images; files that end in")
    assert err.count("\n") == 1


def test_a_damaged_store_is_told_and_the_scores_are_computed_again(score, cache):
    (cache / "store.sqlite").write_bytes(b"garbage" * 1000)
    status, out, err = score("--json")
    assert (status, len(json.loads(out))) == (0, 12)
    assert err.startswith(f"The store {cache / 'store.sqlite'} was damaged (")


def test_stopping_from_the_keyboard_is_a_sentence(command, monkeypatch):
    def stop(_args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli_encoders, "list_encoders", lambda: stop(None))
    status, out, err = command("encoders")
    assert (status, out) == (1, "")
    assert err == "Stopped; what is finished is kept, and the same command goes on from there.\n"


def test_stopping_while_it_is_still_being_imported_is_a_sentence(tmp_path):
    (tmp_path / "tqdm.py").write_text("raise KeyboardInterrupt")
    done = subprocess.run(
        [sys.executable, "-m", "jepa_core", "datasets"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Stopped before anything was begun.\n"


@pytest.mark.parametrize("words", [["datasets", "--json"], ["datasets"], ["score", "--help"]])
def test_a_reader_that_has_gone_is_no_traceback(words):
    # As in `... | head -1`, made sure of: the reading end is closed before the program starts.
    reading, writing = os.pipe()
    os.close(reading)
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}  # as most people run it
    words = [sys.executable, "-m", "jepa_core", *words]
    done = subprocess.run(words, cwd=ROOT, env=env, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize(
    "words", [[], ["--help"], *([name, "--help"] for name in ("score", "check", "export", "verify"))]
)
def test_help_is_printed(command, words):
    status, out, err = command(*words)
    assert (status, err) == (0, "")
    assert out.startswith("usage: python -m jepa_core")


def test_the_explorer_is_streamlits_server_with_its_own_options(command, monkeypatch):
    became = []
    monkeypatch.setattr(os, "execv", lambda program, words: became.append((program, words)))
    assert command("app", "--server.port", "8600", "--server.headless=true")[0] == 0
    script = str(config.ROOT / "app.py")
    expected = [sys.executable, "-m", "streamlit", "run", script, "--server.port", "8600", "--server.headless=true"]
    assert became == [(sys.executable, expected)]
    assert Path(script).exists()


def test_the_explorer_opens_on_a_folder_at_its_own_address(command, monkeypatch, folder):
    became = []
    monkeypatch.setattr(os, "execv", lambda program, words: became.append((program, words)))
    assert command("app", "--data", folder, "--server.port=8600")[0] == 0
    [(program, words)] = became
    assert (program, words[:3]) == (sys.executable, [sys.executable, "-m", "jepa_core.cli.serve_at"])
    assert parse_qs(words[3]) == {"dataset": ["folder on this computer"], "folder": [str(folder)]}
    assert words[4:] == ["run", str(config.ROOT / "app.py"), "--server.port=8600"]


def test_a_folder_that_is_not_there_is_said_before_any_server_starts(command, monkeypatch, tmp_path):
    monkeypatch.setattr(os, "execv", None)  # would fail if it were called
    status, out, err = command("app", "--data", tmp_path / "nowhere")
    assert (status, out) == (1, "")
    assert err == (
        f"error: There is no folder '{tmp_path}/nowhere'; the name of a bundled dataset, or the path of a folder, ZIP "
        "or tar of images, is accepted; check the spelling.\n"
    )


def test_the_server_names_and_opens_that_address(monkeypatch, capsys):
    from streamlit import cli_util
    from streamlit import config as streamlit_config
    from streamlit.web import bootstrap, cli
    from streamlit.web.server import server_util

    from jepa_core.cli.serve_at import serve

    handed, opened = [], []
    monkeypatch.setattr(cli, "main", lambda words, prog_name: handed.append((words, prog_name)))
    monkeypatch.setattr(cli_util, "open_browser", opened.append)
    monkeypatch.setattr(bootstrap, "server_util", server_util)
    monkeypatch.setattr(bootstrap, "prepare_streamlit_environment", lambda _script: None)
    headless = streamlit_config.get_option("server.headless")
    own = server_util.get_url("localhost")
    serve("dataset=a+b", ["run", "app.py"])
    assert handed == [(["run", "app.py"], "streamlit")]

    async def start() -> None:
        bootstrap._on_server_start(SimpleNamespace(main_script_path="app.py", is_running_hello=False))
        await asyncio.sleep(0)

    streamlit_config.set_option("server.headless", False)
    try:
        asyncio.run(start())
    finally:
        streamlit_config.set_option("server.headless", headless)
    assert [address.partition("/?")[2] for address in opened] == ["dataset=a+b"]
    assert f"{opened[0]}\n" in capsys.readouterr().out
    assert server_util.get_url("localhost") == own, "other parts of Streamlit take it for their origin"


def test_the_module_runs_as_a_program(folder):
    words = ["score", "--encoder", "tiny", "--device", "cpu", "--data", str(folder), "--limit", "2", "--json"]
    done = subprocess.run([sys.executable, "-m", "jepa_core", *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0
    assert len(json.loads(done.stdout)) == 2
    assert "2 images scored" in done.stderr
    wrong = subprocess.run(
        [sys.executable, "-m", "jepa_core", "score", "--data", "digits-tst"], cwd=ROOT, capture_output=True, text=True
    )
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.count("\n") == 1


def _names() -> list[str]:
    """The commands, as help lists them."""
    (action,) = [action for action in parser.build_parser()._actions if action.dest == "command"]
    return list(action.choices)


HELP = [[*words, "--help"] for words in ([], *([name] for name in _names()), ["bench", "ood"])]


@pytest.mark.parametrize("words", [["encoders"], ["datasets"], *HELP], ids=" ".join)
def test_what_computes_nothing_imports_nothing_that_takes_seconds(words):
    code = "import atexit, runpy, sys\n"
    code += "atexit.register(lambda: print(sorted({name.partition('.')[0] for name in sys.modules})))\n"
    code += f"sys.argv = ['jepa_core', *{words}]\nrunpy.run_module('jepa_core', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    imported = ast.literal_eval(done.stdout.splitlines()[-1])
    assert "jepa_core" in imported
    assert not {"torch", "torchvision", "timm", "pandas", "pyarrow", "scipy", "sklearn", "plotly"} & set(imported)
