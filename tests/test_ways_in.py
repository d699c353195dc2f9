"""The same picture has the same number whichever way it comes in; what is no picture has one sentence."""

import io
import subprocess
import sys
import tarfile
import zipfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from jepa_core import images, score_images
from jepa_core.datasets.registry import get_dataset
from jepa_core.errors import BadImage, DatasetError
from tests.helpers import picture
from tests.test_images import saved

RGB = picture(1).resize((40, 30), Image.Resampling.BICUBIC)
CLEAR = RGB.convert("RGBA")
CLEAR.putalpha(RGB.getchannel(0))
SIDEWAYS = Image.Exif()
SIDEWAYS[0x0112] = 6
FRAMES = {"save_all": True, "append_images": [RGB.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]}
DEEP = Image.fromarray(np.asarray(RGB.convert("L")).astype(np.uint16) * 16)

FILES = {
    "plain.png": saved(RGB, "PNG"),
    "grey.png": saved(RGB.convert("L"), "PNG"),
    "bits.png": saved(RGB.convert("1"), "PNG"),
    "photo.jpg": saved(RGB, "JPEG"),
    "turned.jpg": saved(RGB, "JPEG", exif=SIDEWAYS),
    "turned.tif": saved(RGB, "TIFF", exif=SIDEWAYS),
    "turned.png": saved(RGB, "PNG", exif=SIDEWAYS),
    "printed.jpg": saved(RGB.convert("CMYK"), "JPEG"),
    "printed.tif": saved(RGB.convert("CMYK"), "TIFF"),
    "clear.png": saved(CLEAR, "PNG"),
    "clear.webp": saved(CLEAR, "WEBP", lossless=True),
    "clear-grey.png": saved(CLEAR.convert("LA"), "PNG"),
    "palette.png": saved(RGB.convert("P"), "PNG"),
    "clear-palette.png": saved(RGB.convert("P"), "PNG", transparency=bytes(range(256))),
    "clear.gif": saved(RGB.convert("P"), "GIF", transparency=3),
    "clear-colour.png": saved(RGB, "PNG", transparency=RGB.getpixel((0, 0))),
    "frames.gif": saved(RGB, "GIF", **FRAMES),
    "frames.tif": saved(RGB, "TIFF", **FRAMES),
    "phone.jpg": saved(RGB.copy(), "MPO", **FRAMES),
    "deep.png": saved(DEEP, "PNG"),
    "deep.tif": saved(DEEP, "TIFF"),
    "deep.pgm": saved(DEEP, "PPM"),
    "fractions.tif": saved(RGB.convert("F"), "TIFF"),
    "odd.ppm": b"P6\n40 30\n254\n" + np.minimum(np.asarray(RGB), 254).tobytes(),
    "modern.avif": saved(RGB, "AVIF"),
    "modern.jp2": saved(RGB, "JPEG2000"),
}


def loaded(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data)) as picture:
        picture.load()
        return picture


@pytest.fixture
def opened():
    """Image.open of a path; the files are closed at the end."""
    with ExitStack() as stack:
        yield lambda path: stack.enter_context(Image.open(path))


@pytest.mark.parametrize("name", FILES)
def test_a_picture_has_the_same_pixels_whichever_way_it_comes_in(name, tmp_path, opened):
    data, path = FILES[name], tmp_path / name
    path.write_bytes(data)
    expected = images.decode(data)
    ways = {
        "path": path,
        "path as text": str(path),
        "PIL image, opened": opened(path),
        "PIL image, of bytes": Image.open(io.BytesIO(data)),
        "PIL image, loaded": loaded(data),
        "PIL image, copied": opened(path).copy(),
        "pixels": np.asarray(expected.image),
    }
    for way, given in ways.items():
        assert images.decode(given).image.tobytes() == expected.image.tobytes(), way
    persons = opened(path)
    assert images.decode(persons).notes == expected.notes
    assert persons.convert("RGBA").tobytes() == loaded(data).convert("RGBA").tobytes(), "the person's image still works"


def test_a_pil_image_that_was_turned_upright_is_not_turned_again():
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(FILES["turned.jpg"])))
    assert images.decode(upright).image.tobytes() == images.decode(FILES["turned.jpg"]).image.tobytes()


def test_a_pil_image_is_taken_at_the_frame_that_it_is_at():
    second = Image.open(io.BytesIO(FILES["frames.tif"]))
    second.seek(1)
    assert images.decode(second).image.tobytes() == FRAMES["append_images"][0].tobytes()


def test_scores_are_the_same_by_every_way(tiny, tmp_path, opened):
    tree = tmp_path / "tree" / "a"
    tree.mkdir(parents=True)
    for name, data in FILES.items():
        (tree / name).write_bytes(data)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as packed, tarfile.open(tmp_path / "all.tar", "w") as tar:
        for name in FILES:
            packed.write(tree / name, f"a/{name}")
            tar.add(tree / name, f"a/{name}")

    def read(path: Path) -> list[bytes]:
        found = {item.name.rpartition("/")[2]: item.read() for item in get_dataset(path).items()}
        return [found[name] for name in FILES]

    expected = score_images([tree / name for name in FILES], tiny)["jepa_score"]
    ways = [[opened(tree / name) for name in FILES], [loaded(data) for data in FILES.values()]]
    ways += [read(tmp_path / "tree"), read(tmp_path / "all.zip"), read(tmp_path / "all.tar")]
    for given in ways:
        assert score_images(given, tiny)["jepa_score"].tolist() == expected.tolist()


# --- what is no picture -----------------------------------------------------------------------------------------------


def closed() -> Image.Image:
    picture = Image.open(io.BytesIO(FILES["photo.jpg"]))
    picture.close()
    return picture


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("one.png", r"^One picture was given by itself \(path\); a list of paths, bytes, PIL images or arrays"),
        (Path("one.png"), r"^One picture was given by itself \(path\)"),
        (FILES["plain.png"], r"^One picture was given by itself \(bytes\)"),
        (RGB, r"^One picture was given by itself \(Image\)"),
        (np.asarray(RGB), r"^One picture was given by itself \(ndarray\)"),
        (None, "^Pictures were given as NoneType; a list of paths"),
        (7, "^Pictures were given as int; a list of paths"),
        (
            [None],
            "^picture 0 is of type NoneType; the path or the bytes of an image file, a PIL image or a NumPy array",
        ),
        ([io.BytesIO(b"x")], "^picture 0 is of type BytesIO"),
        ([np.zeros((3, 8, 8))], r"^picture 0 is an array of float64 \(3, 8, 8\); booleans, whole numbers or fractions"),
        ([closed()], "^picture 0 is a PIL image of mode RGB that cannot be read"),
        ([Image.new("RGB", (0, 5))], "^picture 0 is 0 x 5 px"),
        ([Image.new("L", (2000, 3))], "^picture 0 is 2000 x 3 px; a long side of at most 100 times the short one"),
        (["nowhere.png"], r"^nowhere\.png cannot be read \(No such file or directory\); give the path of an image"),
        (["."], r"^\. cannot be read \(Is a directory\)"),
        (["a\0b"], "cannot be read"),
    ],
    ids=lambda value: "" if isinstance(value, str) else type(value[0] if isinstance(value, list) else value).__name__,
)
def test_what_is_not_accepted_is_one_sentence(tiny, given, sentence):
    with pytest.raises(BadImage, match=sentence):
        score_images(given, tiny)


def test_a_tensor_is_not_an_array(tiny):
    import torch

    with pytest.raises(BadImage, match=r"^picture 0 is of type Tensor"):
        score_images([torch.zeros(3, 8, 8)], tiny)


@pytest.mark.parametrize("given", [None, 7, b"folder", ["digits-test"]])
def test_a_dataset_is_asked_for_by_a_name_or_a_path(given):
    with pytest.raises(DatasetError, match=r"^A dataset was asked for by a "):
        get_dataset(given)


def test_a_folder_is_opened_by_a_path_object_too(folder):
    assert get_dataset(folder) == get_dataset(str(folder))


def test_decode_reads_no_module_that_takes_seconds():
    program = "import sys; from jepa_core import images; assert 'torch' not in sys.modules; print(images.FORMATS[0])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    assert done.stdout == "PNG\n"
