"""A hostile visitor of a hosted server: `python benchmarks/visitor.py [--short]` prints what was tried and how refused.

A real server with $JEPA_DATA_ROOTS set to a link, beside which lies a secret, and one visitor at work. The other tries:
names of folders, values of every parameter of an address, connections from elsewhere, the first one's job, picture and
upload, what only the owner may do, and archives and pictures that are dearer than they look.

A try fails where a page shows what may not be seen, where anything that is sent has the path of something that is not
for visitors, where a page ends in an error that no sentence was made for, or where the server no longer answers.
Exit status 1 where any does.
"""

import argparse
import asyncio
import io
import os
import re
import sys
import tempfile
import time
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.exceptions import InvalidStatus

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.serving import ROOT, Served, server
from benchmarks.users import JOB, PAGES, resident
from benchmarks.visiting import Session, plain_client

SECRET = "classified"
LEAST = 200  # MB that a try may add to the server's memory before it is called a bomb
UNFORESEEN = ("did not expect", "failed unexpectedly", "Traceback")
NAMES = (
    "/proc/self/cwd",
    "/proc/self/cwd/pages",
    "/proc/self/environ",
    "/proc/self/root{beside}",
    "~",
    "~root/.ssh",
    ".",
    "./docs",
    "..",
    "docs",
    "folder:docs",
    "/",
    "/etc/passwd",
    "/dev/zero",
    "/dev/stdin",
    "{beside}",
    "{beside}/*.zip",
    "{beside}/{{a,b}}.zip",
    "{root}/../secret",
    "{root}/away",
    "{root}/away/*.zip",
    "{root}/away.png",
    "{root}/away.zip",
    "{root}/pipe.zip",
    "{root}/pipe.png",
    "{root}/" + "a" * 300,
    "{root}/" + "deep/" * 1000,
    "{root}/zero\0byte",
    "{root}/\x1b[2J\u202e",
    "{root}/{{" + "0..999999999}}.tar",
    "pipe:cat /etc/passwd",
    "http://127.0.0.1/x.tar",
    "file:///etc/passwd",
    "hub:ylecun/mnist/test",
    "hub:../../etc/test",
    "torchvision:mnist/test",
    "torchvision:../x/test",
    "shapes#99999999999999999999",
    "{beside}#3",
)
VALUES = (
    "../../../etc/passwd",
    "{beside}",
    "/proc/self/cwd",
    "\0\x1b[2J\u202e",
    "-1",
    "1e999",
    "nan:nan",
    "9" * 400,
    "a" * 20000,
    "<script>alert(1)</script>",
    "![x](http://example.org/x.png)",
    "[1,2",
    "{{}}",
)
_KEYS = re.compile(r'(?:key=|arrive\(|publish\(|query_params\.get\(|choose_one\([^)]*?)"([\w-]+)"')
PATHS = (
    "/media/../app.py",
    "/media/" + "0" * 64 + ".csv",
    "/static/../../app.py",
    "/app/static/../app.py",
    "/component/../../app.py/x",
    "/_stcore/upload_file/none/none",
    "/..%2f..%2fapp.py",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/_stcore/metrics",
    "/_stcore/host-config",
)


def parameters() -> list[str]:
    """All that an address can ask for: every key of a widget in the pages' sources, and what Streamlit takes itself."""
    sources = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "pages").rglob("*.py")))
    return sorted({*_KEYS.findall(sources), *re.findall(r'"([\w-]+)"\)', sources), "embed", "embed_options"})


@dataclass
class Tries:
    """What was tried: (kind, what, how it was refused, whether it was)."""

    hidden: list[bytes]  # what nobody may be sent
    rows: list[tuple[str, str, str, bool]] = field(default_factory=list)
    heard: bytearray = field(default_factory=bytearray)

    def note(self, kind: str, what: str, how: str, refused: bool) -> None:
        """Add one, with what was sent meanwhile."""
        leaked = [text.decode() for text in self.hidden if text in bytes(self.heard)]
        self.heard.clear()
        if leaked:
            how, refused = f"SENT {leaked}", False
        self.rows.append((kind, what, how, refused))


def picture(seed: int, side: int = 24) -> bytes:
    """A PNG of noise."""
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def lay_out(given: Path) -> tuple[Path, Path]:
    """The root, which is a link, and what lies beside the folder that it leads to."""
    real, beside, root = given / "real" / "open", given / "real" / "secret", given / "root"
    for folder, count in ((real / "cats", 30), (beside / SECRET, 3)):
        folder.mkdir(parents=True)
        for number in range(count):
            (folder / f"{number}.png").write_bytes(picture(number))
    with zipfile.ZipFile(beside / "a.zip", "w") as archive:
        archive.writestr(f"{SECRET}/1.png", picture(1))
    root.symlink_to(real)
    (real / "away").symlink_to(beside)
    (real / "away.png").symlink_to(beside / SECRET / "1.png")
    (real / "away.zip").symlink_to(beside / "a.zip")
    for name in ("pipe.zip", "pipe.png"):
        os.mkfifo(real / name)
    return root, beside


async def _said(visitor: Session, seconds: float = 60.0) -> list[str]:
    """The errors on its page, which may come from a job that waits behind another visitor's."""
    end = time.monotonic() + seconds
    while not (said := visitor.errors()) and time.monotonic() < end:
        await asyncio.sleep(0.1)
    return said


async def names(address: str, tries: Tries, root: Path, beside: Path, short: bool) -> None:
    """Folders by their names, each in the address that a new visitor opens."""
    for name in NAMES[:: 4 if short else 1]:
        given = name.format(root=root, beside=beside)
        tries.hidden[:] = [one for one in hidden_of(beside) if one not in given.encode()]  # what is typed is echoed
        async with Session(address, overhear=tries.heard.extend) as visitor:
            run = await visitor.open("gallery", JOB | {"encoder": "digits", "folder": given})
            said = await _said(visitor)
            shown = f"class {SECRET}".encode() in tries.heard
        calm = said and not any(word in sentence for sentence in said for word in UNFORESEEN)
        how = f"{run.seconds:.1f} s: {said[0] if said else 'no error'}"
        tries.note("name", name, how, bool(calm and not shown))
    tries.hidden[:] = hidden_of(beside)


async def addresses(address: str, tries: Tries, beside: Path, short: bool) -> None:
    """Every page, asked for things that are none, each time by a new visitor."""
    asked = parameters()
    for page in ("gallery", "map") if short else PAGES:
        for value in VALUES[:: 5 if short else 1]:
            given = value.format(beside=beside)
            tries.hidden[:] = [one for one in hidden_of(beside) if one not in given.encode()]
            others_left = {name: given for name in asked if name not in ("encoder", "dataset")}
            wrong = []
            for query in (dict.fromkeys(asked, given), others_left, {"dataset": JOB["dataset"], "folder": given}):
                async with Session(address, overhear=tries.heard.extend) as visitor:
                    await visitor.open(page, query)
                    await visitor.settle(20)
                    wrong += [one for one in visitor.errors() if any(word in one for word in UNFORESEEN)]
            tries.note("address", f"{page}?...={value}", wrong[0] if wrong else "shown without it", not wrong)
    tries.hidden[:] = hidden_of(beside)


async def connections(address: str, tries: Tries) -> None:
    """From pages of other servers, under other names, and by other ways than pages."""
    for origin, host in (
        ("http://evil.example", None),
        ("null", None),
        ("http://127.0.0.1.evil.example", None),
        ("http://evil.example", "evil.example"),
    ):
        try:
            async with Session(address, origin=origin, host=host) as visitor:
                await visitor.open()
            tries.note("origin", f"{origin} to {host or 'the server'}", "let in", False)
        except InvalidStatus as error:
            tries.note("origin", f"{origin} to {host or 'the server'}", str(error.response.status_code), True)
    async with plain_client() as client:
        for path in PATHS:
            answer = await client.get(address + path)
            tries.heard += answer.content
            told = b"set_page_config" in answer.content or b"root:" in answer.content
            tries.note("path", path[:40], str(answer.status_code), not told)


async def others(address: str, victim: Session, visitor: Session, tries: Tries) -> None:
    """The job, the upload and the session of somebody else, who is scoring a folder and has pictures on Check."""
    await visitor.open("runs")
    told = b"cats" in tries.heard or b"Scoring" in tries.heard
    tries.note("another's job", "read its title", "only that it runs", not told)
    labels = [one.label for one in visitor.all("button")]
    tries.note("another's job", "find its Cancel", "not there", not {"Cancel", "Stopping", "Retry"} & set(labels))
    stop = next(one.id for one in victim.all("button") if one.label == "Cancel")
    for kind in ("cancel", "stop"):
        await visitor._run(WidgetState(id=stop.replace("cancel", kind), trigger_value=True))
    await victim.open("runs")
    going = "Cancel" in [one.label for one in victim.all("button")]
    tries.note("another's job", "press the id of its Cancel", "it goes on", going)
    for kind in ("clear_cache", "load_git_info", "stop_script"):
        message = BackMsg()
        setattr(message, kind, True)
        await visitor._send(message)
    await asyncio.sleep(1)
    await victim.open("runs")
    going = "Cancel" in [one.label for one in victim.all("button")]
    tries.note("another's job", "clear_cache, load_git_info", "it goes on", going)
    await visitor.open("check")
    tries.note("another's picture", "look for it on Check", "not there", b"mine.png" not in tries.heard)
    for session in ("none", victim.id[:-1] + "x"):
        answer = await visitor.put(f"/_stcore/upload_file/{session}/1", "a.png", b"x")
        tries.note(
            "another's upload", f"as session {session[:4]}...", str(answer.status_code), answer.status_code >= 400
        )
    async with plain_client() as client:
        answer = await client.put(f"{address}/_stcore/upload_file/{victim.id}/1", files={"file": ("a.png", b"x")})
    tries.note("another's upload", "without its token", str(answer.status_code), answer.status_code >= 400)


async def owners(visitor: Session, tries: Tries) -> None:
    """What only the owner of the server may do."""
    await visitor.open("runs")
    labels = {one.label for kind in ("button", "text_input", "file_uploader") for one in visitor.all(kind)}
    mine = ("Delete", "Import", "Prepare a download", "Write it to", "Or its path", "A copy of a store")
    for what in mine:
        found = any(label.startswith(what) for label in labels)
        tries.note("owner's", what, "not there", not found)
    await visitor.open("encoders")
    labels = {one.label for one in visitor.all("text_input")}
    tries.note("owner's", "weights by their path", "not there", "File or folder" not in labels)


async def bombs(visitor: Session, served: Served, tries: Tries, short: bool) -> None:
    """Uploads that are dearer than their size."""
    for name, data in _bombs(short):
        before = resident(served.pid)
        await visitor.open("check")
        run = await visitor.upload([(name, data)])
        await visitor.settle(20 if short else 60)
        grown, said = resident(served.pid) - before, visitor.errors()
        calm = not any(word in sentence for sentence in said for word in UNFORESEEN)
        how = f"{run.seconds:.1f} s, {grown:+.0f} MB: {said[0] if said else 'taken'}"
        tries.note("upload", f"{name}, {len(data) / 1000:.0f} kB", how, calm and grown < LEAST)
        if "Forget them" in [one.label for one in visitor.all("button")]:
            await visitor.press("Forget them")


def _bombs(short: bool) -> list[tuple[str, bytes]]:
    made = [
        ("a\x1b[2J\u202e=.png", picture(3)),
        ("no-picture.png", b"\0" * 1000),
        ("empty.zip", b"PK\5\6" + b"\0" * 18),
    ]
    for kind, name in (
        (zipfile.ZIP_BZIP2, "bzip2.zip"),
        (zipfile.ZIP_LZMA, "lzma.zip"),
        (zipfile.ZIP_DEFLATED, "flat.zip"),
    ):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", kind) as archive, archive.open("1.png", "w", force_zip64=True) as entry:
            for _ in range(16 if short else 256):
                entry.write(b"\0" * 2**20)
        made.append((name, buffer.getvalue()))
    wide = b"IHDR" + (60000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
    chunk = (13).to_bytes(4, "big") + wide + zlib.crc32(wide).to_bytes(4, "big")
    made.append(("60000 px.png", b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\0IEND\xaeB`\x82"))
    return made


def hidden_of(beside: Path) -> list[bytes]:
    """What may be in no message: names of the secret, and of where the server keeps what is its own."""
    given = beside.parent.parent
    return [SECRET.encode(), str(beside.parent).encode(), str(given / "cache").encode(), str(ROOT).encode()]


async def everything(served: Served, root: Path, beside: Path, short: bool) -> Tries:
    """All tries, one after another, while another visitor is at work."""
    tries = Tries(hidden_of(beside))
    async with Session(served.address) as first:  # before whom nothing of the app has run: its owner, as a rule
        await first.open("gallery")
    async with Session(served.address) as victim, Session(served.address) as visitor:
        visitor.overhear = tries.heard.extend
        await victim.open("check")
        await victim.upload([("mine.png", picture(99))])
        await victim.settle(60)
        await victim.open("gallery", JOB | {"encoder": "photo", "folder": str(root / "cats")})
        await others(served.address, victim, visitor, tries)
        await owners(visitor, tries)
        await connections(served.address, tries)
        await names(served.address, tries, root, beside, short)
        await addresses(served.address, tries, beside, short)
        await bombs(visitor, served, tries, short)
        await visitor.open("gallery")
        tries.note(
            "at last", "an ordinary page", "is shown", any("Gallery" in one.body for one in visitor.all("heading"))
        )
    return tries


def _short(text: str, most: int) -> str:
    text = ascii(text)[1:-1].replace("|", "/")
    return text if len(text) <= most else f"{text[: most - 4]} ..."


def show(tries: Tries, log: str) -> bool:
    """Print the table; whether everything was refused."""
    print("| tried | what | refused | how |\n|---|---|---|---|")
    for kind, what, how, refused in tries.rows:
        cells = (kind, _short(what, 48), "yes" if refused else "NO", _short(how, 110))
        print("| " + " | ".join(cells) + " |")
    failed = [row for row in tries.rows if not row[3]]
    traces = log.count("Traceback (most recent call last)")
    print(f"\n{len(tries.rows)} tried, {len(failed)} not refused; tracebacks in the server's log: {traces}")
    if traces:
        print(log[-4000:])
    return not failed and not traces


def main() -> int:
    """Try and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="a part of it, in a few seconds")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as given:
        root, beside = lay_out(Path(given))
        log = Path(given) / "log"
        hosted = {"JEPA_DATA_ROOTS": str(root), "STREAMLIT_SERVER_ALLOWED_HOSTS": "127.0.0.1"}
        with server(Path(given) / "cache", hosted, log) as served:
            tries = asyncio.run(everything(served, root, beside, args.short))
        return 0 if show(tries, log.read_text(encoding="utf-8", errors="replace")) else 1


if __name__ == "__main__":
    sys.exit(main())
