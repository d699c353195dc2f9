"""Archives that nobody made by accident: mutated ones by a seed, and bombs, small files that unpack to gigabytes.

`hostile.py` opens them as datasets and as uploads, and measures each. A name ends with the suffix that its file is to
have. Bombs are put together from repeated pieces, so that making one takes a second and no gigabytes.
"""

import bz2
import gzip
import io
import json
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from functools import lru_cache, partial

import h5py
import numpy as np
from numpy.random import Generator

_PIECE = 64 * 2**20  # bytes of zeros that are packed once and repeated
_EXTREMES = (0, 1, 2, 127, 128, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".h5", ".ZIP", ".cbz", "")


# --- whole ones -------------------------------------------------------------------------------------------------------


def _files() -> dict[str, bytes]:
    """A small set in two classes, with marks, side files and a caption."""
    rng = np.random.default_rng(0)
    files = {}
    for number in range(6):
        pixels = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8).tobytes()
        files[f"set/{'cat' if number % 2 else 'dog'}/{number}.ppm"] = b"P6\n4 4\n255\n" + pixels
    return files | {
        "set/cat/1.cls": b"7",
        "set/dog/0.json": json.dumps({"label": "dog"}).encode(),
        "set/dog/2.txt": b"a dog in the sun",
        "set/__MACOSX/._1.ppm": b"x",
        "set/a/" + "long" * 40 + "/é.ppm": b"P5\n1 1\n255\n\0",
    }


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A ZIP of files, the same bytes each time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
            info.compress_type = method
            archive.writestr(info, data)
    return buffer.getvalue()


def tarred(files: dict[str, bytes], form: int = tarfile.GNU_FORMAT) -> bytes:
    """A tar of files, with a hard link, a symbolic one and a sparse file at its end."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for kind, name, target in (
            (tarfile.LNKTYPE, "set/cat/hard.ppm", "set/dog/0.ppm"),
            (tarfile.SYMTYPE, "set/cat/soft.ppm", "../dog/2.ppm"),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            archive.addfile(info)
    return buffer.getvalue()


def _galaxies() -> bytes:
    rng = np.random.default_rng(0)
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        images = rng.integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
        file.create_dataset("images", data=images, chunks=(1, 8, 8, 3), compression="gzip", shuffle=True)
        file["ans"] = np.array([1, 5, 1, 9], np.uint8)
    return buffer.getvalue()


@lru_cache(maxsize=1)
def _seeds() -> tuple[tuple[str, bytes], ...]:
    files = _files()
    shard = {f"{number:04d}.{kind}": data for number, (kind, data) in enumerate([("cls", b"3"), ("txt", b"kite")])}
    shard |= {f"{number:04d}.ppm": b"P5\n1 1\n255\n\7" for number in range(4)}
    tars = [tarred(files, form) for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)] + [tarred(shard)]
    methods = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    return (
        *((".zip", zipped(files, method)) for method in methods),
        *((".tar", whole) for whole in tars),
        (".tar.gz", gzip.compress(tars[0], mtime=0)),
        (".tar.bz2", bz2.compress(tars[1])),
        (".tar.xz", lzma.compress(tars[0])),
        (".h5", _galaxies()),
    )


_PACK = {
    ".tar.gz": (partial(gzip.compress, mtime=0), gzip.decompress),
    ".tar.bz2": (bz2.compress, bz2.decompress),
    ".tar.xz": (lzma.compress, lzma.decompress),
}


# --- mutated ----------------------------------------------------------------------------------------------------------


def mutated(rng: Generator) -> tuple[str, bytes]:
    """The suffix and bytes of an archive that was damaged in one to four places; the same for the same generator."""
    seeds = _seeds()
    suffix, data = seeds[rng.integers(len(seeds))]
    pack, unpack = _PACK.get(suffix, (bytes, bytes))
    inside = suffix in _PACK and rng.random() < 0.7  # else the damage ends with the first checksum
    found = bytearray(unpack(data) if inside else data)
    for _ in range(rng.integers(1, 5)):
        _CHANGES[rng.integers(len(_CHANGES))](rng, found)
    if inside or (suffix == ".tar" and rng.random() < 0.7):
        _mend_checksums(found)
    if rng.random() < 0.1:
        suffix = _SUFFIXES[rng.integers(len(_SUFFIXES))]
    return f"mutated{suffix}", pack(bytes(found)) if inside else bytes(found)


def _flip(rng: Generator, data: bytearray) -> None:
    for place in rng.integers(0, max(1, len(data)), rng.integers(1, 9)):
        if data:
            data[place] ^= 1 << rng.integers(8)


def _cut(rng: Generator, data: bytearray) -> None:
    del data[rng.integers(0, len(data) + 1) :]


def _remove(rng: Generator, data: bytearray) -> None:
    start = int(rng.integers(0, len(data) + 1))
    del data[start : start + int(rng.integers(1, 600))]


def _splice(rng: Generator, data: bytearray) -> None:
    """A piece of this or another archive, put between or over what is there."""
    seeds = _seeds()
    other = bytes(data) if rng.random() < 0.5 else seeds[rng.integers(len(seeds))][1]
    start, place = int(rng.integers(0, len(other) + 1)), int(rng.integers(0, len(data) + 1))
    piece = other[start : start + int(rng.integers(1, 1500))]
    data[place : place + (len(piece) if rng.random() < 0.5 else 0)] = piece


def _edit(rng: Generator, data: bytearray) -> None:
    """A number of a ZIP's header, or anywhere, becomes an extreme one."""
    heads = [place for mark in (b"PK\1\2", b"PK\3\4", b"PK\5\6") for place in _places(data, mark)]
    if heads and rng.random() < 0.8:
        place = heads[rng.integers(len(heads))] + int(rng.integers(4, 46))
    else:
        place = int(rng.integers(0, len(data) + 1))
    width = int(rng.choice([1, 2, 4, 8]))
    value = _EXTREMES[rng.integers(len(_EXTREMES))] % 2 ** (8 * width)
    if place + width <= len(data):
        data[place : place + width] = value.to_bytes(width, "little")


def _edit_tar(rng: Generator, data: bytearray) -> None:
    """A field of a tar's header becomes an extreme one; of other files, a byte."""
    heads = [place - 257 for place in _places(data, b"ustar") if place % 512 == 257]
    if not heads:
        return _edit(rng, data)
    head = heads[rng.integers(len(heads))]
    start, width = ((0, 100), (124, 12), (124, 12), (156, 1), (156, 1), (157, 100), (345, 155))[rng.integers(7)]
    kind = rng.integers(4)
    if width == 1:
        data[head + start] = b"01234567LKSxgXVDN\0"[rng.integers(18)]
    elif kind == 0:
        data[head + start : head + start + width] = bytes(rng.integers(0, 256, width, dtype=np.uint8))
    elif kind == 1:  # as base 256
        data[head + start : head + start + width] = (b"\x80" + b"\xff" * width)[:width]
    else:
        data[head + start : head + start + width] = b"77777777777777"[:width].ljust(width, b"7")
    return None


def _places(data: bytearray, mark: bytes) -> Iterator[int]:
    place = data.find(mark)
    while place >= 0:
        yield place
        place = data.find(mark, place + 1)


def _mend_checksums(data: bytearray) -> None:
    for place in range(0, len(data) - 511, 512):
        if data[place + 257 : place + 262] == b"ustar":
            head = data[place : place + 512]
            head[148:156] = b" " * 8
            data[place + 148 : place + 156] = b"%06o\0 " % sum(head)


_CHANGES = (_flip, _cut, _remove, _splice, _edit, _edit, _edit_tar, _edit_tar)


# --- bombs ------------------------------------------------------------------------------------------------------------


def bombs() -> Iterator[tuple[str, bytes]]:
    """Archives that would cost far more than their size, with names that say what they are; made one by one."""
    yield from _zip_bombs()
    yield from _many_entries()
    yield from _tar_bombs()
    yield from _mark_bombs()
    yield from _hdf5_bombs()


def _zip_entry(name: str, packed: bytes, method: int, size: int, offset: int, crc: int = 0) -> tuple[bytes, bytes]:
    """An entry's local part and its record in the directory; `size` is what they claim."""
    fields = struct.pack("<HHHHHLLLHH", 20, 0, method, 0, 33, crc, len(packed), size, len(name), 0)
    record = b"PK\1\2" + struct.pack("<H", 20) + fields + struct.pack("<HHHLL", 0, 0, 0, 0, offset)
    return b"PK\3\4" + fields + name.encode() + packed, record + name.encode()


def _zip(*entries: tuple[str, bytes, int, int]) -> bytes:
    body, directory = b"", b""
    for name, packed, method, size in entries:
        local, record = _zip_entry(name, packed, method, size, len(body))
        body, directory = body + local, directory + record
    return body + directory + _end(len(entries), len(directory), len(body))


def _end(count: int, size: int, offset: int) -> bytes:
    return b"PK\5\6" + struct.pack("<HHHHLLH", 0, 0, count & 0xFFFF, count & 0xFFFF, size, offset, 0)


@lru_cache(maxsize=1)
def _bz2_zeros(blocks: int = 180) -> bytes:
    """One bzip2 stream of `blocks` times 25 MB of zeros: the bits of one block, repeated."""
    once = bz2.compress(bytes(25_500_000))
    bits = f"{int.from_bytes(once, 'big'):0{8 * len(once)}b}"
    end = bits.rindex(f"{0x177245385090:048b}")
    block = bits[32:end]
    check = int(block[48:80], 2)
    total = 0
    for _ in range(blocks):
        total = ((total << 1 | total >> 31) & 0xFFFFFFFF) ^ check
    whole = bits[:32] + block * blocks + f"{0x177245385090:048b}{total:032b}"
    whole = whole.ljust(-(-len(whole) // 8) * 8, "0")
    return int(whole, 2).to_bytes(len(whole) // 8, "big")


@lru_cache(maxsize=1)
def _lzma_zeros(size: int = 2**29) -> bytes:
    """A ZIP's LZMA stream of zeros."""
    filters = [{"id": lzma.FILTER_LZMA1, "preset": 0, "dict_size": 2**16, "nice_len": 273}]
    packer = lzma.LZMACompressor(lzma.FORMAT_RAW, filters=filters)
    packed = b"".join([packer.compress(bytes(_PIECE)) for _ in range(size // _PIECE)]) + packer.flush()
    return struct.pack("<BBHBL", 9, 4, 5, 93, 2**16) + packed


@lru_cache(maxsize=1)
def _deflated_zeros(pieces: int = 48) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = packer.compress(bytes(_PIECE)) + packer.flush(zlib.Z_FULL_FLUSH)
    return piece * pieces + packer.flush()


def _zip_bombs() -> Iterator[tuple[str, bytes]]:
    zeros = 2**31 - 1
    yield "bzip2.zip", _zip(("1.png", _bz2_zeros(), zipfile.ZIP_BZIP2, zeros))
    yield "bzip2-that-says-it-is-small.zip", _zip(("1.png", _bz2_zeros(), zipfile.ZIP_BZIP2, 1000))
    yield "lzma.zip", _zip(("1.png", _lzma_zeros(), zipfile.ZIP_LZMA, zeros))
    yield "lzma-that-says-it-is-small.zip", _zip(("1.png", _lzma_zeros(), zipfile.ZIP_LZMA, 1000))
    yield "lzma-dictionary.zip", _zip(("1.png", b"\x09\4\5\0\x5d\xff\xff\xff\xff" + bytes(99), zipfile.ZIP_LZMA, 1000))
    yield "deflate.zip", _zip(("1.png", _deflated_zeros(), zipfile.ZIP_DEFLATED, zeros))
    yield "deflate-that-says-it-is-small.zip", _zip(("1.png", _deflated_zeros(), zipfile.ZIP_DEFLATED, 1000))
    yield "many-small-bzip2.zip", _zip(*((f"{n}.png", _bz2_zeros(), zipfile.ZIP_BZIP2, 10**9) for n in range(50)))
    nested = zipped({"1.png": bytes(2**20)})
    for level in range(12):
        nested = zipped({f"{level}-{copy}.zip": nested for copy in range(4)})
    yield "nested.zip", nested
    local, _record = _zip_entry("again.png", b"", zipfile.ZIP_STORED, 0, 0)
    whole = 2 * len(local) + 16 + 22  # of itself: header, a record of 16 bytes more, the end
    local, record = _zip_entry("again.png", b"", zipfile.ZIP_STORED, whole, 0)
    record = record[:20] + struct.pack("<LL", whole, whole) + record[28:]
    yield "that-holds-itself.zip", local + record + _end(1, len(record), len(local))


def _many_entries(count: int = 1_000_000) -> Iterator[tuple[str, bytes]]:
    local, _ = _zip_entry("0000000.png", b"", zipfile.ZIP_STORED, 0, 0)
    _, record = _zip_entry("0000000.png", b"", zipfile.ZIP_STORED, 0, 0)
    names = np.char.zfill(np.arange(count).astype("S7"), 7)
    records = np.frombuffer(record * count, np.uint8).reshape(count, len(record)).copy()
    records[:, 46:53] = names.view(np.uint8).reshape(count, 7)
    directory = records.tobytes()
    yield "million-entries-that-says-one.zip", local + directory + _end(1, len(directory), len(local))
    start = len(local) + len(directory)
    wide = b"PK\6\6" + struct.pack("<QHHLLQQQQ", 44, 45, 45, 0, 0, count, count, len(directory), len(local))
    wide += b"PK\6\7" + struct.pack("<LQL", 0, start, 1)
    yield "million-entries.zip", local + directory + wide + b"PK\5\6" + b"\0" * 4 + b"\xff" * 12 + b"\0\0"
    packed = zlib.compress(bytes(20 * 2**20), 9)[2:-4]
    body, _ = _zip_entry("0.png", packed, zipfile.ZIP_DEFLATED, 20 * 2**20, 0, zlib.crc32(bytes(20 * 2**20)))
    shared = [_zip_entry(f"{n}.png", packed, zipfile.ZIP_DEFLATED, 20 * 2**20, 0)[1] for n in range(4000)]
    yield "overlapping.zip", body + b"".join(shared) + _end(4000, sum(map(len, shared)), len(body))


def _tar_head(name: str, size: int, kind: bytes = b"0", magic: bytes = b"ustar  \0") -> bytes:
    head = bytearray(512)
    head[: len(name)] = name.encode()
    head[100:124] = b"0000644\0" + b"0000000\0" * 2
    head[124:136] = b"%011o\0" % size if size < 8**11 else b"\x80" + size.to_bytes(11, "big")
    head[136:148] = b"00000000000\0"
    head[156:157] = kind
    head[257 : 257 + len(magic)] = magic
    _mend_checksums(head)
    return bytes(head)


@lru_cache(maxsize=4)
def _piece(suffix: str) -> bytes:
    return _PACK[suffix][0](bytes(_PIECE))


def _tar_bombs(pieces: int = 64) -> Iterator[tuple[str, bytes]]:
    size = pieces * _PIECE
    picture = _tar_head("1.png", 0)
    for suffix in (".tar.gz", ".tar.bz2", ".tar.xz"):
        pack = _PACK[suffix][0]
        zeros = _piece(suffix) * pieces
        yield f"picture-of-zeros{suffix}", pack(_tar_head("1.png", size)) + zeros + pack(picture + bytes(1024))
        for kind, title in ((b"L", "long-name"), (b"K", "long-link"), (b"x", "pax"), (b"g", "pax-for-all")):
            yield f"{title}{suffix}", pack(_tar_head("././@LongLink", size, kind)) + zeros + pack(picture)
    lines = b"%d\n" % 2**31 + b"0\n" * (_PIECE // 2)
    record = b"GNU.sparse.major=1\n", b"GNU.sparse.minor=0\n", b"GNU.sparse.realsize=99\n", b"GNU.sparse.name=1.png\n"
    pax = b"".join(b"%d %s" % (len(text) + 3, text) for text in record)
    head = _tar_head("pax", len(pax), b"x") + pax.ljust(-(-len(pax) // 512) * 512, b"\0") + _tar_head("1.png", size)
    yield "sparse-map.tar.gz", gzip.compress(head + lines) + gzip.compress(b"0\n" * (_PIECE // 2)) * pieces
    sparse = bytearray(_tar_head("1.png", 512, b"S"))
    sparse[386:410] = b"%011o\0%011o\0" % (0, 512)
    sparse[483:495] = b"\x80" + (2**40).to_bytes(11, "big")
    _mend_checksums(sparse)
    yield "sparse-terabyte.tar", bytes(sparse) + bytes(512) + bytes(1024)
    yield "long-name-that-is-not-there.tar", _tar_head("././@LongLink", 8 * 2**30, b"L") + bytes(1024)
    negative = bytearray(picture[:124] + b"\xff" * 10 + b"\xfe\0" + picture[136:])
    _mend_checksums(negative)
    yield "negative-size.tar", bytes(negative)
    once = _tar_head("pax", 512, b"x") + b"20 comment=abcdefgh\n".ljust(512, b"\0")
    yield "hundred-thousand-pax.tar.gz", gzip.compress(once * 100_000 + picture + bytes(1024))
    yield "million-entries.tar.gz", gzip.compress(picture, 9) + gzip.compress(picture * 100_000) * 30
    yield "loop-of-links.tar", _links()


def _links() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for number in range(2000):
            info = tarfile.TarInfo(f"{number}.png")
            info.type, info.linkname = tarfile.SYMTYPE, f"{(number + 1) % 2000}.png"
            archive.addfile(info)
    return buffer.getvalue()


def _mark_bombs() -> Iterator[tuple[str, bytes]]:
    picture = ("0.png", b"", zipfile.ZIP_STORED, 0)
    yield "mark-bzip2.zip", _zip(picture, ("0.cls", _bz2_zeros(), zipfile.ZIP_BZIP2, 9))
    yield "mark-lzma.zip", _zip(picture, ("0.cls", _lzma_zeros(), zipfile.ZIP_LZMA, 9))
    yield "mark-deflate.zip", _zip(picture, ("0.cls", _deflated_zeros(), zipfile.ZIP_DEFLATED, 9))
    deep = b'{"label":' * 100_000 + b"1" + b"}" * 100_000
    yield "mark-deep-json.zip", zipped({"0.png": b"", "0.json": deep})
    marks = {f"{n}.{kind}": text for n in range(400) for kind, text in (("png", b""), ("cls", b"%07d" % n * 140_000))}
    yield "marks-of-a-megabyte.zip", zipped(marks)
    yield "marks-of-a-megabyte.tar.gz", gzip.compress(tarred(marks), 1)


def _hdf5_bombs() -> Iterator[tuple[str, bytes]]:
    def made(shape: tuple[int, ...], count: int, chunk: tuple[int, ...], packed: bytes = b"") -> bytes:
        buffer = io.BytesIO()
        with h5py.File(buffer, "w") as file:
            images = file.create_dataset("images", shape, np.uint8, chunks=chunk, compression="gzip")
            if packed:
                images.id.write_direct_chunk((0,) * len(shape), packed)
            file.create_dataset("ans", (count,), np.uint8, chunks=(min(count, 2**16),), compression="gzip")
        return buffer.getvalue()

    yield "billions-of-pictures.h5", made((2**32, 8, 8, 3), 2**32, (1, 8, 8, 3))
    yield "huge-picture.h5", made((1, 60_000, 60_000, 3), 1, (1, 1000, 1000, 3))
    yield "huge-chunk.h5", made((2**10, 1024, 1024, 3), 2**10, (2**10, 1024, 1024, 1), zlib.compress(bytes(2**20)))
    packer = zlib.compressobj(9)
    piece = packer.compress(bytes(_PIECE)) + packer.flush(zlib.Z_FULL_FLUSH)
    head, body = piece[:2], piece[2:]
    yield "chunk-that-inflates.h5", made((1, 8, 8, 3), 1, (1, 8, 8, 3), head + body * 48)
