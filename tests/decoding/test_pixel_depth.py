"""The range of every pixel type: one rule, whichever way a picture comes in."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from jepa_core import images
from jepa_core.decoding.pixel_depth import RUNGS
from jepa_core.errors import BadImage
from tests.test_images import saved

GREYS = np.arange(0, 240, 2, dtype=np.int64).reshape(10, 12)


def deep(top: int) -> np.ndarray:
    """A picture of grey levels that uses 8, 10, 12, 14 or 16 bits."""
    return np.rint(GREYS * (top / 255)).astype(np.int64)


def pixels(given: object) -> np.ndarray:
    return np.asarray(images.decode(given).image)


def colour_png(values: np.ndarray) -> bytes:
    """A PNG of 16 bits with the channels of an array (H, W, 2 to 4), which Pillow cannot write."""
    height, width, channels = values.shape

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    kind = {2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def colour_tiff(values: np.ndarray, order: str) -> bytes:
    """A TIFF of 16 bits and three channels, which Pillow cannot write."""
    height, width, _channels = values.shape
    body = values.astype(f"{order}u2").tobytes()
    start = 8 + 2 + 12 * 9 + 4
    tags = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, start), (259, 3, 1, 1), (262, 3, 1, 2)]
    tags += [(273, 4, 1, start + 6), (277, 3, 1, 3), (278, 3, 1, height), (279, 4, 1, len(body))]
    entries = b""
    for tag, kind, count, value in tags:
        packed = struct.pack(f"{order}HH", value, 0) if kind == 3 and count == 1 else struct.pack(f"{order}I", value)
        entries += struct.pack(f"{order}HHI", tag, kind, count) + packed
    mark = b"II*\0" if order == "<" else b"MM\0*"
    head = mark + struct.pack(f"{order}I", 8) + struct.pack(f"{order}H", len(tags)) + entries + bytes(4)
    return head + struct.pack(f"{order}HHH", 16, 16, 16) + body


def ways(values: np.ndarray) -> dict[str, object]:
    """Grey values by every way in that holds them."""
    sixteen = values.astype(np.uint16)
    return {
        "uint16": sixteen,
        "int32": values.astype(np.int32),
        "int64, one channel": values[..., None],
        "big end first": sixteen.astype(">u2"),
        "float32": values.astype(np.float32),
        "PIL image": Image.fromarray(sixteen),
        "PIL image of 32 bits": Image.fromarray(values.astype(np.int32)),
        "PNG": saved(Image.fromarray(sixteen), "PNG"),
        "TIFF": saved(Image.fromarray(sixteen), "TIFF"),
        "packed TIFF": saved(Image.fromarray(sixteen), "TIFF", compression="tiff_lzw"),
        "TIFF of 32 bits": saved(Image.fromarray(values.astype(np.int32)), "TIFF"),
        "TIFF of fractions": saved(Image.fromarray(values.astype(np.float32)), "TIFF"),
        "PGM": saved(Image.fromarray(sixteen), "PPM"),
        "PGM in text": b"P2\n12 10\n65535\n" + b" ".join(b"%d" % value for value in values.ravel()),
    }


@pytest.mark.parametrize("top", RUNGS)
def test_grey_is_scaled_by_the_least_range_that_holds_it_whichever_way_it_comes_in(top):
    expected = np.rint(deep(top) * (255 / top)).astype(np.uint8)
    assert abs(expected.astype(int) - GREYS).max() <= 1
    for way, given in ways(deep(top)).items():
        found = images.decode(given)
        assert np.array_equal(np.asarray(found.image)[..., 1], expected), way
        assert found.notes == (f"Its grey values of more than 8 bits were scaled: 0 to {top} became 0 to 255.",), way


@pytest.mark.parametrize("top", RUNGS)
@pytest.mark.parametrize("channels", [3, 4])
def test_colours_too(top, channels):
    values = np.dstack([deep(top), deep(top)[::-1], deep(top)[:, ::-1]])
    opaque = np.full((*GREYS.shape, channels - 3), 65535)
    values = np.concatenate([values, opaque], axis=2).astype(np.uint16)
    found = pixels(values)
    assert abs(found.astype(int) - np.dstack([GREYS, GREYS[::-1], GREYS[:, ::-1]])).max() <= 1
    others = {"PNG": colour_png(values), "int32": values.astype(np.int32)}
    if channels == 3:
        others |= {"TIFF": colour_tiff(values, "<"), "big end first": colour_tiff(values, ">")}
    for way, given in others.items():
        assert np.array_equal(pixels(given), found), way


def test_grey_with_opacity_too():
    values = np.dstack([deep(4095), np.full(GREYS.shape, 65535)])
    assert np.array_equal(pixels(colour_png(values)), pixels(deep(4095).astype(np.uint16)))


def test_colours_that_fill_their_16_bits_are_what_pillow_makes_of_them():
    values = np.random.default_rng(0).integers(0, 65536, (10, 12, 3))
    data = colour_png(values)
    with Image.open(io.BytesIO(data)) as opened:
        opened.load()
        assert np.array_equal(pixels(data), pixels(opened))
    assert np.array_equal(pixels(data), pixels(values.astype(np.uint16)))


@pytest.mark.parametrize(
    ("array", "seen"),
    [
        (np.array([[False, True]]), [0, 255]),
        (np.array([[0, 1]], np.uint8), [0, 1]),
        (np.array([[0.0, 0.5, 1.0]]), [0, 128, 255]),
        (np.array([[0.0, 0.5, 1.0]], np.float16), [0, 128, 255]),
        (np.array([[-1e-7, 0.5, 1 + 1e-6]]), [0, 128, 255]),
        (np.array([[0.0, 1.5, 255.0]]), [0, 2, 255]),
        (np.array([[0, 255]], np.int64), [0, 255]),
        (np.array([[-1, 0, 1]], np.int8), [0, 128, 255]),
        (np.array([[70000, 70001, 70002]]), [0, 128, 255]),
        (np.array([[np.nan, 0.5, np.inf]]), [0, 128, 0]),
        (np.array([[0, 2**32 - 1]], np.uint64), [0, 255]),
    ],
    ids=lambda value: str(value.dtype) + str(value.ravel().tolist()) if isinstance(value, np.ndarray) else "",
)
def test_other_types(array, seen):
    assert pixels(array)[0, :, 0].tolist() == seen


def test_a_declared_maxval_is_believed():
    values = np.minimum(deep(1000), 500)
    data = b"P5\n12 10\n1000\n" + values.astype(">u2").tobytes()
    assert abs(pixels(data)[..., 0].astype(int) - np.rint(values * 0.255)).max() <= 1
    data = b"P6\n12 10\n100\n" + np.dstack([np.minimum(GREYS, 100)] * 3).astype(np.uint8).tobytes()
    assert pixels(data).max() == 255
    assert np.array_equal(pixels(data), pixels(b"P3\n12 10\n100\n" + b" ".join(b"%d" % v for v in data[13:])))


def test_opacity_has_a_range_of_its_own():
    values = np.dstack([deep(4095)] * 3 + [np.full(GREYS.shape, 1)]).astype(np.float32)
    values[..., :3] /= 4095
    assert np.array_equal(pixels(values), pixels(values[..., :3]))
    values[..., 3] = 0
    assert (pixels(values) == 255).all()


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((3, 8, 8)),
        np.zeros((8, 8, 2)),
        np.zeros((1, 8, 8, 3)),
        np.zeros(8),
        np.zeros((0, 8)),
        np.zeros((8, 8), complex),
        np.array([["a"]]),
        np.array([[None]]),
    ],
    ids=lambda array: f"{array.dtype} {array.shape}",
)
def test_an_array_that_is_no_picture_is_one_sentence(array):
    with pytest.raises(BadImage, match=r"^x is an array of .* \(H, W, 3\) or \(H, W, 4\) are accepted, channels last"):
        images.decode(array, "x")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"P2\n2 2\n255\n1 2 3", "1 of its 2 rows are there"),
        (b"P2\n2 2\n255\n1 2 3 x", "a value is no number"),
        (b"P2\n2 2\n100\n1 2 3 101", "the value 101 is larger than its maxval, 100"),
        (b"P5\n2 2\n100\n\1\2\3", "1 of its 2 rows are there"),
    ],
)
def test_a_damaged_pnm_file_says_why(text, why):
    with pytest.raises(BadImage) as caught:
        images.decode(text, "x.pgm")
    assert f"x.pgm is a damaged, cut-off or unusual PPM file ({why})" in str(caught.value)
