"""A server of the explorer and a browser, to measure or picture it from outside. Needs tests/requirements.txt."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = ("chromium-headless-shell", "chromium")


class Served(NamedTuple):
    """A running server."""

    address: str
    process: subprocess.Popen

    @property
    def pid(self) -> int:
        """Of its process."""
        return self.process.pid


@contextmanager
def server(
    cache: str | Path, environment: Mapping[str, str] | None = None, log: Path | None = None
) -> Iterator[Served]:
    """A server whose cache folder is `cache`, from when it answers until the block ends; `log` has what it says."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless=true", f"--server.port={port}"]
    with (log or Path(os.devnull)).open("wb") as written:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | {"JEPA_CACHE": str(cache), "PYTHONFAULTHANDLER": "1"} | dict(environment or {}),
            stdout=written,
            stderr=written if log else None,
        )
    address = f"http://127.0.0.1:{port}"
    patience = time.monotonic() + 120
    try:
        while True:
            try:
                urllib.request.urlopen(f"{address}/_stcore/health", timeout=1)
                break
            except OSError:
                if process.poll() is not None:
                    raise SystemExit("The server stopped before it answered.") from None
                if time.monotonic() > patience:
                    raise SystemExit("The server did not answer.") from None
                time.sleep(0.02)
        yield Served(address, process)
    finally:
        process.terminate()
        try:
            status = process.wait(60)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)  # it says where each of its threads is, and is not left behind
            process.wait()
            raise
    if status < 0:
        raise SystemExit(f"The server ended by signal {-status}.")


@contextmanager
def browser() -> "Iterator[Browser]":
    """Debian's Chromium without a window. The variant that has none takes two thirds of the time of the whole one."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        launched = started.chromium.launch(
            executable_path=next(path for path in map(shutil.which, CHROMIUM) if path),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield launched
        launched.close()
