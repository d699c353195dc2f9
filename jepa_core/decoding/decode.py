"""Any picture to an upright RGB one with a note of everything that was done to it, or `BadImage` with one sentence.

This is the work itself, in the process that calls it. What comes from outside goes through `images.decode`, which has
it done in a process that can be killed (`jepa_core.decoding.sandbox`).
"""

import io
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image, ImageFile

from jepa_core.decoding import colour_profiles, file_headers, netpbm, pixel_depth
from jepa_core.errors import BadImage
from jepa_core.wording import listed

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "HEIF", "JPEG2000", "PSD")
MAX_MEGAPIXELS = 100
# Formats whose decoders hold a picture several times over.
MAX_OF_FORMAT = {"WEBP": 24, "AVIF": 24, "HEIF": 24, "JPEG2000": 12, "progressive JPEG": 45}
MAX_ASPECT = 100  # encoders resize by the shorter side: 20000 x 1 px would become 4 million x 224
MAX_SCANS = 64  # of a JPEG; programs write about ten, and each is a pass over all pixels
ACCEPTED = listed(FORMATS, "or")

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SWAPPED = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}  # the other byte of 16 bits
_WARNING_FILTERS = threading.Lock()
logging.getLogger("PIL").addHandler(logging.NullHandler())  # else its remarks on odd TIFF files go to standard error


@dataclass(frozen=True)
class Decoded:
    """A picture from outside, made safe."""

    image: Image.Image  # RGB, upright, the first frame
    format: str  # one of FORMATS; another one, or "array", for what was no file
    width: int  # pixels of the upright original
    height: int
    notes: tuple[str, ...]  # what was done to it, one plain sentence each; empty for a plain RGB or grey picture


@contextmanager
def _pillow_kept_quiet() -> Iterator[None]:
    # Pillow warns about damaged metadata and large sizes; both are ours to judge. Filters belong to the process, so
    # two threads that change and restore them at once could leave the wrong ones behind.
    with _WARNING_FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# --- files ------------------------------------------------------------------------------------------------------------


def read(
    data: bytes,
    name: str = "The file",
    megapixels: float = MAX_MEGAPIXELS,
    sized: Callable[[int], None] = lambda _pixels: None,
) -> Decoded:
    """The first frame of an image file as an upright RGB picture.

    Values of more than 8 bits are scaled to 8 (`jepa_core.decoding.pixel_depth` has the rule), CMYK and palettes are
    converted, transparency is laid on white, EXIF rotation is applied; `notes` says which of these happened. `name` is
    what the file is called in an error's sentence; `sized` is told how many pixels there are before memory is taken for
    them.

    Raises `BadImage` for empty bytes, anything but FORMATS, damage, more than `megapixels` (of some formats less:
    MAX_OF_FORMAT), a long side of more than MAX_ASPECT times the short one, and a JPEG of more than MAX_SCANS scans.
    All but damage is judged by the header, before any pixel is decoded.
    """
    if not data:
        raise BadImage(f"{name} is empty (0 bytes); an image file ({ACCEPTED}) is accepted; choose another file.")
    notes: list[str] = []
    with _pillow_kept_quiet():
        header = netpbm.header_of(data)
        if header:
            check_size((header.width, header.height), name, megapixels)
            sized(header.width * header.height)
            declared = header.top if header.deep and header.maxval != header.top else None
            made = _whole(name, "PPM", lambda: _to_rgb(netpbm.read(data, header), notes, declared))
            return _done(made, "PPM", notes)
        picture = _open(data, name, megapixels, sized)
        kind = "JPEG" if picture.format == "MPO" else str(picture.format)  # MPO: a phone's JPEG with a preview inside

        def loaded() -> Image.Image:
            deep = _deep_colours(picture)  # before anything loads it, as asking a PNG for its EXIF data does
            declared = 4095 if "I;12" in _raw_modes(picture) else None
            if kind != "PSD" and _is_animated(picture):  # what Photoshop's files have several of are layers
                notes.append("It holds several frames; the first was taken.")
            turn = _turn(picture, notes)
            picture.load()
            picture._decoder = None  # type: ignore[attr-defined]  # WebP's: it keeps two more copies
            whole = _joined(data, picture, deep, notes) if deep else picture
            if turn is not None and kind not in ("TIFF", "HEIF"):  # these were turned while they were loaded
                whole = whole.transpose(turn)
            return _to_rgb(whole, notes, declared, picture.info.get("icc_profile"))

        return _done(_whole(name, kind, loaded), kind, notes)


def _whole(name: str, kind: str, load: Callable[[], Image.Image]) -> Image.Image:
    try:
        return load()
    except MemoryError as error:
        raise too_dear(name) from error
    except Exception as error:  # Pillow's parsers raise nearly anything on hostile bytes
        raise BadImage(
            f"{name} is a damaged, cut-off or unusual {kind} file ({_one_line(error)}); "
            f"a complete {ACCEPTED} file is accepted; save or copy it again."
        ) from error


def too_dear(name: str) -> BadImage:
    """For a picture whose decoding breaks the limit on memory."""
    return BadImage(
        f"{name} takes more memory to decode than its pixels allow; a picture in RGB or grey, without transparency, is "
        "cheapest; save it as such in a PNG file, or make it smaller."
    )


def _done(image: Image.Image, kind: str, notes: list[str]) -> Decoded:
    image.info = {}  # nothing but its pixels decides
    return Decoded(image, kind, image.width, image.height, tuple(notes))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _open(data: bytes, name: str, megapixels: float, sized: Callable[[int], None]) -> Image.Image:
    kind = file_headers.kind_of(data)
    if kind == "WEBP" and (size := file_headers.webp_size(data)):
        check_size(size, name, megapixels, kind)
        sized(size[0] * size[1])
    scans, progressive = file_headers.jpeg_scans(data) if kind == "JPEG" else (0, False)
    if scans > MAX_SCANS:
        raise BadImage(
            f"{name} is a JPEG of {scans} scans, each of which is a pass over all its pixels; up to {MAX_SCANS} are "
            "accepted; save it again."
        )
    formats = FORMATS if kind == "HEIF" and _can_read_heif() else [one for one in FORMATS if one != "HEIF"]
    try:
        picture = Image.open(io.BytesIO(data), formats=formats)
    except Image.DecompressionBombError as error:
        raise _too_large(name, megapixels) from error
    except Exception as error:  # the same: any exception means that no header could be read
        what = "not an image that can be read, or is cut off"
        if kind and kind not in FORMATS:
            what = f"a picture of a kind that cannot be read ({kind})"
        raise BadImage(
            f"{name} is {what}; a complete {ACCEPTED} file is accepted; convert it or choose another file."
        ) from error
    check_size(picture.size, name, megapixels, "progressive JPEG" if progressive else str(picture.format))
    sized(picture.width * picture.height)
    return picture


def _can_read_heif() -> bool:
    """Pictures of Apple's phones; their reader is loaded when the first of them comes."""
    if "HEIF" not in Image.OPEN:
        try:
            import pi_heif
        except ImportError:
            return False
        pi_heif.register_heif_opener()
    return "HEIF" in Image.OPEN


def check_size(size: tuple[int, int], name: str, megapixels: float = MAX_MEGAPIXELS, kind: str = "") -> None:
    """Raise `BadImage` for more pixels than are accepted (of some kinds less than of others), and for a thread."""
    long, short = max(size), min(size)
    megapixels = min(megapixels, MAX_OF_FORMAT.get(kind, MAX_MEGAPIXELS))
    if long * short > megapixels * 1_000_000:
        raise _too_large(name, megapixels, kind if megapixels == MAX_OF_FORMAT.get(kind) else "")
    if long > MAX_ASPECT * short:
        raise BadImage(
            f"{name} is {size[0]} x {size[1]} px; a long side of at most {MAX_ASPECT} times the short one "
            "is accepted; crop it and try again."
        )


def _too_large(name: str, megapixels: float, kind: str = "") -> BadImage:
    of_kind = f" of a {kind} file" if kind else ""
    return BadImage(
        f"{name} has more than {megapixels:g} megapixels; at most {megapixels:g} are accepted{of_kind}; "
        "make it smaller and try again."
    )


def _is_animated(picture: Image.Image) -> bool:
    try:
        return bool(getattr(picture, "is_animated", False))
    except Exception:  # a cut-off second frame does no harm to the first
        return True


def _turn(picture: Image.Image, notes: list[str]) -> Image.Transpose | None:
    # Not ImageOps.exif_transpose: it writes the metadata anew and fails where only that is damaged.
    try:
        turn = _UPRIGHT.get(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        notes.append("Its EXIF data are damaged; they were ignored.")
        return None
    if turn is not None:
        notes.append("It was turned upright as its EXIF data say.")
    return turn


# --- colours of more than 8 bits --------------------------------------------------------------------------------------


def _raw_modes(picture: Image.Image) -> list[str]:
    """How the file packs its pixels, in Pillow's words, for each of its tiles."""
    tiles = getattr(picture, "tile", None) or []
    return [str(tile.args if isinstance(tile.args, str) else tile.args[0]) for tile in tiles if tile.args]


def _deep_colours(picture: Image.Image) -> str:
    """The raw mode of colours of 16 bits; "" for others, and where each band lies for itself."""
    modes = set(_raw_modes(picture))
    mode = modes.pop() if len(modes) == 1 else ""
    return mode if picture.mode in ("RGB", "RGBA", "CMYK") and ";16" in mode and not mode.startswith("RGBa") else ""


def _joined(data: bytes, upper: Image.Image, raw_mode: str, notes: list[str]) -> Image.Image:
    """A picture of deep colours, of which Pillow has read the upper bytes; where they are few, with the lower ones."""
    if pixel_depth.is_full(upper):
        notes.append("Its colour values of more than 8 bits were scaled: 0 to 65535 became 0 to 255.")
        return upper
    lower: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
    # Grey with opacity has no raw mode for its lower bytes: both bytes of both are read as four bands.
    other = "RGBA" if raw_mode.startswith("LA") else raw_mode[:-1] + _SWAPPED[raw_mode[-1]]
    assert isinstance(lower, ImageFile.ImageFile)
    lower.tile = [
        tile._replace(args=(other, *tile.args[1:]) if isinstance(tile.args, tuple) else other) for tile in lower.tile
    ]
    lower.load()
    if other == "RGBA":
        _high, grey, _opaque, opacity = lower.split()
        lower = Image.merge("RGBA", (grey, grey, grey, opacity))
    return pixel_depth.joined(upper, lower, notes)


# --- to RGB -----------------------------------------------------------------------------------------------------------


def _to_rgb(
    picture: Image.Image, notes: list[str], declared: int | None = None, profile: bytes | None = None
) -> Image.Image:
    """The picture in sRGB, by its profile if it has one; an RGB picture may be changed in its place."""
    if picture.mode == "CMYK" and profile:
        picture = colour_profiles.to_srgb(picture, profile, notes)
        profile = None if picture.mode == "RGB" else profile
    return colour_profiles.to_srgb(_as_rgb(picture, notes, declared), profile, notes)


def _as_rgb(picture: Image.Image, notes: list[str], declared: int | None) -> Image.Image:
    if picture.mode.startswith("I;16") or picture.mode in ("I", "F"):
        return pixel_depth.grey(picture, notes, declared).convert("RGB")
    if picture.mode == "CMYK":
        notes.append("Its CMYK colours were converted to RGB without a colour profile.")
    if picture.has_transparency_data:
        return _on_white(picture, notes)
    if picture.mode == "P":
        notes.append("Its palette was converted to RGB.")
    return picture if picture.mode == "RGB" else picture.convert("RGB")  # converting to the same mode copies it


def _on_white(picture: Image.Image, notes: list[str]) -> Image.Image:
    # Premultiplied modes convert only to their plain twin.
    plain = {"La": "LA", "RGBa": "RGBA"}.get(picture.mode)
    laid, clear = Image.new("RGB", picture.size), False
    step = max(1, 2**20 // picture.width)
    for top in range(0, picture.height, step):  # in strips: whole, it would be held four times
        strip = picture.crop((0, top, picture.width, min(top + step, picture.height)))
        rgba = (strip.convert(plain) if plain else strip).convert("RGBA")
        if rgba.getchannel("A").getextrema()[0] < 255:  # type: ignore[operator]
            clear, rgba = True, Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
        laid.paste(rgba.convert("RGB"), (0, top))
    if clear:
        notes.append("Its transparent parts were laid on white.")
    return laid


# --- pictures in memory -----------------------------------------------------------------------------------------------


def from_array(array: np.ndarray, name: str, megapixels: float = MAX_MEGAPIXELS) -> Decoded:
    """An array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of booleans, whole numbers or fractions, as its file would be.

    The fourth channel is opacity. `BadImage` for any other, and for the sizes that files are refused for.
    """
    check_array(array, name)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    check_size((array.shape[1], array.shape[0]), name, megapixels)
    notes: list[str] = []
    picture = Image.fromarray(np.ascontiguousarray(pixel_depth.eight_bits(np.asarray(array), notes)))
    return _done(_to_rgb(picture, notes), "array", notes)


def check_array(array: np.ndarray, name: str) -> None:
    """Raise `BadImage` for an array that is no picture by its shape or type."""
    fits = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))
    if not fits or array.dtype.kind not in "buif" or not array.size:
        raise BadImage(
            f"{name} is an array of {array.dtype} {array.shape}; booleans, whole numbers or fractions in the shape "
            "(H, W), (H, W, 1), (H, W, 3) or (H, W, 4) are accepted, channels last; change it to one of these."
        )


def file_of(picture: Image.Image) -> bytes | None:
    """The bytes of the file that a PIL image was opened from, while nothing but its header was read; else None."""
    file = getattr(picture, "fp", None)
    untouched = getattr(picture, "_im", None) is None and not getattr(picture, "decoderconfig", ())
    if file is None or not untouched or picture.format not in (*FORMATS, "MPO"):
        return None
    try:
        if picture.tell():
            return None
        place = file.tell()
        file.seek(0)
        data = file.read()
        file.seek(place)
    except Exception:  # closed, or no file any more: what loading it says is more to the point
        return None
    return data


def from_pillow(picture: Image.Image, name: str, megapixels: float = MAX_MEGAPIXELS) -> Decoded:
    """A PIL image as its file would be: the frame that it is at, turned upright, on white. `BadImage` otherwise."""
    check_size(picture.size, name, megapixels)
    notes: list[str] = []
    kind = str(picture.format or "PIL image")

    def loaded() -> Image.Image:
        picture.load()
        turn = _turn(picture, notes)  # after loading: what turns itself then has no such entry any more
        upright = picture.copy() if turn is None else picture.transpose(turn)
        return _to_rgb(upright, notes, profile=picture.info.get("icc_profile"))

    with _pillow_kept_quiet():
        try:
            return _done(loaded(), kind, notes)
        except Exception as error:
            raise BadImage(
                f"{name} is a PIL image of mode {picture.mode} that cannot be read ({_one_line(error)}); one that is "
                "open and can be converted to RGB is accepted; open it again, or convert it first."
            ) from error
