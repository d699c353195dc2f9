"""An archive, however it was made, and the folder it was made of: the same pictures, names, classes and order."""

import bz2
import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow
import pytest

from jepa_core.datasets.registry import get_dataset
from jepa_core.datasets.uploads import Uploads
from jepa_core.errors import DatasetError
from tests.helpers import png

PICTURES = [png(seed) for seed in range(6)]


@pytest.fixture(autouse=True)
def at_home(monkeypatch):
    monkeypatch.delenv("JEPA_DATA_ROOTS", raising=False)


def seen(path: Path | str) -> list[tuple[str, str, str]]:
    return [(item.name, item.label, item.digest) for item in get_dataset(str(path)).items()]


def put(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


# --- trees and ways to pack them --------------------------------------------------------------------------------------


def tree(rng: np.random.Generator) -> dict[str, bytes]:
    """A set of at least two classes, with names of all kinds, deep folders, side files and empty ones."""
    words = ["cat", "Cat", "10", "9", "a b", "ärger", "a\u0308rger", "日本", "x" * 120, "v1.0", "caf\udce9"]
    classes = rng.choice(words, rng.integers(2, 5), replace=False)
    files: dict[str, bytes] = {}
    for label in classes:
        for _ in range(rng.integers(1, 5)):
            deeper = "/".join(rng.choice(["deep", "er", "2", ".hidden"], rng.integers(0, 3)))
            stem = rng.choice([*words, ".dot", "Thumbs", "img.v2", "0001"])
            ending = rng.choice([".png", ".PNG", ".jpg", ".txt", ".JPEG", ""], p=[0.5, 0.1, 0.1, 0.1, 0.1, 0.1])
            name = "/".join(part for part in (label, deeper, f"{stem}{ending}") if part)
            files[name] = PICTURES[rng.integers(len(PICTURES))] if rng.random() < 0.95 else b""
        files[f"{label}/0.png"] = PICTURES[0]
    if rng.random() < 0.5:
        files["top.png"] = PICTURES[1]
        files["Thumbs.db"] = files["desktop.ini"] = b"\0"
    return files


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED, top: str = "", separator: str = "/") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo("x")
            info.filename, info.compress_type = (top + name).replace("/", separator), method
            archive.writestr(info, data)
        archive.writestr(f"__MACOSX{separator}{top.replace('/', separator)}._0.png", b"x")
    return buffer.getvalue()


def zip_of_python(files: dict[str, bytes]) -> bytes:
    """Names that are no text cannot be in a ZIP of Python; other writers put their bytes there."""
    plain = {name.encode("utf-8", "surrogateescape").decode("latin-1"): data for name, data in files.items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in plain.items():
            info = RawName(name)
            archive.writestr(info, data)
    return buffer.getvalue()


class RawName(zipfile.ZipInfo):
    """An entry whose name is written as bytes that say nothing of their encoding."""

    def _encodeFilenameFlags(self):
        return self.filename.encode("latin-1"), self.flag_bits


def tarred(files: dict[str, bytes], form: int = tarfile.GNU_FORMAT, top: str = "", folders: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        if folders:
            info = tarfile.TarInfo(folders)
            info.type = tarfile.DIRTYPE
            archive.addfile(info)
        for name, data in files.items():
            info = tarfile.TarInfo(top + name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def hard_linked(files: dict[str, bytes]) -> bytes:
    """As tar writes files with equal content that were linked to each other."""
    buffer = io.BytesIO()
    first: dict[bytes, str] = {}
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            if data in first:
                info.type, info.linkname = tarfile.LNKTYPE, first[data]
                archive.addfile(info)
            else:
                first[data], info.size = name, len(data)
                archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def cut(data: bytes) -> tuple[bytes, bytes]:
    return data[:700], data[700:]


WAYS: dict[str, tuple[str, Callable[[dict[str, bytes]], bytes]]] = {
    "stored": ("a.zip", lambda files: zipped(files, zipfile.ZIP_STORED)),
    "bzip2": ("a.zip", lambda files: zipped(files, zipfile.ZIP_BZIP2)),
    "LZMA": ("a.cbz", lambda files: zipped(files, zipfile.ZIP_LZMA)),
    "backslashes": ("A.ZIP", lambda files: zipped(files, separator="\\")),
    "with a top folder": ("b.zip", lambda files: zipped(files, top="set/")),
    "a Windows drive": ("b.zip", lambda files: zipped(files, top="C:/data/set/", separator="\\")),
    "names as bytes": ("n.zip", zip_of_python),
    "a ZIP named tar": ("z.tar", zipped),
    "GNU": ("a.tar", tarred),
    "pax": ("A.TAR", lambda files: tarred(files, tarfile.PAX_FORMAT)),
    "of the folder": ("a.tar", lambda files: tarred(files, top="data/set/", folders="data/set")),
    "of its inside": ("a.tar", lambda files: tarred(files, top="./", folders=".")),
    "from above": ("a.tar", lambda files: tarred(files, top="../data/set/", folders="../data/set")),
    "absolute": ("a.tar", lambda files: tarred(files, top="/home/me/set/")),
    "hard links": ("a.tar", hard_linked),
    "gzip": ("a.TGZ", lambda files: gzip.compress(tarred(files))),
    "two parts": ("a.tar.bz2", lambda files: b"".join(bz2.compress(part) for part in cut(tarred(files)))),
    "xz": ("a.tar.xz", lambda files: lzma.compress(tarred(files))),
    "zstandard": ("a.tar.zst", lambda files: pyarrow.compress(tarred(files), codec="zstd", asbytes=True)),
    "gzip named tar": ("g.tar", lambda files: gzip.compress(tarred(files))),
    "a name that says nothing": ("dataset", tarred),
}
WRITTEN_BY_ZIPFILE = (
    "stored",
    "bzip2",
    "LZMA",
    "backslashes",
    "with a top folder",
    "a Windows drive",
    "a ZIP named tar",
)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("way", WAYS)
def test_an_archive_and_the_folder_it_was_made_of_are_the_same(tmp_path, seed, way):
    files = tree(np.random.default_rng(seed))
    file, pack = WAYS[way]
    if way in WRITTEN_BY_ZIPFILE:
        files = {name: data for name, data in files.items() if name.isprintable()}  # it writes no others
    (tmp_path / file).write_bytes(pack(files))
    found, expected = seen(tmp_path / file), seen(put(tmp_path / "folder", files))
    assert found == expected
    assert get_dataset(str(tmp_path / file)).left_out == get_dataset(str(tmp_path / "folder")).left_out
    assert get_dataset(str(tmp_path / file)).classes == get_dataset(str(tmp_path / "folder")).classes


def test_ustar_and_a_set_without_classes(tmp_path):
    files = {"2.png": PICTURES[0], "10.png": PICTURES[1], "notes.md": b"#"}
    folder = put(tmp_path / "set", files)
    (tmp_path / "a.tar").write_bytes(tarred(files, tarfile.USTAR_FORMAT, top="set/", folders="set"))
    (tmp_path / "set.zip").write_bytes(zipped(files, top="set/"))
    assert [name for name, *_ in seen(folder)] == ["2.png", "10.png"]
    assert seen(tmp_path / "a.tar") == seen(tmp_path / "set.zip") == seen(folder)


def test_one_class_that_was_packed_file_by_file_stays_one(tmp_path):
    (tmp_path / "a.zip").write_bytes(zipped({"cat/1.png": PICTURES[0], "cat/2.png": PICTURES[1]}))
    assert [name[:2] for name in seen(tmp_path / "a.zip")] == [("cat/1.png", "cat"), ("cat/2.png", "cat")]


# --- links ------------------------------------------------------------------------------------------------------------


def linked(root: Path) -> Path:
    put(root, {"a/1.png": PICTURES[0], "b/.hidden.bin": PICTURES[1], "b/2.png": PICTURES[2]})
    for name, target in {
        "a/soft.png": "../b/2.png",
        "a/again.png": "soft.png",
        "a/of-hidden.png": "../b/.hidden.bin",
        "c": "b",
        "a/up": "..",
        "round.png": "round.png",
        "gone.png": "nowhere.png",
        "out.png": "/etc/hostname",
        "outside": "../../somewhere",
    }.items():
        (root / name).symlink_to(target)
    return root


def test_links_inside_an_archive_are_followed_and_others_are_named(tmp_path):
    root = linked(tmp_path / "set")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(root, ".")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in sorted(root.rglob("*")):
            if path.is_symlink():
                info = zipfile.ZipInfo(f"{path.relative_to(root)}")
                info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
                archive.writestr(info, os.readlink(path))  # noqa: PTH115 (as it is written)
            elif path.is_file():
                archive.write(path, path.relative_to(root))
    names = ["a/1.png", "a/again.png", "a/of-hidden.png", "a/soft.png", "b/2.png"]
    for file in ("a.tar", "a.zip"):
        spec = get_dataset(str(tmp_path / file))
        assert seen(tmp_path / file) == seen(root)[: len(names)]
        assert [item.name for item in spec.items()] == names
        assert spec.left_out == ("gone.png", "out.png", "outside", "round.png")


def test_a_hard_link_to_a_name_that_came_again_is_the_file_of_then(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, data in (("x/1.png", PICTURES[0]), ("y/2.png", b""), ("x/1.png", PICTURES[1])):
            info = tarfile.TarInfo(name)
            if data:
                info.size = len(data)
            else:
                info.type, info.linkname = tarfile.LNKTYPE, "x/1.png"
            archive.addfile(info, io.BytesIO(data))
    spec = get_dataset(str(tmp_path / "a.tar"))
    assert [item.read() for item in spec.items()] == [PICTURES[1], PICTURES[0]]
    assert "1 came again under the same name; the last counts." in spec.remarks


# --- what a file is, and what cannot be had ---------------------------------------------------------------------------


def test_the_first_bytes_decide_what_a_file_is(tmp_path):
    files = {"a/1.png": PICTURES[0], "b/x.zip": zipped({"c/2.png": PICTURES[1]})}
    (tmp_path / "ends-like-a-zip.tar").write_bytes(tarred(files))
    (tmp_path / "named.zip").write_bytes(tarred(files))
    (tmp_path / "with-a-program-before-it.zip").write_bytes(b"MZ" + bytes(600) + zipped(files))
    for path in tmp_path.iterdir():
        spec = get_dataset(str(path))
        assert [item.read() for item in spec.items()] == [PICTURES[0]]
        assert spec.left_out == ("b/x.zip",)
        assert "1 archives inside it" in spec.remarks


def test_other_archives_are_named(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(100))
    with pytest.raises(DatasetError, match=r"a.tar is a 7z archive; a ZIP or tar of images is accepted"):
        get_dataset(str(tmp_path / "a.tar"))


def changed(data: bytes, *, method: int | None = None, flags: int | None = None, name: bytes = b"2.png") -> bytes:
    """A ZIP in which the directory says something else of one entry."""
    place = data.index(b"PK\1\2")
    while data[place + 46 : place + 46 + len(name)] != name:
        place = data.index(b"PK\1\2", place + 1)
    found = bytearray(data)
    for where, value in ((place + 8, flags), (place + 10, method)):
        if value is not None:
            found[where : where + 2] = struct.pack("<H", value)
    return bytes(found)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"flags": 1}, "1 encrypted"), ({"method": 9}, "1 packed by method 9"), ({"method": 93}, "1 packed by method 93")],
)
def test_entries_that_cannot_be_had_are_counted_and_named(tmp_path, change, said):
    path = tmp_path / "a.zip"
    path.write_bytes(changed(zipped({"1.png": PICTURES[0], "2.png": PICTURES[1]}), **change))
    spec = get_dataset(str(path))
    assert [item.name for item in spec.items()] == ["1.png"]
    assert spec.left_out == ("2.png",)
    assert f"Left out: {said}." in spec.remarks
    path.write_bytes(changed(zipped({"2.png": PICTURES[1]}), **change))
    with pytest.raises(DatasetError, match=rf"has no images; .* Left out: {said}"):
        get_dataset(str(path))


def test_a_part_of_several_is_said(tmp_path):
    data = bytearray(zipped({"1.png": PICTURES[0]}))
    data[-18:-16] = struct.pack("<H", 3)
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(DatasetError, match="it is one of several parts"):
        get_dataset(str(tmp_path / "a.zip"))


def test_pictures_in_other_formats_and_names_too_long_are_named(tmp_path):
    long = "d/" * 200 + "1.png"
    files = {"a/1.png": PICTURES[0], "a/2.xcf": b"x", "a/no-ending": PICTURES[1], ".x/3.xcf": b"", long: PICTURES[2]}
    for file, pack in (("x.zip", zipped), ("x.tar", tarred)):
        (tmp_path / file).write_bytes(pack(files))
        spec = get_dataset(str(tmp_path / file))
        assert len(spec) == 1
        assert spec.left_out == ("a/2.xcf", "a/no-ending", long[:100] + "...")


def test_files_with_holes_are_read_with_them(tmp_path):
    data = b"P5\n100 100\n255\n" + bytes(8192 - 15) + bytes(range(200)) + bytes(1823)
    pax = b"GNU.sparse.major=1\n", b"GNU.sparse.minor=0\n", b"GNU.sparse.name=a/1.pgm\n", b"GNU.sparse.realsize=10215\n"
    records = b"".join(b"%d %s" % (len(one) + 3, one) for one in pax)
    stored = b"2\n0\n512\n8192\n200\n".ljust(512, b"\0") + data[:512] + data[8192:8392]
    with tarfile.open(tmp_path / "x.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, kind, content in (("x", b"x", records), ("GNUSparseFile.0/1.pgm", b"0", stored)):
            info = tarfile.TarInfo(name)
            info.type, info.size = kind, len(content)
            archive.addfile(info, io.BytesIO(content))
    ((name, label, _),) = seen(tmp_path / "x.tar")
    assert (name, label) == ("a/1.pgm", "a")
    assert get_dataset(str(tmp_path / "x.tar")).item(0).read() == data


def test_a_damaged_header_in_the_middle_is_no_end(tmp_path):
    data = bytearray(tarred({f"{seed}.png": PICTURES[seed] for seed in range(4)}))
    second = data.index(b"1.png")
    data[second] ^= 1
    (tmp_path / "a.tar").write_bytes(data)
    (tmp_path / "b.tar.gz").write_bytes(gzip.compress(data))
    for file in ("a.tar", "b.tar.gz"):
        with pytest.raises(DatasetError, match=r"cannot be read \(a header is damaged\)"):
            get_dataset(str(tmp_path / file))


def test_zip64_is_read(tmp_path, monkeypatch):
    files = {"a/1.png": PICTURES[0], "b/2.png": PICTURES[1], "b/3.png": PICTURES[2]}
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 0)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 0)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            with archive.open(name, "w", force_zip64=True) as file:
                file.write(data)
    assert b"PK\6\6" in buffer.getvalue()
    assert b"PK\6\7" in buffer.getvalue()
    for before in (b"", b"MZ" + bytes(100)):
        (tmp_path / "a.zip").write_bytes(before + buffer.getvalue())
        assert [item.read() for item in get_dataset(str(tmp_path / "a.zip")).items()] == PICTURES[:3]


def test_a_backslash_in_a_folder_separates_as_in_an_archive(tmp_path):
    if os.sep == "\\":
        pytest.skip("here it does anyway")
    put(tmp_path / "folder", {"cat\\1.png": PICTURES[0], "dog\\.hidden\\2.png": PICTURES[1], "dog\\3.png": PICTURES[2]})
    assert [found[:2] for found in seen(tmp_path / "folder")] == [("cat/1.png", "cat"), ("dog/3.png", "dog")]


# --- handed over ------------------------------------------------------------------------------------------------------


def test_a_zip_that_is_handed_over_is_read_by_the_same_rules():
    files = {"set/cat/1.png": PICTURES[0], "set/2.png": PICTURES[1], "set/.x.png": PICTURES[2]}
    held = Uploads()
    held.take([("some", changed(zipped(files, separator="\\"), flags=1, name=b"set\\2.png"))])
    assert held.pictures == [("set/cat/1.png", PICTURES[0])]
    assert held.refused == ["Left out of some, since they are encrypted: 1 (set/2.png)."]
