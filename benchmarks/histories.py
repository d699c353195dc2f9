"""Nothing about a file decides: `python benchmarks/histories.py [--encoder photo] [--data scenes-test] [--count 200]`.

Two tables. `containers`: each picture's pixels in several files with and without metadata (profile, EXIF, thumbnail,
comment, text); the largest difference of score, layers' sizes, measures and p-value from the first of its kind, and how
many verdicts differ. `histories`: the picture after ordinary copying (packed as a JPEG, resized and packed); how many
that were called nothing are called something then, and the other way round, and the median change of the score in
spreads of the references.
"""

import argparse
import io
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageCms, PngImagePlugin

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jepa_core import images
from jepa_core.check import evidence
from jepa_core.check.evidence import Checked
from jepa_core.check.known_set import load_complete
from jepa_core.datasets import registry
from jepa_core.encoders.registry import load_encoder
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.spreadsheets import csv_text
from jepa_core.store.results import Store
from jepa_core.store.shipped import load_all_shipped

DOCS = Path(__file__).resolve().parent.parent / "docs"
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def _exif(picture: Image.Image) -> bytes:
    """A maker and a description. Its orientation is upright, since another one turns the picture."""
    exif = picture.getexif()
    exif[271], exif[270], exif[274] = "A camera", "x" * 500, 1
    return exif.tobytes()


def _saved(kind: str, **given: object) -> Callable[[Image.Image], bytes]:
    def save(picture: Image.Image) -> bytes:
        buffer = io.BytesIO()
        extra = {name: value(picture) if callable(value) else value for name, value in given.items()}
        picture.save(buffer, kind, **extra)
        return buffer.getvalue()

    return save


def _text() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "y" * 3000)
    return info


def _with_segment(marker: int, body: bytes) -> Callable[[bytes], bytes]:
    """A JPEG with one more segment after its start."""
    return lambda data: data[:2] + bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body + data[2:]


LOSSLESS: dict[str, Callable[[Image.Image], bytes]] = {
    "PNG": _saved("PNG"),
    "PNG, sRGB profile": _saved("PNG", icc_profile=PROFILE),
    "PNG, EXIF": _saved("PNG", exif=_exif),
    "PNG, text, packed hard": _saved("PNG", pnginfo=_text(), optimize=True),
    "BMP": _saved("BMP"),
    "PPM": _saved("PPM"),
    "TIFF": _saved("TIFF"),
    "TIFF, profile": _saved("TIFF", icc_profile=PROFILE, compression="tiff_lzw"),
    "WebP": _saved("WEBP", lossless=True),
    "WebP, profile, EXIF": _saved("WEBP", lossless=True, icc_profile=PROFILE, exif=_exif),
}
PACKED: dict[str, Callable[[bytes], bytes]] = {
    "JPEG": lambda data: data,
    "JPEG, comment": _with_segment(0xFE, b"z" * 900),
    "JPEG, profile": _with_segment(0xE2, b"ICC_PROFILE\x00\x01\x01" + PROFILE),
    "JPEG, unknown segment": _with_segment(0xEB, b"\x00" * 4000),
}


def _jpeg(quality: int, scale: float = 1.0) -> Callable[[Image.Image], Image.Image]:
    def copy(picture: Image.Image) -> Image.Image:
        size = tuple(max(1, round(side * scale)) for side in picture.size)
        packed = io.BytesIO()
        picture.resize(size, Image.Resampling.BICUBIC).save(packed, "JPEG", quality=quality)
        with Image.open(packed) as opened:
            return opened.convert("RGB")

    return copy


HISTORIES = {
    "JPEG 90": _jpeg(90),
    "JPEG 75": _jpeg(75),
    "JPEG 50": _jpeg(50),
    "JPEG 30": _jpeg(30),
    "0.7 times, JPEG 85": _jpeg(85, 0.7),
    "1.5 times, JPEG 85": _jpeg(85, 1.5),
    "twice, JPEG 85": _jpeg(85, 2.0),
}


def differences(first: list[Checked], other: list[Checked]) -> dict[str, float]:
    """The largest differences between two lists of evidence for the same pictures."""
    found = {"score": 0.0, "layers": 0.0, "measures": 0.0, "p": 0.0, "verdicts": 0.0}
    for one, two in zip(first, other, strict=True):
        found["score"] = max(found["score"], abs(one.scores["jepa_score"] - two.scores["jepa_score"]))
        found["layers"] = max(found["layers"], float(np.abs(one.deviations - two.deviations).max(initial=0)))
        values = [item.measures["value"].to_numpy() for item in (one, two)]
        found["measures"] = max(found["measures"], float(np.abs(values[0] - values[1]).max(initial=0)))
        p = [item.findings.combined.p if item.findings.combined else 1.0 for item in (one, two)]
        found["p"] = max(found["p"], abs(p[0] - p[1]))
        found["verdicts"] += one.verdict.headline != two.verdict.headline
    return found


def of_containers(pictures: list[Image.Image], check: Callable[[Iterable[bytes]], list[Checked]]) -> pd.DataFrame:
    """A line for each container."""
    packed = [_saved("JPEG", quality=88)(one) for one in pictures]
    plain, jpeg = check(LOSSLESS["PNG"](one) for one in pictures), check(packed)
    found = {name: differences(plain, check(save(one) for one in pictures)) for name, save in LOSSLESS.items()}
    found |= {name: differences(jpeg, check(change(one) for one in packed)) for name, change in PACKED.items()}
    return pd.DataFrame([{"container": name, "pictures": len(pictures)} | line for name, line in found.items()])


def of_histories(
    pictures: list[Image.Image], check: Callable[[Iterable[bytes]], list[Checked]], spread: float
) -> pd.DataFrame:
    """A line for each history."""
    before, lines = check(LOSSLESS["PNG"](one) for one in pictures), []
    for name, copy in HISTORIES.items():
        after = check(LOSSLESS["PNG"](copy(one)) for one in pictures)
        was, now = (np.array([item.findings.called for item in side]) for side in (before, after))
        scores = [np.array([item.scores["jepa_score"] for item in side]) for side in (before, after)]
        lines.append(
            {"history": name, "pictures": len(pictures), "called before": was.mean(), "called after": now.mean()}
            | {"newly called": (~was & now).mean(), "no longer called": (was & ~now).mean()}
            | {"score moved, spreads": float(np.median(np.abs(scores[1] - scores[0]))) / spread}
        )
    return pd.DataFrame(lines)


def main() -> None:
    """Make the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="photo")
    parser.add_argument("--data", default="scenes-test")
    parser.add_argument("--pictures", metavar="FOLDER", help="of a set that is listed")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--write", action="store_true", help="to docs/containers.csv and docs/histories.csv")
    args = parser.parse_args()
    store, output = Store(), EncoderOutput.of(load_encoder(args.encoder))
    load_all_shipped(store)
    known = load_complete(store, output, registry.get_dataset(output.spec.reference))
    dataset = registry.get_dataset(args.data)
    if args.pictures:
        dataset = registry.with_pictures(args.data, Path(args.pictures))
    items = registry.sample(dataset, args.count, seed=0)
    pictures = [images.decode(item.read()).image.convert("RGB") for item in items]

    def check(files: Iterable[bytes]) -> list[Checked]:
        return evidence.check_pictures(output, [(str(place), data) for place, data in enumerate(files)], known).checked

    containers = of_containers(pictures, check)
    histories = of_histories(pictures, check, float(known.scores.std()))
    for name, table in (("containers", containers), ("histories", histories)):
        table.insert(0, "set", dataset.name)
        table.insert(0, "encoder", args.encoder)
        print(f"\n{table.round(4).to_string(index=False)}")
        if args.write:
            path = DOCS / f"{name}.csv"
            old = pd.read_csv(path) if path.exists() else table.iloc[:0]
            same = (old["encoder"] == args.encoder) & (old["set"] == dataset.name)
            path.write_text(csv_text(pd.concat([old[~same], table]).round(6)), encoding="utf-8")


if __name__ == "__main__":
    main()
