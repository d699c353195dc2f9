"""Nothing about a file decides, only its picture: profiles are applied where they change colours, and all else goes."""

import io
import struct

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, PngImagePlugin

from jepa_core import images
from jepa_core.confounds import image_stats
from jepa_core.decoding import colour_profiles

PIXELS = np.random.default_rng(3).integers(0, 256, (40, 48, 3), dtype=np.uint8)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
CONFIG = {
    "input_size": [3, 32, 32],
    "interpolation": "bicubic",
    "crop_pct": 1.0,
    "crop_mode": "center",
    "mean": [0.5, 0.5, 0.5],
}


def swapped() -> bytes:
    """sRGB's profile with the primaries of red and green in each other's place."""
    data = bytearray(SRGB)
    (count,) = struct.unpack(">I", data[128:132])
    tags = {
        bytes(data[at : at + 4]): struct.unpack(">II", data[at + 4 : at + 12])
        for at in range(132, 132 + 12 * count, 12)
    }
    (red, size), (green, _size) = tags[b"rXYZ"], tags[b"gXYZ"]
    data[red : red + size], data[green : green + size] = data[green : green + size], data[red : red + size]
    return bytes(data)


def linear_grey() -> bytes:
    """A profile of grey levels that are proportional to light."""
    curve = b"curv" + bytes(4) + struct.pack(">I", 0)
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    text = b"desc" + bytes(4) + struct.pack(">I", 5) + b"grey\0" + bytes(78)
    body, table = b"", b""
    for name, tag in ((b"desc", text), (b"wtpt", white), (b"kTRC", curve)):
        table += name + struct.pack(">II", 128 + 4 + 36 + len(body), len(tag))
        body += tag + bytes(-len(tag) % 4)
    head = bytearray(128)
    head[8:12], head[12:24], head[36:40] = bytes([2, 16, 0, 0]), b"mntrGRAYXYZ ", b"acsp"
    head[68:80] = struct.pack(">3i", 63190, 65536, 54061)
    whole = head + struct.pack(">I", 3) + table + body
    whole[0:4] = struct.pack(">I", len(whole))
    return bytes(whole)


def saved(kind: str, picture: Image.Image | None = None, **said: object) -> bytes:
    buffer = io.BytesIO()
    (picture or Image.fromarray(PIXELS)).save(buffer, kind, **said)
    return buffer.getvalue()


def text() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "x" * 5000)
    return info


def exif() -> Image.Exif:
    made = Image.Exif()
    made[ExifTags.Base.ImageDescription] = "y" * 5000
    return made


VARIANTS = {
    "PNG": lambda: saved("PNG"),
    "PNG with sRGB's profile": lambda: saved("PNG", icc_profile=SRGB),
    "PNG with text": lambda: saved("PNG", pnginfo=text()),
    "PNG with EXIF data": lambda: saved("PNG", exif=exif()),
    "PNG with a resolution": lambda: saved("PNG", dpi=(300, 300)),
    "PNG with a damaged profile": lambda: saved("PNG", icc_profile=b"nothing" * 400),
    "WebP": lambda: saved("WEBP", lossless=True),
    "WebP with all": lambda: saved("WEBP", lossless=True, icc_profile=SRGB, exif=exif().tobytes(), xmp=b"z" * 999),
    "TIFF": lambda: saved("TIFF"),
    "TIFF with all": lambda: saved("TIFF", icc_profile=SRGB, description="t" * 999, compression="tiff_lzw"),
    "BMP": lambda: saved("BMP"),
    "PPM": lambda: saved("PPM"),
}


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("way", ["bytes", "PIL image", "loaded PIL image"])
def test_equal_pixels_are_equal_numbers_whatever_the_file_says(name, way):
    data = VARIANTS[name]()
    given: object = data
    if way != "bytes":
        given = Image.open(io.BytesIO(data))
        if way == "loaded PIL image":
            given.load()
    decoded = images.decode(given)
    assert (np.asarray(decoded.image) == PIXELS).all()
    assert decoded.image.info == {}
    plain = images.cropped(images.encode_ppm(PIXELS), CONFIG)
    found = images.cropped(given, CONFIG)
    assert found.image.tobytes() == plain.image.tobytes()
    assert (image_stats.measured_crop(found.image, 1.0) == image_stats.measured_crop(plain.image, 1.0)).all()
    assert (image_stats.measured(decoded.image, CONFIG) == image_stats.measured(Image.fromarray(PIXELS), CONFIG)).all()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_another_profile_is_applied_and_said(kind):
    data = saved(kind, icc_profile=swapped())
    found = images.decode(data)
    assert np.abs(np.asarray(found.image).astype(int) - PIXELS[..., [1, 0, 2]]).max() <= 2
    [note] = found.notes
    assert note.startswith("Its colours were converted from its colour profile (")
    picture = Image.open(io.BytesIO(data))
    picture.load()
    before = picture.tobytes()
    assert (np.asarray(images.decode(picture).image) == np.asarray(found.image)).all()
    assert picture.tobytes() == before, "the person's own picture is left as it is"


def test_transparent_pictures_and_palettes_have_their_profile_applied_too():
    clear = Image.fromarray(np.dstack([PIXELS, np.full(PIXELS.shape[:2], 255, dtype=np.uint8)]))
    found = images.decode(saved("PNG", clear, icc_profile=swapped()))
    assert np.abs(np.asarray(found.image).astype(int) - PIXELS[..., [1, 0, 2]]).max() <= 2
    palette = Image.fromarray(PIXELS).quantize(64)
    found = images.decode(saved("PNG", palette, icc_profile=swapped()))
    expected = np.asarray(palette.convert("RGB"))[..., [1, 0, 2]]
    assert np.abs(np.asarray(found.image).astype(int) - expected).max() <= 2


def test_grey_levels_follow_their_profile():
    levels = np.arange(16, 256, dtype=np.uint8).repeat(4).reshape(32, 30)  # the darkest are rounded coarsely
    found = images.decode(saved("PNG", Image.fromarray(levels), icc_profile=linear_grey()))
    light = levels / 255
    expected = 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(np.asarray(found.image)[..., 0] - expected).max() <= 3
    assert "grey levels were converted" in found.notes[0]


@pytest.mark.parametrize(
    "profile", [b"nothing" * 400, SRGB[:200], b"\0" * (colour_profiles.MOST_BYTES + 1), linear_grey()[:150]]
)
def test_a_profile_that_is_none_changes_nothing(profile):
    notes: list[str] = []
    picture = Image.fromarray(PIXELS)
    assert (np.asarray(colour_profiles.to_srgb(picture, profile, notes)) == PIXELS).all()
    assert all("it was ignored" in note for note in notes)
