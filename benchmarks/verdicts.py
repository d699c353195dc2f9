"""What Check says: `python benchmarks/verdicts.py [--encoder digits] [--count 100] [--keep FOLDER]`.

First of seven pictures, in words: a held-out digit, the same digit turned, a photo tile, a blank page, noise, a
drawing, and a picture made by code whose power spectrum is a photograph's (`--keep` writes them, to be uploaded by
hand). Then of `--count` pictures of every bundled set that the encoder did not learn from, as shares of each verdict.
"""

import argparse
import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jepa_core import images
from jepa_core.check import evidence
from jepa_core.check.verdict import VerdictKind
from jepa_core.datasets import registry
from jepa_core.encoders.registry import load_encoder
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.store.results import Store
from jepa_core.store.shipped import load_all_shipped

SIDE = 96


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _first(dataset: str, label: str = "") -> bytes:
    return next(item for item in registry.get_dataset(dataset).items(label or None)).read()


def _drawing() -> Image.Image:
    """A house under a sun, in ink on white paper."""
    page = Image.new("RGB", (4 * SIDE, 4 * SIDE), "white")
    pen = ImageDraw.Draw(page)
    pen.rectangle((110, 190, 270, 330), outline="black", width=8)
    pen.line((90, 200, 190, 100, 290, 200), fill="black", width=8)
    pen.rectangle((170, 250, 210, 330), outline="black", width=8)
    pen.ellipse((290, 40, 350, 100), outline="black", width=8)
    return page.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def _photograph_like() -> Image.Image:
    """Colours whose power falls with the square of the frequency, as that of photographs does (Field, 1987)."""
    generator = np.random.default_rng(0)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(SIDE), np.fft.fftfreq(SIDE)))
    frequency[0, 0] = np.inf
    smooth = np.fft.ifft2(np.fft.fft2(generator.standard_normal((3, SIDE, SIDE))) / frequency).real
    colours = np.array([[1.0, 0.3, 0.2], [1.0, 0.0, -0.1], [1.0, -0.3, 0.1]]) @ smooth.reshape(3, -1)  # mostly light
    colours = (colours - colours.mean(axis=1, keepdims=True)) / colours.std()
    pixels = np.clip(128 + 55 * colours, 0, 255).astype(np.uint8)
    return Image.fromarray(pixels.reshape(3, SIDE, SIDE).transpose(1, 2, 0))


def pictures() -> dict[str, bytes]:
    """The seven pictures as PNG or PPM bytes, by name."""
    digit = _first("digits-validation", "4")
    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    return {
        "held-out digit": digit,
        "the digit turned": _png(images.decode(digit).image.rotate(90)),
        "photo tile": _first("photo-tiles"),
        "blank page": _png(Image.new("RGB", (SIDE, SIDE), "white")),
        "noise": _png(Image.fromarray(noise)),
        "drawing": _png(_drawing()),
        "photograph-like": _png(_photograph_like()),
    }


def main() -> None:
    """Print the verdicts as a list and a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="digits")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--keep", type=Path)
    args = parser.parse_args()
    shown = pictures()
    if args.keep:
        args.keep.mkdir(parents=True, exist_ok=True)
        for name, data in shown.items():
            (args.keep / f"{name}.png").write_bytes(_png(images.decode(data).image))
    encoder, store = load_encoder(args.encoder), Store()
    load_all_shipped(store)
    spec = encoder.spec
    output = spec.check_output(None)
    reference = registry.get_dataset(spec.reference)
    known = evidence.load_known(store, EncoderOutput(spec, output), reference.name)
    plain = evidence.measured_reference(store, spec, reference, known)

    def checked(named: list[tuple[str, bytes]]) -> list[evidence.Checked]:
        return evidence.check_pictures(EncoderOutput.of(encoder, output), named, known, plain).checked

    for item in checked(list(shown.items())):
        print(f"- **{item.name}**: {item.verdict.kind}. {item.verdict.headline}")
        for sentence in item.verdict.sentences:
            print(f"  {sentence}")
    print(f"\n| set | {' | '.join(VerdictKind)} |\n|---|{'---|' * len(VerdictKind)}")
    for dataset in registry.list_datasets().values():
        if dataset.held_out and not dataset.listed and dataset is not reference:
            items = registry.sample(dataset, args.count, seed=0)
            kinds = [item.verdict.kind for item in checked([(item.name, item.read()) for item in items])]
            shares = " | ".join(f"{kinds.count(kind) / len(kinds):.2f}" for kind in VerdictKind)
            print(f"| {dataset.name} | {shares} |", flush=True)


if __name__ == "__main__":
    main()
