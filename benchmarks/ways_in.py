"""One number for one picture: 200 pictures of all kinds through ten ways in, and the largest difference of score.

    python benchmarks/ways_in.py [--count 200] [--encoder digits]

The pictures are scored as every way gives them: paths (as text and as Paths), bytes, PIL images that are only opened,
and that are loaded, arrays of their pixels (of those whose pixels are all that their file says: no palette, turn or
transparent colour), uploads, a folder, a ZIP, a tar, WebDataset shards and rows of a hub's table.
"""

import argparse
import io
import os
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jepa_core import load_encoder, score_images
from jepa_core.datasets import registry
from jepa_core.datasets.uploads import Uploads


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    """A picture as the bytes of a file."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def pictures(count: int) -> Iterator[tuple[str, bytes]]:
    """Files of all kinds, each with its ending."""
    for seed in range(count):
        rng = np.random.default_rng(seed)
        small = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        rgb = Image.fromarray(small).resize(
            (int(rng.integers(20, 90)), int(rng.integers(20, 90))), Image.Resampling.BICUBIC
        )
        yield KINDS[seed % len(KINDS)](rgb, rng)


def _turned(rgb: Image.Image, rng: np.random.Generator) -> tuple[str, bytes]:
    exif = Image.Exif()
    exif[0x0112] = int(rng.integers(2, 9))
    kind = ("JPEG", "PNG", "WEBP", "TIFF")[int(rng.integers(4))]
    return {"JPEG": "jpg", "TIFF": "tif"}.get(kind, kind.lower()), saved(rgb, kind, exif=exif)


def _clear(rgb: Image.Image, rng: np.random.Generator) -> tuple[str, bytes]:
    rgba = rgb.convert("RGBA")
    rgba.putalpha(rgb.getchannel(0))
    return ("png", saved(rgba, "PNG")) if rng.random() < 0.5 else ("webp", saved(rgba, "WEBP", lossless=True))


def _deep(rgb: Image.Image, rng: np.random.Generator) -> tuple[str, bytes]:
    top = int(rng.choice([255, 1023, 4095, 16383, 65535]))
    values = np.asarray(rgb.convert("L")).astype(np.float64) * (top / 255)
    kind = rng.choice([np.uint16, np.int32])
    container = "TIFF" if kind is np.int32 or rng.random() < 0.5 else "PNG"
    return {"TIFF": "tif"}.get(container, "png"), saved(Image.fromarray(values.astype(kind)), container)


def _fractions(rgb: Image.Image, rng: np.random.Generator) -> tuple[str, bytes]:
    top = float(rng.choice([1, 255, 65535]))
    return "tif", saved(Image.fromarray((np.asarray(rgb.convert("L")) * (top / 255)).astype(np.float32)), "TIFF")


def _frames(rgb: Image.Image, rng: np.random.Generator) -> tuple[str, bytes]:
    kind = ("GIF", "PNG", "WEBP", "TIFF", "MPO")[int(rng.integers(5))]
    ending = {"TIFF": "tif", "MPO": "jpg"}.get(kind, kind.lower())
    return ending, saved(rgb, kind, save_all=True, append_images=[rgb.transpose(Image.Transpose.FLIP_LEFT_RIGHT)])


KINDS = (
    lambda rgb, _rng: ("jpg", saved(rgb, "JPEG")),
    lambda rgb, _rng: ("jpg", saved(rgb, "JPEG", progressive=True)),
    lambda rgb, _rng: ("jpg", saved(rgb.convert("CMYK"), "JPEG")),
    lambda rgb, _rng: ("jpg", saved(rgb.convert("L"), "JPEG")),
    lambda rgb, _rng: ("png", saved(rgb, "PNG")),
    lambda rgb, _rng: ("png", saved(rgb.convert("P"), "PNG")),
    lambda rgb, _rng: ("png", saved(rgb.convert("P"), "PNG", transparency=bytes(range(256)))),
    lambda rgb, _rng: ("png", saved(rgb.convert("LA"), "PNG")),
    lambda rgb, _rng: ("png", saved(rgb.convert("1"), "PNG")),
    lambda rgb, _rng: ("gif", saved(rgb.convert("P"), "GIF", transparency=3)),
    lambda rgb, _rng: ("bmp", saved(rgb, "BMP")),
    lambda rgb, _rng: ("webp", saved(rgb, "WEBP")),
    lambda rgb, _rng: ("avif", saved(rgb, "AVIF", speed=10)),
    lambda rgb, _rng: ("jp2", saved(rgb, "JPEG2000")),
    lambda rgb, _rng: ("ppm", saved(rgb, "PPM")),
    lambda rgb, _rng: ("pgm", saved(rgb.convert("L"), "PPM")),
    lambda rgb, _rng: ("tif", saved(rgb, "TIFF", compression="tiff_lzw")),
    _turned,
    _turned,
    _clear,
    _clear,
    _deep,
    _deep,
    _deep,
    _fractions,
    _frames,
)


def array_of(data: bytes) -> np.ndarray | None:
    """The pixels that a person has of a file with Pillow and NumPy; None where these are not the picture alone."""
    with Image.open(io.BytesIO(data)) as picture:
        turned = picture.getexif().get(0x0112, 1) != 1 and picture.format != "TIFF"
        plain = (
            picture.mode in ("L", "RGB", "RGBA", "1", "F", "I", "I;16", "I;16B") and "transparency" not in picture.info
        )
        return np.array(picture) if plain and not turned else None


def loaded(data: bytes) -> Image.Image:
    """A PIL image whose file is gone."""
    with Image.open(io.BytesIO(data)) as picture:
        picture.load()
        return picture


def ways(folder: Path, files: list[tuple[str, bytes]]) -> Iterator[tuple[str, list[object]]]:
    """Each way's name, and what it gives of each file (None where it gives nothing)."""
    data = [one for _name, one in files]
    paths = [folder / "tree" / "a" / name for name, _one in files]
    yield "path", list(paths)
    yield "path as text", [str(path) for path in paths]
    yield "bytes", list(data)
    yield "PIL image, opened", [Image.open(path) for path in paths]
    yield "PIL image, loaded", [loaded(one) for one in data]
    yield "array", [array_of(one) for one in data]
    held = Uploads()
    held.pictures = []
    for start in range(0, len(files), 100):
        held.take(files[start : start + 100])
    yield "upload", [one for _name, one in held.pictures]
    yield "folder", _read(str(folder / "tree"), files)
    with zipfile.ZipFile(folder / "all.zip", "w") as packed, tarfile.open(folder / "all.tar", "w") as tar:
        for path in paths:
            packed.write(path, f"a/{path.name}")
            tar.add(path, f"a/{path.name}")
    yield "ZIP", _read(str(folder / "all.zip"), files)
    yield "tar", _read(str(folder / "all.tar"), files)
    (folder / "shards").mkdir()
    with tarfile.open(folder / "shards" / "shard-000.tar", "w") as tar:
        for path in paths:
            tar.add(path, path.name)
    yield "shard", _read(str(folder / "shards" / "shard-{000..000}.tar"), files)
    yield "hub row", _hub_rows(data)


def _read(name: str, files: list[tuple[str, bytes]]) -> list[object]:
    read = {item.name.rpartition("/")[2]: item.read() for item in registry.get_dataset(name).items()}
    return [read[name] for name, _one in files]


def _hub_rows(data: list[bytes]) -> list[object]:
    import datasets as hub

    from jepa_core.datasets.readers import huggingface

    features = hub.Features({"image": hub.Image()})
    table = hub.Dataset.from_dict({"image": [{"bytes": one, "path": None} for one in data]}, features=features)
    return [item.read() for item in huggingface.from_table(table, "hub:a/b/c", "a", "b").items()]


def main() -> None:
    """Score all by each way, and print the largest difference from the score of the path."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--encoder", default="digits")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as text:
        os.environ["JEPA_CACHE"] = f"{text}/cache"
        folder = Path(text)
        (folder / "tree" / "a").mkdir(parents=True)
        files = [(f"{place:03d}.{ending}", data) for place, (ending, data) in enumerate(pictures(args.count))]
        for name, data in files:
            (folder / "tree" / "a" / name).write_bytes(data)
        encoder = load_encoder(args.encoder, "cpu")
        expected: list[float] = []
        largest = 0.0
        for way, given in ways(folder, files):
            # In one call, each at its place in a batch, where what a way does not give is given as bytes.
            every = [data if one is None else one for one, (_name, data) in zip(given, files, strict=True)]
            scores = score_images(every, encoder)["jepa_score"].tolist()
            expected = expected or scores
            different = [
                (abs(score - right), name)
                for one, score, right, (name, _data) in zip(given, scores, expected, files, strict=True)
                if one is not None
            ]
            worst = max(different)
            largest = max(largest, worst[0])
            told = f" ({worst[1]})" if worst[0] else ""
            print(f"{way:20s} {len(different):4d} pictures, largest difference {worst[0]:.6f}{told}", flush=True)
        kinds = len({(name.rpartition(".")[2]) for name, _data in files})
        print(f"{len(files)} pictures of {kinds} endings: largest difference of a score {largest:.6f}")
    sys.exit(0 if largest == 0 else 1)


if __name__ == "__main__":
    main()
