"""Whatever bytes come in: a safe RGB picture and what was done to it, or one sentence. And the crop is timm's."""

import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import timm.data
from PIL import Image

from jepa_core import images
from jepa_core.decoding import decode
from jepa_core.errors import BadImage

ACCEPTED = "PNG, JPEG, WEBP, GIF, BMP, TIFF, PPM, AVIF, HEIF, JPEG2000 or PSD"
RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
PICTURE = Image.fromarray(COLOURS)


def saved(picture: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format=kind, **options)
    return buffer.getvalue()


def png_of(width: int, height: int, bits: int, colour_type: int, pixels: bytes) -> bytes:
    """A PNG file whose header says what we like."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(pixels)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(images.decode(data).image)


# --- what is accepted -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP", "TIFF", "PPM"])
def test_lossless_formats_keep_every_pixel(kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    decoded = images.decode(saved(PICTURE, kind, **options))
    assert (decoded.format, decoded.width, decoded.height, decoded.notes) == (kind, 30, 20, ())
    assert decoded.image.mode == "RGB"
    assert np.array_equal(np.asarray(decoded.image), COLOURS)


@pytest.mark.parametrize("mode", ["L", "1"])
def test_plain_grey_becomes_rgb_without_a_note(mode):
    grey = PICTURE.convert(mode)
    decoded = images.decode(saved(grey, "PNG"))
    assert decoded.notes == ()
    assert np.array_equal(np.asarray(decoded.image), np.asarray(grey.convert("RGB")))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF", "PNG"])
def test_of_an_animation_the_first_frame_is_taken(kind):
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    decoded = images.decode(saved(frames[0], kind, save_all=True, append_images=frames[1:], **options))
    assert decoded.notes[0] == "It holds several frames; the first was taken."
    assert np.array_equal(np.asarray(decoded.image), np.asarray(frames[0]))


RAMP = np.linspace(0, 65535, 600).reshape(20, 30).astype(np.uint16)
EIGHT = np.rint(RAMP / 65535 * 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("16-bit PNG", saved(Image.fromarray(RAMP), "PNG"), "0 to 65535"),
        ("16-bit TIFF", saved(Image.fromarray(RAMP), "TIFF"), "0 to 65535"),
        ("16-bit TIFF, big end first", saved(Image.fromarray(RAMP.astype(">u2")), "TIFF"), "0 to 65535"),
        ("32-bit whole numbers", saved(Image.fromarray(RAMP.astype(np.int32)), "TIFF"), "0 to 65535"),
        ("16-bit PGM", b"P5\n30 20\n65535\n" + RAMP.astype(">u2").tobytes(), "0 to 65535"),
        ("fractions", saved(Image.fromarray((RAMP / 65535).astype(np.float32)), "TIFF"), "0 to 1"),
        (
            "any range",
            saved(Image.fromarray(RAMP.astype(np.float32) - 65536), "TIFF"),
            "-65536 to -1, its own range,",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value else "",
)
def test_deep_grey_is_scaled_and_not_clipped(name, data, told):
    decoded = images.decode(data)
    assert decoded.notes == (f"Its grey values of more than 8 bits were scaled: {told} became 0 to 255.",), name
    assert np.array_equal(np.asarray(decoded.image)[..., 0], EIGHT), name


@pytest.mark.parametrize("value", [-3.0, 0.0, np.nan, np.inf])
def test_deep_grey_of_one_value_is_black(value):
    assert (pixels(saved(Image.fromarray(np.full((4, 4), value, np.float32)), "TIFF")) == 0).all()


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_is_converted(kind):
    decoded = images.decode(saved(Image.new("RGB", (8, 8), (200, 30, 60)).convert("CMYK"), kind))
    assert decoded.notes == ("Its CMYK colours were converted to RGB without a colour profile.",)
    assert np.abs(np.asarray(decoded.image)[0, 0].astype(int) - [200, 30, 60]).max() <= 3


def test_a_palette_is_converted():
    palette = PICTURE.quantize(16)
    decoded = images.decode(saved(palette, "PNG"))
    assert decoded.notes == ("Its palette was converted to RGB.",)
    assert np.array_equal(np.asarray(decoded.image), np.asarray(palette.convert("RGB")))


# A picture of two pixels: the left one is black and transparent, the right one black.
BLACK_RGBA = Image.fromarray(np.array([[[0, 0, 0, 0], [0, 0, 0, 255]]], np.uint8))
BLACK_AND_RED = Image.new("P", (2, 1))
BLACK_AND_RED.putpalette([0, 0, 0, 0, 0, 0])
BLACK_AND_RED.putdata([0, 1])


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("RGBA", saved(BLACK_RGBA, "PNG")),
        ("WEBP", saved(BLACK_RGBA, "WEBP", lossless=True)),
        ("LA", saved(BLACK_RGBA.convert("LA"), "PNG")),
        ("palette, one entry", saved(BLACK_AND_RED, "PNG", transparency=0)),
        ("palette, alpha of each entry", saved(BLACK_AND_RED, "PNG", transparency=bytes([0, 255]))),
        ("GIF", saved(BLACK_AND_RED, "GIF", transparency=0)),
        ("grey, one value", saved(Image.fromarray(np.array([[7, 0]], np.uint8)), "PNG", transparency=7)),
        ("RGB, one colour", saved(Image.fromarray(np.uint8([[[7, 8, 9], [0, 0, 0]]])), "PNG", transparency=(7, 8, 9))),
    ],
)
def test_transparency_is_laid_on_white(name, data):
    decoded = images.decode(data)
    assert decoded.notes == ("Its transparent parts were laid on white.",), name
    assert np.asarray(decoded.image).tolist() == [[[255] * 3, [0] * 3]], name


@pytest.mark.parametrize(
    ("picture", "seen"), [(BLACK_RGBA.convert("LA").convert("La"), 255), (BLACK_RGBA.convert("RGBa"), 255)]
)
def test_premultiplied_transparency_too(picture, seen):
    decoded = images.decode(picture)
    assert decoded.image.getpixel((0, 0)) == (seen,) * 3
    assert decoded.notes == ("Its transparent parts were laid on white.",)


def test_half_transparent_is_half_white():
    assert pixels(saved(Image.new("RGBA", (1, 1), (0, 100, 200, 102)), "PNG"))[0, 0].tolist() == [153, 193, 233]


def test_an_opaque_alpha_channel_is_not_worth_a_note():
    assert images.decode(saved(PICTURE.convert("RGBA"), "PNG")).notes == ()


# How the upright picture is turned into the one in the file, for each value of the EXIF tag.
AS_STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("orientation", AS_STORED)
def test_exif_rotation_is_applied(orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(AS_STORED[orientation](COLOURS)))
    decoded = images.decode(saved(stored, kind, exif=exif))
    assert np.array_equal(np.asarray(decoded.image), COLOURS)
    assert (decoded.width, decoded.height) == (30, 20)
    assert decoded.notes == (() if orientation == 1 else ("It was turned upright as its EXIF data say.",))


def test_a_photo_on_its_side():
    exif = Image.Exif()
    exif[0x0112] = 6
    left_half_red = Image.new("RGB", (64, 32), "blue")
    left_half_red.paste("red", (0, 0, 32, 32))
    upright = pixels(saved(left_half_red, "JPEG", exif=exif, quality=95))
    assert upright.shape == (64, 32, 3)
    assert upright[8, 16].argmax() == 0, "the left of the sensor is the top of the picture"
    assert upright[56, 16].argmax() == 2


def test_turning_a_palette_keeps_its_transparent_entry():
    exif = Image.Exif()
    exif[0x0112] = 6
    assert pixels(saved(BLACK_AND_RED, "PNG", exif=exif, transparency=0)).tolist() == [[[255] * 3], [[0] * 3]]


def test_damaged_exif_does_no_harm():
    decoded = images.decode(saved(PICTURE, "PNG", exif=b"Exif\0\0garbage"))
    assert decoded.notes == ("Its EXIF data are damaged; they were ignored.",)
    assert np.array_equal(np.asarray(decoded.image), COLOURS)


# --- what is refused --------------------------------------------------------------------------------------------------

JPEG = saved(Image.fromarray(RNG.integers(0, 256, (200, 300, 3), dtype=np.uint8)), "JPEG")
NOT_READABLE = (
    f"x is not an image that can be read, or is cut off; a complete {ACCEPTED} file is accepted; "
    "convert it or choose another file."
)
NOT_READ = (
    f"x is a picture of a kind that cannot be read ({{}}); a complete {ACCEPTED} file is accepted; "
    "convert it or choose another file."
)
TOO_LARGE = "x has more than 100 megapixels; at most 100 are accepted; make it smaller and try again."


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", f"x is empty (0 bytes); an image file ({ACCEPTED}) is accepted; choose another file."),
        (b"Dear Sir or Madam,\n", NOT_READABLE),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", NOT_READ.format("SVG")),
        (saved(PICTURE, "ICO"), NOT_READ.format("ICO")),
        (JPEG[:12], NOT_READABLE),
        (saved(PICTURE, "WEBP")[:100], NOT_READABLE),
        (png_of(30_000, 30_000, 8, 2, b""), TOO_LARGE),
        (png_of(12_000, 10_000, 8, 2, b""), TOO_LARGE),
        (
            png_of(20_000, 100, 8, 2, b""),
            "x is 20000 x 100 px; a long side of at most 100 times the short one is accepted; crop it and try again.",
        ),
    ],
    ids=[
        "empty",
        "text",
        "SVG",
        "ICO",
        "a bit of JPEG",
        "a bit of WEBP",
        "900 megapixels",
        "120 megapixels",
        "200 times as wide",
    ],
)
def test_refused_with_a_sentence(data, sentence):
    with pytest.raises(BadImage) as caught:
        images.decode(data, name="x")
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("JPEG", JPEG[: len(JPEG) // 2]),
        ("PNG", saved(PICTURE, "PNG")[:400]),
        ("BMP", saved(PICTURE, "BMP")[:400]),
        ("PPM", saved(PICTURE, "PPM")[:400]),
        ("PNG", png_of(100, 100, 8, 2, b"")),
    ],
)
def test_cut_off_files_are_refused(kind, data):
    with pytest.raises(BadImage) as caught:
        images.decode(data, name="holiday.jpg")
    sentence = str(caught.value)
    assert sentence.startswith(f"holiday.jpg is a damaged, cut-off or unusual {kind} file (")
    assert sentence.endswith(f"); a complete {ACCEPTED} file is accepted; save or copy it again.")


def test_the_header_is_judged_before_a_pixel_is_decoded(monkeypatch):
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda _: pytest.fail("pixels were decoded"))
    with pytest.raises(BadImage, match="more than 100 megapixels"):
        decode.read(png_of(30_000, 30_000, 8, 2, b""))


def test_a_name_cannot_break_the_line():
    with pytest.raises(BadImage, match=r"^a b\.png is empty"):
        images.decode(b"", name="a\nb.png")


def test_pillows_own_remarks_are_not_printed():
    """In a process of its own: pytest listens to the log, and what is listened to is not printed."""
    samples_per_pixel = struct.pack("<HHI", 277, 3, 1)
    before, after = saved(PICTURE, "TIFF").split(samples_per_pixel)
    odd_tiff = before + samples_per_pixel + struct.pack("<H", 99) + after[2:]
    program = """
import sys
from jepa_core import errors
from jepa_core.decoding import decode
try:
    decode.read(sys.stdin.buffer.read())
except errors.BadImage:
    sys.exit(7)
"""
    done = subprocess.run([sys.executable, "-c", program], input=odd_tiff, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (7, b"", b"")


def test_any_bytes_give_a_picture_or_one_line(capfd):
    rng = np.random.default_rng(1)
    frames = [PICTURE, PICTURE.rotate(90)]
    kinds = "PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM"
    files = [saved(PICTURE, kind) for kind in kinds]
    files += [saved(PICTURE, kind, save_all=True, append_images=frames) for kind in ("GIF", "WEBP", "TIFF")]
    pictures, sentences = 0, []
    for data in files * 150:
        damaged = bytearray(data)
        for _ in range(rng.integers(1, 6)):
            reach = len(damaged) if rng.random() < 0.5 else min(len(damaged), 100)
            damaged[rng.integers(reach)] = rng.integers(256)
        if rng.random() < 0.3:
            damaged = damaged[: rng.integers(len(damaged))]
        try:
            assert images.decode(bytes(damaged)).image.mode == "RGB"
            pictures += 1
        except BadImage as error:
            sentences.append(str(error))
    assert not any("\n" in sentence for sentence in sentences)
    assert min(pictures, len(sentences)) > 100
    assert capfd.readouterr() == ("", "")


# --- the crop that is scored ------------------------------------------------------------------------------------------


def timm_crop(image: Image.Image, config: dict) -> Image.Image:
    """The picture after all steps of timm's transform that come before the tensor."""
    steps = timm.data.create_transform(**config, is_training=False).transforms
    picture = image.convert("L" if config["input_size"][0] == 1 else "RGB")
    for step in steps[:-2]:
        picture = step(picture)
    return picture


SIZES = [(32, 32), (8, 8), (1, 1), (37, 53), (53, 37), (500, 9), (9, 500), (64, 48), (33, 32), (20, 31), (224, 225)]


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("crop_pct", [0.875, 0.9, 1.0])
@pytest.mark.parametrize("crop_mode", ["center", "squash", "border"])
@pytest.mark.parametrize("input_size", [(3, 32, 32), (1, 32, 32), (3, 56, 56), (3, 33, 47)])
def test_crop_is_timms_bit_for_bit(input_size, crop_mode, crop_pct, interpolation):
    channels = input_size[0]
    config = {
        "input_size": input_size,
        "interpolation": interpolation,
        "crop_pct": crop_pct,
        "crop_mode": crop_mode,
        "mean": (0.485, 0.456, 0.406)[:channels],
        "std": (0.229, 0.224, 0.225)[:channels],
    }
    for width, height in SIZES:
        if crop_mode == "border" and max(width, height) == 500 and input_size[1] == 32:
            continue  # the short side would be less than half a pixel: timm itself cannot
        image = Image.fromarray(RNG.integers(0, 256, (height, width, 3), dtype=np.uint8))
        ours, timms = images.crop(image, config), timm_crop(image, config)
        assert (ours.mode, ours.size) == (timms.mode, (input_size[2], input_size[1])), (width, height)
        assert ours.tobytes() == timms.tobytes(), (width, height)


@pytest.mark.parametrize(
    ("mode", "size", "expected"),
    [("center", (8, 8), 2), ("center", (32, 64), 0.5), ("squash", (8, 32), 1), ("border", (8, 32), 0.5)],
)
def test_scale_is_how_large_a_pixel_became(mode, size, expected):
    config = {"input_size": [3, 16, 16], "crop_mode": mode, "crop_pct": 1.0}
    assert images.scale(Image.new("RGB", size), config) == pytest.approx(expected)


def test_crop_takes_a_config_read_from_json():
    config = {"input_size": [3, 8, 8], "interpolation": "bicubic", "crop_pct": 0.875, "crop_mode": "center", "mean": []}
    assert images.crop(PICTURE, config).size == (8, 8)
