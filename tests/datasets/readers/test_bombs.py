"""Small archives that would cost gigabytes: what they are refused with, and how much memory that takes."""

import gzip
import io
import tracemalloc
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress

import h5py
import numpy as np
import pytest

from benchmarks import hostile_archives
from jepa_core.datasets.readers import archives, decompression, tar_files
from jepa_core.datasets.registry import get_dataset
from jepa_core.datasets.uploads import Uploads
from jepa_core.errors import DatasetError, JepaError
from tests.helpers import png

MOST = 100 * 2**20  # bytes, of which the largest picture of a visitor may be 64


@pytest.fixture(autouse=True)
def memory() -> Iterator[None]:
    """No test may take more memory than `MOST`, wherever it ends."""
    assert hostile_archives._seeds()  # made before anything is counted
    yield
    tracemalloc.stop()


def costs() -> int:
    return tracemalloc.get_traced_memory()[1]


def opened(path, data: bytes) -> str:
    """What is said of an archive when all of it is read, with memory counted."""
    path.write_bytes(data)
    tracemalloc.start()
    try:
        spec = get_dataset(str(path))
        for item in spec.items():
            item.read()
    except JepaError as error:
        return str(error)
    finally:
        assert costs() < MOST
        tracemalloc.stop()
    return f"{len(spec)} pictures"


def handed_over(data: bytes) -> list[str]:
    held = Uploads()
    tracemalloc.start()
    held.take([("bomb.zip", data)])
    assert costs() < MOST
    assert held.pictures == []
    return held.refused


def lzma_zeros() -> bytes:
    return hostile_archives._lzma_zeros.__wrapped__(2**27)


@pytest.mark.parametrize("says", [1000, 2**31 - 1])
@pytest.mark.parametrize(
    ("method", "packed"),
    [
        (zipfile.ZIP_BZIP2, lambda: hostile_archives._bz2_zeros(40)),
        (zipfile.ZIP_LZMA, lzma_zeros),
        (zipfile.ZIP_DEFLATED, lambda: hostile_archives._deflated_zeros(4)),
    ],
)
def test_an_entry_is_not_unpacked_beyond_its_limit(tmp_path, method, packed, says):
    data = hostile_archives._zip(("1.png", packed(), method, says))
    assert "accepted" in opened(tmp_path / "a.zip", data)
    (sentence,) = handed_over(data)
    assert sentence.startswith("1.png in bomb.zip ")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_DEFLATED])
def test_a_mark_is_not_unpacked_beyond_what_it_says(tmp_path, method):
    packed = hostile_archives._bz2_zeros(40) if method == zipfile.ZIP_BZIP2 else hostile_archives._deflated_zeros(4)
    data = hostile_archives._zip(("0.png", b"", zipfile.ZIP_STORED, 0), ("0.cls", packed, method, 9))
    assert "0.cls: it becomes more than 9 bytes" in opened(tmp_path / "a.zip", data)


def test_marks_together_have_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(decompression, "_FREE", (2**20, 2**20))
    files = {f"{number}.cls": bytes(900_000) for number in range(2)} | {"0.png": b""}
    assert "larger than is accepted" in opened(tmp_path / "a.zip", hostile_archives.zipped(files))


def many(count: int, says: int) -> bytes:
    local, record = hostile_archives._zip_entry("0.png", b"", zipfile.ZIP_STORED, 0, 0)
    return local + record * count + hostile_archives._end(says, len(record) * count, len(local))


@pytest.mark.parametrize("says", [1, 60_000])
def test_too_many_entries_are_refused_before_they_are_parsed(tmp_path, monkeypatch, says):
    monkeypatch.setattr(archives, "MOST_ENTRIES", 1000)
    data = many(60_000, says)
    assert "entries; up to 1000 are accepted; divide it" in opened(tmp_path / "a.zip", data)
    assert handed_over(data) == [
        f"bomb.zip has {max(says, 20_001)} files; up to 5000 are accepted; divide it into several."
    ]


def test_entries_that_share_bytes_are_left_out(tmp_path):
    packed = zlib.compress(bytes(2**20), 9)[2:-4]
    whole, record = hostile_archives._zip_entry("0.png", packed, 8, 2**20, 0, zlib.crc32(bytes(2**20)))
    good, good_record = hostile_archives._zip_entry("ok.png", png(0), 0, len(png(0)), len(whole), zlib.crc32(png(0)))
    shared = [hostile_archives._zip_entry(f"{number}.png", packed, 8, 2**20, 5)[1] for number in range(3)]
    directory = record + b"".join(shared) + good_record
    data = whole + good + directory + hostile_archives._end(5, len(directory), len(whole + good))
    assert opened(tmp_path / "a.zip", data) == "1 pictures"
    spec = get_dataset(str(tmp_path / "a.zip"))
    assert spec.left_out == ("0.png", "1.png", "2.png")
    assert "3 overlapping another" in spec.remarks


def packed_tar(kind: bytes, size: int) -> bytes:
    head = hostile_archives._tar_head("1.png", size, kind)
    return gzip.compress(head) + gzip.compress(bytes(2**26)) * (size // 2**26) + gzip.compress(bytes(1024))


@pytest.mark.parametrize("kind", [b"L", b"K", b"x", b"g"])
def test_a_name_of_gigabytes_is_refused(tmp_path, kind):
    assert "a header of more than 256 KiB" in opened(tmp_path / "a.tar.gz", packed_tar(kind, 2**28))


def test_a_packed_tar_is_not_unpacked_beyond_its_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(decompression, "_FREE", (2**27, 2**27))
    assert "it becomes too large when unpacked" in opened(tmp_path / "a.tar.gz", packed_tar(b"0", 2**28))
    monkeypatch.setattr(decompression, "_FREE", (2**30, 2**27))
    assert opened(tmp_path / "b.tar.gz", packed_tar(b"1", 0)).startswith("The archive")
    monkeypatch.setenv("JEPA_DATA_ROOTS", str(tmp_path))
    assert "it becomes too large when unpacked" in opened(tmp_path / "c.tar.gz", packed_tar(b"0", 2**28))


def test_a_packed_tar_has_no_more_entries_than_its_bytes_can_be(tmp_path, monkeypatch):
    monkeypatch.setattr(tar_files, "_FREE_MEMBERS", 100)
    heads = b"".join(hostile_archives._tar_head(f"{number}.png", 0) for number in range(1000))
    assert "far more than its bytes can be" in opened(tmp_path / "a.tar.gz", gzip.compress(heads + bytes(1024)))
    assert opened(tmp_path / "a.tar", heads + bytes(1024)) == "1000 pictures"


@pytest.mark.parametrize("size", [-512, 2**70])
def test_headers_that_lead_nowhere_are_refused(tmp_path, size):
    head = bytearray(hostile_archives._tar_head("1.png", 0))
    head[124:136] = (b"\xff" if size < 0 else b"\x80") + (size % 2**88).to_bytes(11, "big")
    hostile_archives._mend_checksums(head)
    assert "cannot be read (" in opened(tmp_path / "a.tar", bytes(head) + bytes(1024))


def test_loops_of_links_end(tmp_path):
    assert "has no images" in opened(tmp_path / "a.tar", hostile_archives._links())


def test_json_that_is_nested_deeply_is_said(tmp_path):
    data = hostile_archives.zipped({"0.png": png(0), "0.json": b'{"label":' * 100_000 + b"1" + b"}" * 100_000})
    assert "recursion" in opened(tmp_path / "a.zip", data)


# --- HDF5 -------------------------------------------------------------------------------------------------------------


def galaxies(shape: tuple[int, ...], chunk: tuple[int, ...], packed: bytes = b"", **options) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        images = file.create_dataset("images", shape, np.uint8, chunks=chunk, **{"compression": "gzip"} | options)
        if packed:
            images.id.write_direct_chunk((0,) * len(shape), packed)
        file.create_dataset("ans", shape[:1], np.uint8, chunks=(min(shape[0], 2**16),), compression="gzip")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (lambda: galaxies((2**32, 8, 8, 3), (1, 8, 8, 3)), "ans "),
        (lambda: galaxies((1, 60_000, 60_000, 3), (1, 1000, 1000, 3)), "takes 10300 MiB at once"),
        (lambda: galaxies((2**10, 1024, 1024, 3), (2**10, 1024, 1024, 1)), "takes 1024 MiB at once"),
        (lambda: galaxies((1, 900, 900, 3), (1, 1, 1, 3)), "lies in more than 50000 chunks"),
        (lambda: galaxies((1, 8, 8, 3), (1, 8, 8, 3), compression="lzf"), "packed in another way than by gzip"),
        (lambda: galaxies((1, 8, 8, 3), (1, 8, 8, 3), zlib.compress(bytes(2**26))), "larger than what it holds"),
        (lambda: galaxies((1, 8, 8, 3), (1, 8, 8, 3), zlib.compress(bytes(2**17))), "becomes more than it holds"),
    ],
)
def test_numbers_that_would_take_too_much_are_refused(tmp_path, data, said):
    assert said in opened(tmp_path / "no-ending", data())


def test_shuffled_and_checked_numbers_are_read(tmp_path):
    buffer = io.BytesIO()
    found = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    with h5py.File(buffer, "w", userblock_size=1024) as file:
        file.create_dataset(
            "images", data=found, chunks=(2, 3, 8, 3), compression="gzip", shuffle=True, fletcher32=True
        )
        file["ans"] = np.arange(5, dtype=np.int64)
    assert opened(tmp_path / "galaxies.H5", buffer.getvalue()) == "5 pictures"
    whole = get_dataset(str(tmp_path / "galaxies.H5")).item(4).read()
    assert whole.endswith(found[4].tobytes())


# --- mutated ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", range(0, 400, 100))
def test_mutated_archives_are_read_or_refused(tmp_path, start):
    for seed in range(start, start + 100):
        name, data = hostile_archives.mutated(np.random.default_rng(seed))
        path = tmp_path / f"{seed}-{name}"
        path.write_bytes(data)
        with suppress(JepaError):
            for item in get_dataset(str(path)).items():
                with suppress(DatasetError):
                    item.read()
        Uploads().take([(name, data)])


def test_a_mutation_is_the_same_for_the_same_seed():
    first, again = (hostile_archives.mutated(np.random.default_rng(7)) for _ in range(2))
    assert first == again
    assert len({hostile_archives.mutated(np.random.default_rng(seed))[1] for seed in range(50)}) > 40
