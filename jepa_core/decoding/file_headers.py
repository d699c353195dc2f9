"""What the first bytes and the ending of a file say: which kind of picture it is, and what decoding it would take.

Nothing here decodes a pixel.
"""

import re
from collections.abc import Iterable

# The files of a folder that are taken for pictures, by their ending in lower case.
SUFFIXES = {".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".gif", ".bmp", ".dib", ".psd"}
SUFFIXES |= {".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".avif", ".heic", ".heif", ".hif"}
SUFFIXES |= {".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"}
# Pictures too, but none that can be read here; they are counted and named.
UNREAD_SUFFIXES = {".jxl", ".svg", ".svgz", ".psb", ".xcf", ".ico", ".icns", ".tga", ".dds", ".exr", ".hdr"}
UNREAD_SUFFIXES |= {".pcx", ".qoi", ".sgi", ".ras", ".xbm", ".xpm", ".wmf", ".emf", ".eps", ".ai", ".jxr", ".wdp"}
UNREAD_SUFFIXES |= {".bpg", ".flif", ".dcm", ".fits", ".fit", ".fts", ".cur", ".pam", ".djvu", ".heics", ".avifs"}
UNREAD_SUFFIXES |= {".raw", ".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".sr2", ".srf", ".orf", ".rw2"}
UNREAD_SUFFIXES |= {".raf", ".pef", ".srw", ".rwl", ".3fr", ".iiq", ".kdc", ".dcr", ".mrw", ".x3f", ".erf", ".mef"}

# The first bytes of picture files, and what they are called in a sentence.
_MAGIC = (
    (rb"\x89PNG\r\n\x1a\n", "PNG"),
    (rb"\xff\xd8\xff", "JPEG"),
    (rb"RIFF....WEBP", "WEBP"),
    (rb"GIF8[79]a", "GIF"),
    (rb"BM....\x00\x00\x00\x00", "BMP"),
    (rb"II\x2a\x00|MM\x00\x2a|II\x2b\x00|MM\x00\x2b", "TIFF"),
    (rb"P[1-6]\s", "PPM"),
    (rb"8BPS\x00\x01", "PSD"),
    (rb"....ftypavi[fs]", "AVIF"),
    (rb"....ftyp(?:hei[cxms]|hev[cxms]|mif1|msf1)", "HEIF"),
    (rb"\x00\x00\x00\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51", "JPEG2000"),
    (rb"\xff\x0a|\x00\x00\x00\x0cJXL \r\n\x87\n", "JPEG XL"),
    (rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*|<!--.{0,200}-->\s*|<!DOCTYPE[^>]*>\s*){0,4}<svg[\s>]", "SVG"),
    (rb"8BPS\x00\x02", "PSB"),
    (rb"gimp xcf ", "XCF"),
    (rb"\x76\x2f\x31\x01", "OpenEXR"),
    (rb"#\?RADIANCE", "Radiance HDR"),
    (rb"qoif", "QOI"),
    (rb"DDS ", "DDS"),
    (rb"\x00\x00\x01\x00[\x01-\x40]\x00", "ICO"),
    (rb"icns", "ICNS"),
    (rb"%!PS-Adobe.{0,9}EPSF", "EPS"),
    (rb"FUJIFILMCCD-RAW|....ftypcrx |IIU\x00|IIRO|II\x1a\x00\x00\x00HEAPCCDR", "camera raw"),
    (rb"SIMPLE  =", "FITS"),
    (rb".{128}DICM", "DICOM"),
)
_KINDS = tuple((re.compile(pattern, re.DOTALL), kind) for pattern, kind in _MAGIC)
SNIFFED = 1024  # bytes that tell a kind


def kind_of(start: bytes) -> str:
    """The kind of picture that a file's first bytes are those of; "" for what is none that is known here."""
    return next((kind for pattern, kind in _KINDS if pattern.match(start[:SNIFFED])), "")


def _ending(name: str) -> str:
    before, dot, ending = name.rpartition("/")[2].rpartition(".")  # a Path takes five times as long
    return dot + ending.lower() if before else ""


def is_picture(name: str) -> bool:
    """Whether a file is taken for a picture, by its ending."""
    return _ending(name) in SUFFIXES


def is_unread(name: str) -> bool:
    """Whether a file is a picture of a kind that cannot be read here, by its ending."""
    return _ending(name) in UNREAD_SUFFIXES


def left_out_in_words(names: Iterable[str]) -> str:
    """One sentence on files that look like pictures but were left out: how many of each ending, and the first names."""
    names = list(names)
    counts: dict[str, int] = {}
    for name in names:
        ending = _ending(name) or "without an ending"
        counts[ending] = counts.get(ending, 0) + 1
    many = ", ".join(f"{count} {ending}" for ending, count in sorted(counts.items(), key=lambda one: -one[1]))
    first = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    files = "1 file looks like a picture" if len(names) == 1 else f"{len(names)} files look like pictures"
    were = "was" if len(names) == 1 else "were"
    return (
        f"{files} but cannot be read here, and {were} left out: {many} ({first}). PNG, JPEG and others are accepted, "
        "by their endings; convert or rename what you need."
    )


def webp_size(data: bytes) -> tuple[int, int] | None:
    """Width and height of a WebP file, read before its decoder is made, which allocates them three times over."""
    if not re.match(rb"RIFF....WEBP", data[:12], re.DOTALL) or len(data) < 30:
        return None
    if data[12:16] == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if data[12:16] == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1
    return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF


_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]")  # those of a JPEG that something belongs to, and its end


def jpeg_scans(data: bytes) -> tuple[int, bool]:
    """How many scans a JPEG has, up to its end of image, and whether it is progressive. (0, False) for other files."""
    scans, progressive, place = 0, False, 2
    if not data.startswith(b"\xff\xd8"):
        return 0, False
    while found := _MARKER.search(data, place):
        marker = data[found.start() + 1]
        if marker == 0xD9:
            break
        progressive |= marker in (0xC2, 0xC6, 0xCA, 0xCE)
        scans += marker == 0xDA
        place = found.end() + max(2, int.from_bytes(data[found.end() : found.end() + 2], "big"))
    return scans, progressive
