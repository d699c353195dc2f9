"""Pictures that mean harm: files of every format, changed at random, and files made to cost more than they say."""

import io
import random
import struct
import zlib
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from PIL import Image

_SIZES = (0, 1, 2, 3, 7, 255, 256, 4095, 4096, 9999, 16383, 16384, 32767, 32768, 65535, 65536, 99999, 2**24 - 1)
_SIZES += (2**24, 2**28, 2**30, 2**31 - 1, 2**31, 2**32 - 1)
_ENDINGS = {"JPEG": "jpg", "JPEG2000": "jp2", "TIFF": "tif", "PPM": "ppm"}


def mutated(rng: random.Random) -> tuple[str, bytes]:
    """A file that was changed at random, and a name with its ending."""
    kind, data = rng.choice(_files())
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        change = rng.choice(_CHANGES)
        changed = change(rng, changed)
    if kind.startswith("PNG") and rng.random() < 0.7:
        changed = _with_checksums(changed)
    ending = _ENDINGS.get(kind.split()[0], kind.split()[0].lower())
    return f"{kind.lower().replace(' ', '-')}.{ending}", bytes(changed[: 2**22])


# --- whole files ------------------------------------------------------------------------------------------------------


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    """A picture as the bytes of a file."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


@lru_cache(maxsize=1)
def _files() -> list[tuple[str, bytes]]:
    rng = np.random.default_rng(0)
    rgb = Image.fromarray(rng.integers(0, 256, (24, 30, 3), dtype=np.uint8)).resize((60, 48))
    frames = [rgb, rgb.rotate(90).resize(rgb.size), rgb.rotate(180)]
    alpha, grey = rgb.convert("RGBA"), rgb.convert("L")
    alpha.putalpha(grey)
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 13)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a holiday"

    def every() -> dict[str, object]:  # of their own, since saving leaves settings with them
        return {"save_all": True, "append_images": [frame.copy() for frame in frames[1:]]}

    made = [
        *(("PNG " + mode, saved(rgb.convert(mode), "PNG", exif=exif)) for mode in ("1", "L", "LA", "P", "RGB", "RGBA")),
        ("PNG deep", saved(deep, "PNG")),
        ("PNG frames", saved(rgb.copy(), "PNG", **every())),
        ("PNG icc", saved(rgb.copy(), "PNG", icc_profile=b"x" * 400)),
        ("JPEG", saved(rgb.copy(), "JPEG", exif=exif)),
        ("JPEG progressive", saved(rgb.copy(), "JPEG", progressive=True)),
        ("JPEG grey", saved(grey, "JPEG", restart_marker_blocks=2)),
        ("JPEG cmyk", saved(rgb.convert("CMYK"), "JPEG")),
        ("JPEG phone", saved(rgb.copy(), "MPO", **every())),
        ("WEBP", saved(rgb.copy(), "WEBP", exif=exif)),
        ("WEBP exact", saved(alpha, "WEBP", lossless=True)),
        ("WEBP frames", saved(rgb.copy(), "WEBP", **every())),
        ("GIF", saved(rgb.convert("P"), "GIF", transparency=3)),
        ("GIF frames", saved(rgb.copy(), "GIF", **every())),
        *(("BMP " + mode, saved(rgb.convert(mode), "BMP")) for mode in ("1", "L", "P", "RGB", "RGBA")),
        ("TIFF deep", saved(deep, "TIFF")),
        ("TIFF fractions", saved(grey.convert("F"), "TIFF")),
        ("TIFF frames", saved(rgb.copy(), "TIFF", **every())),
        *(
            (f"TIFF {packed}", saved(rgb.copy(), "TIFF", compression=packed))
            for packed in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
        ),
        ("TIFF group4", saved(grey.convert("1"), "TIFF", compression="group4")),
        ("PPM", saved(rgb.copy(), "PPM")),
        ("PPM grey", saved(grey, "PPM")),
        ("PPM bits", saved(grey.convert("1"), "PPM")),
        ("PPM odd", b"P6\n# odd\n60 48\n254\n" + rgb.tobytes()),
        ("PPM deep", saved(deep, "PPM")),
        ("PPM text", b"P3\n20 10\n200\n" + b" ".join(b"%d" % (one % 200) for one in range(600))),
        ("PPM fractions", saved(grey.convert("F"), "PPM")),
        ("AVIF", saved(rgb.copy(), "AVIF", speed=10)),
        ("AVIF frames", saved(rgb.copy(), "AVIF", speed=10, **every())),
        ("JPEG2000", saved(rgb.copy(), "JPEG2000")),
        ("JPEG2000 deep", saved(deep, "JPEG2000")),
        ("PSD", _psd(60, 48)),
    ]
    return made


def _psd(width: int, height: int, packed: int = 0) -> bytes:
    head = b"8BPS\x00\x01" + bytes(6) + struct.pack(">HIIHH", 3, height, width, 8, 3)
    return head + bytes(12) + struct.pack(">H", packed) + bytes(3 * 60 * 48)


# --- changes ----------------------------------------------------------------------------------------------------------


def _place(rng: random.Random, data: bytearray) -> int:
    """A place in a file, more often near its beginning, where its header is."""
    reach = len(data) if rng.random() < 0.4 else min(len(data), rng.choice((16, 32, 64, 200)))
    return rng.randrange(max(reach, 1))


def _flipped(rng: random.Random, data: bytearray) -> bytearray:
    for _ in range(rng.randint(1, 4)):
        if data:
            data[_place(rng, data)] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
    return data


def _cut(rng: random.Random, data: bytearray) -> bytearray:
    return data[: rng.randrange(len(data) + 1)]


def _sized(rng: random.Random, data: bytearray) -> bytearray:
    """An extreme number of two or four bytes where one may stand."""
    place, size = _place(rng, data), rng.choice((2, 4))
    order = rng.choice(("little", "big"))
    data[place : place + size] = (rng.choice(_SIZES) % 256**size).to_bytes(size, order)
    return data


def _said(rng: random.Random, data: bytearray) -> bytearray:
    """A number in text, as PPM files have them, made another."""
    head = bytes(data[:40])
    words = [word for word in head.split() if word.isdigit()]
    if not words:
        return _sized(rng, data)
    return bytearray(head.replace(rng.choice(words), b"%d" % rng.choice(_SIZES), 1) + data[40:])


def _doubled(rng: random.Random, data: bytearray) -> bytearray:
    """A piece that comes again, once or many times."""
    start = _place(rng, data)
    piece = data[start : start + rng.choice((4, 12, 40, 400))]
    return data[:start] + piece * rng.choice((1, 1, 2, 50)) + data[start:]


def _left_out(rng: random.Random, data: bytearray) -> bytearray:
    start = _place(rng, data)
    return data[:start] + data[start + rng.choice((1, 4, 12, 100)) :]


def _joined(rng: random.Random, data: bytearray) -> bytearray:
    """The beginning of one file and the end of another."""
    other = rng.choice(_files())[1]
    return data[: _place(rng, data)] + other[rng.randrange(len(other)) :]


_CHANGES = (_flipped, _flipped, _flipped, _cut, _sized, _sized, _said, _doubled, _left_out, _joined)


def _with_checksums(data: bytearray) -> bytearray:
    """A PNG whose checksums fit again, so that what was changed is looked at."""
    place = 8
    while place + 12 <= len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        end = place + 8 + size
        if end + 4 > len(data):
            break
        data[end : end + 4] = zlib.crc32(data[place + 4 : end]).to_bytes(4, "big")
        place = end + 4
    return data


# --- bombs ------------------------------------------------------------------------------------------------------------


def png(width: int, height: int, bits: int, colours: int, pixels: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG whose header says what we like."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, 0)), *chunks]
    parts += [(b"IDAT", pixels), (b"IEND", b"")]
    body = (struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def zeros(count: int, level: int = 9) -> bytes:
    """So many zeros, packed by zlib, without ever holding them."""
    packer, block = zlib.compressobj(level), bytes(2**20)
    parts = [packer.compress(block) for _ in range(count // len(block))]
    return b"".join([*parts, packer.compress(block[: count % len(block)]), packer.flush()])


def progressive(size: int, scans: int) -> bytes:
    """A JPEG whose last scan comes so often."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    data = saved(Image.fromarray(noise).resize((size, size)), "JPEG", progressive=True, quality=30)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * scans + data[-2:]


def scans_of_bytes(size: int, total: int) -> bytes:
    """A JPEG of one colour, with as many of its cheapest scan as fill so many bytes."""
    data = saved(Image.new("RGB", (size, size), (200, 30, 60)), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * ((total - last) // (len(data) - last - 2)) + data[-2:]


def _webp(width: int, height: int, frames: int) -> bytes:
    still = saved(Image.new("RGB", (16, 16), (9, 9, 9)), "WEBP", lossless=True)
    canvas = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    frame = bytes(6) + struct.pack("<I", 15)[:3] * 2 + struct.pack("<I", 100)[:3] + b"\x00" + still[12:]
    chunks = [(b"VP8X", b"\x02\0\0\0" + canvas), (b"ANIM", bytes(6))] + [(b"ANMF", frame)] * frames
    body = b"".join(kind + struct.pack("<I", len(one)) + one + bytes(len(one) % 2) for kind, one in chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _tiff(tags: dict[int, tuple[int, int, int]], tail: bytes = b"") -> bytes:
    """A TIFF of one directory; `tail` lies behind it, at 8 + 2 + 12 * len(tags) + 4."""
    entries = b"".join(struct.pack("<HHII", tag, *entry) for tag, entry in sorted(tags.items()))
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + bytes(4) + tail


def _tiled(side: int, tile: int, packed: bytes) -> bytes:
    tags = {256: (4, 1, side), 257: (4, 1, side), 258: (3, 1, 8), 259: (3, 1, 8), 262: (3, 1, 1), 277: (3, 1, 1)}
    tags |= {322: (4, 1, tile), 323: (4, 1, tile), 325: (4, 1, len(packed)), 324: (4, 1, 8 + 2 + 12 * 10 + 4)}
    return _tiff(tags, packed)


def _stripped(side: int, packed: bytes, bits: int = 8) -> bytes:
    tags = {256: (4, 1, side), 257: (4, 1, side), 258: (3, 1, bits), 259: (3, 1, 8), 262: (3, 1, 1), 277: (3, 1, 1)}
    tags |= {278: (4, 1, side), 279: (4, 1, len(packed)), 273: (4, 1, 8 + 2 + 12 * 9 + 4)}
    return _tiff(tags, packed)


def bombs(small: bool = False) -> Iterator[tuple[str, bytes]]:
    """Files that would cost more than their size says, each with its name; `small` leaves out those slow to make."""
    text = zeros(2**26)
    yield "text-bomb-ztxt.png", png(8, 8, 8, 0, zeros(72), (b"zTXt", b"k\0\0" + text))
    yield "text-bomb-itxt.png", png(8, 8, 8, 0, zeros(72), (b"iTXt", b"k\0\1\0\0\0" + text))
    yield "profile-bomb.png", png(8, 8, 8, 0, zeros(72), (b"iCCP", b"k\0\0" + text))
    yield "many-profiles.png", png(8, 8, 8, 0, zeros(72), *[(b"zTXt", b"k\0\0" + zeros(2**20 - 9))] * 200)
    yield "animated-9999.webp", _webp(9999, 9999, 2)
    yield "animated-16383.webp", _webp(16383, 16383, 2)
    yield "progressive-scans-2500-of-64.jpg", progressive(64, 2500)
    yield "tile-of-2-gigabytes.tif", _tiled(64, 46336, zeros(64))
    yield "millions-of-entries.tif", _tiff({256: (4, 1, 8), 257: (4, 1, 8), 273: (4, 2**28, 8), 279: (4, 2**28, 8)})
    yield "text-of-huge-numbers.ppm", b"P3\n9 9\n255\n" + b"9" * 2**20
    yield "text-of-comments.ppm", b"P3\n9 9\n255\n" + b"#\n" * 2**20
    yield "header-of-comments.ppm", b"P6\n" + b"#\n" * 2**19 + b"9 9\n254\n"
    if small:
        return
    yield "more-pixels-than-said.png", png(8, 8, 8, 0, zeros(2**28))
    yield "animated-4800-many-frames.webp", _webp(4800, 4800, 200)
    yield "tile-of-100-megapixels-zeros.tif", _tiled(9984, 9984, zeros(9984 * 9984))
    yield "strip-of-100-megapixels-zeros.tif", _stripped(10000, zeros(10**8))
    yield "strip-of-100-megapixels-16-bits.tif", _stripped(10000, zeros(2 * 10**8), 16)
    yield "strip-longer-than-said.tif", _stripped(64, zeros(2**28))
    yield "bits-in-text-of-25-megapixels.pbm", b"P1\n5000 5000\n" + b"1" * 25_000_000
    yield "progressive-scans-402-kb.jpg", scans_of_bytes(2500, 402_000)
    yield "progressive-scans-4-mb.jpg", scans_of_bytes(6700, 4_000_000)
    yield "progressive-64-scans-of-45-megapixels.jpg", progressive(6700, 54)
    yield "progressive-100-megapixels.jpg", scans_of_bytes(10_000, 1)
    yield "grey-16-bits-100-megapixels.png", png(10_000, 10_000, 16, 0, zeros(20_001 * 10_000))
    yield "colour-16-bits-100-megapixels.png", png(10_000, 10_000, 16, 2, zeros(60_001 * 10_000))
    yield "colour-with-alpha-16-bits-64-megapixels.png", png(8000, 8000, 16, 6, zeros(64_001 * 8000))
    yield "interlaced-100-megapixels.png", _interlaced(10_000)
    yield "odd-maxval-100-megapixels.ppm", b"P6\n10000 10000\n254\n" + bytes(3 * 10**8)
    yield "deep-odd-maxval-100-megapixels.pgm", b"P5\n10000 10000\n4095\n" + bytes(2 * 10**8)
    yield "text-100-megapixels.pgm", b"P2\n10000 10000\n255\n" + b"1 " * 10**8
    yield "palette-with-opacity-100-megapixels.png", _palette(10_000)
    yield "fractions-100-megapixels.tif", saved(Image.new("F", (10_000, 10_000), 0.5), "TIFF")
    yield "run-length-100-megapixels.bmp", _run_length(10_000)
    yield "frames-5000.gif", _frames(5000)
    yield "canvas-9999.gif", saved(Image.new("P", (9999, 9999)), "GIF")
    yield "animated-4800.avif", saved(Image.new("RGB", (4800, 4800)), "AVIF", speed=10)
    yield "still-4800.webp", saved(Image.new("RGB", (4800, 4800)), "WEBP", lossless=True, method=0)
    yield "jpeg-2000-12-megapixels.jp2", saved(Image.new("RGB", (3400, 3400)), "JPEG2000")
    yield "photoshop-100-megapixels.psd", _psd(10_000, 10_000)
    yield "photoshop-packed-100-megapixels.psd", _psd(10_000, 10_000, 1)
    yield "group4-100-megapixels.tif", saved(Image.new("1", (10_000, 10_000), 1), "TIFF", compression="group4")
    yield "lzw-100-megapixels.tif", saved(Image.new("RGB", (10_000, 10_000)), "TIFF", compression="tiff_lzw")


def _interlaced(side: int) -> bytes:
    data = bytearray(png(side, side, 8, 2, zeros(2 * (3 * side + 1) * side)))
    data[28] = 1
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


def _palette(side: int) -> bytes:
    return png(side, side, 8, 3, zeros((side + 1) * side), (b"PLTE", bytes(768)), (b"tRNS", bytes(range(256))))


def _run_length(side: int) -> bytes:
    rows = (b"\xff\x01" * (side // 255) + b"\0\0") * side
    head = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(rows), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 14 + 40 + 1024 + len(rows), 0, 0, 14 + 40 + 1024) + head + bytes(1024) + rows


def _frames(count: int) -> bytes:
    data = saved(Image.new("P", (64, 64)), "GIF")
    start = data.index(b",")
    return data[:start] + data[start:-1] * count + b";"
