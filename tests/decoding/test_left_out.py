"""Pictures that cannot be read are counted and named; what Pillow and its plug-in can read is read."""

import base64
import zipfile

import pytest

from jepa_core import images
from jepa_core.datasets.registry import get_dataset, sampled
from jepa_core.decoding import file_headers
from jepa_core.errors import DatasetError
from tests.helpers import picture, png
from tests.test_images import saved

HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAX1tZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAA"
    "ACJpbG9jAAAAAERAAAEAAQAAAAABoQABAAAAAAAAABgAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRt"
    "AAAAAAABAAAA/WlwcnAAAADdaXBjbwAAAHZodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMA"
    "AAMAHroCQGEAAQAqQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkAAAATY29scm5j"
    "bHgAAQANAAaAAAAAFGlzcGUAAAAAAAAAQAAAAEAAAAAoY2xhcAAAAEAAAAABAAAAMAAAAAEAAAAAAAAAAv////AAAAACAAAAEHBp"
    "eGkAAAAAAwgICAAAABhpcG1hAAAAAAAAAAEAAQWBAgMFhAAAACBtZGF0AAAAFCgBrwQY+Mpx1//yIZ8KAuDtSEec"
)


@pytest.fixture
def mixed(tmp_path):
    """A folder of two pictures that can be read, and of others."""
    folder = tmp_path / "mixed"
    for name in ("a/1.png", "a/2.jxl", "b/3.png", "b/4.CR2", "b/5.svg", "c/6.jxl", "c/notes.txt", "c/list"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(1) if name.endswith("png") else b"no picture")
    (folder / "c" / "hash1234").write_bytes(png(2))
    (folder / "c" / ".hidden.jxl").write_bytes(b"x")
    return folder


LEFT_OUT = ("a/2.jxl", "b/4.CR2", "b/5.svg", "c/6.jxl", "c/hash1234")
SENTENCE = (
    "5 files look like pictures but cannot be read here, and were left out: 2 .jxl, 1 .cr2, 1 .svg, 1 without an "
    "ending (a/2.jxl, b/4.CR2, b/5.svg, ...). PNG, JPEG and others are accepted, by their endings; convert or "
    "rename what you need."
)


def test_files_that_look_like_pictures_are_counted_and_named(mixed):
    found = get_dataset(mixed)
    assert [item.name for item in found.items()] == ["a/1.png", "b/3.png"]
    assert sorted(found.left_out) == sorted(LEFT_OUT)
    assert found.tell_left_out() == SENTENCE
    assert sampled(found, 1).left_out == found.left_out


def test_an_archive_says_the_same_as_the_folder_it_was_made_of(mixed, tmp_path):
    with zipfile.ZipFile(tmp_path / "mixed.zip", "w") as packed:
        for path in sorted(mixed.rglob("*")):
            if path.is_file():
                packed.write(path, path.relative_to(mixed))
    assert sorted(get_dataset(tmp_path / "mixed.zip").left_out) == sorted(LEFT_OUT)


def test_one_file_is_told_of_in_the_singular():
    assert file_headers.left_out_in_words(["x.jxl"]).startswith(
        "1 file looks like a picture but cannot be read here, and was"
    )


def test_a_folder_of_nothing_else_says_so(mixed):
    (mixed / "a" / "1.png").unlink()
    (mixed / "b" / "3.png").unlink()
    with pytest.raises(DatasetError, match=r"has no images; .* 5 files look like pictures but cannot be read here"):
        get_dataset(mixed)


def test_the_terminal_says_it_when_it_scores(mixed, command, install_tiny):
    install_tiny()
    status, _out, said = command("score", "--encoder", "tiny", "--data", mixed, "--device", "cpu")
    assert status == 0
    assert SENTENCE in said


@pytest.mark.usefixtures("own_assets")
def test_the_page_says_it_where_the_dataset_is_chosen(mixed, open_page):
    app = open_page()
    app.selectbox(key="dataset").set_value(app.selectbox(key="dataset").options[-1])
    app.run()
    app.text_input(key="folder").set_value(str(mixed)).run()
    assert any("5 files look like pictures" in caption.value for caption in app.caption)


@pytest.mark.parametrize("kind", ["AVIF", "JPEG2000"])
def test_modern_formats_are_read(kind):
    decoded = images.decode(saved(picture(1).resize((64, 48)), kind))
    assert (decoded.format, decoded.width, decoded.height) == (kind, 64, 48)


def test_pictures_of_phones_are_read():
    pytest.importorskip("pi_heif")
    decoded = images.decode(HEIC)
    assert (decoded.format, decoded.width, decoded.height) == ("HEIF", 64, 48)
    assert decoded.image.getpixel((30, 20))[0] > 150


def test_a_name_that_is_wrong_does_no_harm(tmp_path):
    (tmp_path / "really-a-webp.jpg").write_bytes(saved(picture(1), "WEBP", lossless=True))
    (item,) = get_dataset(tmp_path).items()
    assert images.decode(item.read()).image.tobytes() == picture(1).tobytes()


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"\xff\x0a\xfa", "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"<?xml version='1.0'?>\n<!-- drawn -->\n<svg width='9'>", "SVG"),
        (b"\0\0\0\x18ftypcrx ", "camera raw"),
        (b"8BPS\0\2", "PSB"),
        (b"DDS |", "DDS"),
        (b"\0\0\0\x18ftypheic", "HEIF"),
        (b"plain text", ""),
        (b"", ""),
    ],
)
def test_the_first_bytes_say_the_kind(start, kind):
    assert file_headers.kind_of(start) == kind
