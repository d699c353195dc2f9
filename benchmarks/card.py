"""What a card gives: images a second by the scoring loop itself, from files of 500 x 375 px to results.

    python benchmarks/card.py [--architecture NAME] [--size 224] [--precision bf16] [--images 48] [--profile]

The network has random weights, which do not matter for time. Graphs are compiled first, as they are in any longer run.
The last lines say how many images an hour a `balanced` run makes: a forward pass for all, and full scores for 256.
"""

import argparse
import io
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jepa_core.encoders.encoder import Encoder, build_net
from jepa_core.encoders.spec import EncoderSpec
from jepa_core.images import digest
from jepa_core.jacobian import spectrum
from jepa_core.jacobian.engine import Engine
from jepa_core.jacobian.precision import PRECISIONS, Precision
from jepa_core.scoring.batches import Named, Work, exact_work, look_work, products_work, score_pictures
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.forecast import USUAL_CALIBRATION

PRODUCTS = 16


def pictures(count: int) -> list[Named]:
    """JPEG files of 500 x 375 px, about as many bytes as photographs have."""
    found, draw = [], np.random.default_rng(0)
    for number in range(count):
        coarse = Image.fromarray(draw.integers(0, 256, (25, 33, 3), dtype=np.uint8))
        values = np.asarray(coarse.resize((500, 375), Image.Resampling.BICUBIC)) + draw.normal(0, 12, (375, 500, 3))
        buffer = io.BytesIO()
        Image.fromarray(values.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
        found.append((str(number), digest(buffer.getvalue()), buffer.getvalue()))
    return found


def wait() -> None:
    """Until the card has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def timed(run: Callable[[], object]) -> float:
    """Seconds, the card's work included."""
    wait()
    start = time.perf_counter()
    run()
    wait()
    return time.perf_counter() - start


def seconds_of(encoder: Encoder, work: Work, named: list[Named]) -> float:
    """Seconds an image of the scoring loop, after a batch to warm up."""
    size = work.size
    score_pictures(encoder, work, (named * (2 * size // len(named) + 1))[: 2 * size], lambda _results: None)
    count = max(len(named), 4 * size)
    many = (named * (count // len(named) + 1))[:count]
    return timed(lambda: score_pictures(encoder, work, many, lambda _results: None)) / count


def say(what: str, seconds: float) -> None:
    """One line of the table."""
    print(f"| {what} | {seconds * 1e3:.2f} ms | {3600 / seconds:,.0f} |", flush=True)


def parts(engine: Engine, inputs: torch.Tensor, profile: bool) -> None:
    """What a full score is made of: the products, the Gram, the eigenvalues."""

    def products() -> None:
        for _rows in engine.rows(inputs):
            pass

    products()
    with torch.no_grad():
        say("products alone", np.median([timed(products) for _ in range(3)]) / len(inputs))
        say("products and Gram", np.median([timed(lambda: engine.gram(inputs)) for _ in range(3)]) / len(inputs))
        grams = engine.gram(inputs).gram.numpy()
        say("eigenvalues, on the processor", timed(lambda: spectrum.singular_values(grams)) / len(inputs))
        if profile:
            with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as found:
                products()
            print(found.key_averages().table(sort_by="cuda_time_total", row_limit=18, max_name_column_width=90))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", default="vit_base_patch14_dinov2")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--precision", choices=PRECISIONS, default="bf16")
    parser.add_argument("--images", type=int, default=48)
    parser.add_argument("--looks", type=int, default=256, help="images of one forward pass")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--only-looks", action="store_true", help="forward passes alone")
    parser.add_argument("--full", type=float, default=0.0, help="seconds of a full score, with --only-looks")
    parser.add_argument("--profile", action="store_true")
    args = parser.parse_args()
    precision: Precision = args.precision
    spec = EncoderSpec(
        name=args.architecture,
        family="random",
        source="bundled",
        architecture=args.architecture,
        architecture_kwargs={"img_size": args.size},
        outputs={"backbone": 0},
        data_config={"input_size": [3, args.size, args.size]},
    )
    net = build_net(spec)
    k = net.backbone.num_features
    encoder = Encoder(replace(spec, outputs={"backbone": k}), net, args.device)
    output = EncoderOutput.of(encoder)
    image = torch.zeros(encoder.input_shape, device=args.device)
    named = pictures(args.images)
    card = torch.cuda.get_device_name() if torch.cuda.is_available() else args.device
    print(f"{args.architecture}, {args.size} px, K = {k}, {precision}, {card}")
    print("| what | an image | images an hour |\n|---|---|---|")
    kinds: list[tuple[int | None, Precision]] = [(1, "fp32")]
    if not args.only_looks:
        kinds += [(None, precision), (PRODUCTS, precision)]
    for rows, kind in kinds:
        made = Engine(encoder.module(), image, rows=rows, precision=kind, compiled_after=0)
        encoder.kept["backbone", rows, kind] = made
        print(f"({rows or k} rows: {made.plan}, {made.why_not_traced or 'traced'})")
    if args.only_looks:
        looks(output, named, args.looks, args.full)
        return
    full = exact_work(output, precision)
    inputs = torch.randn(max(4, full.size), *encoder.input_shape, device=args.device)
    parts(encoder.kept["backbone", None, precision], inputs, args.profile)
    exact = seconds_of(encoder, full, named[: max(16, 4 * full.size)])
    say("full, from files, eigenvalues beside the products", exact)
    serial = Work(full.size, full.compute, finish=full.finish)
    say("full, from files, one after the other", seconds_of(encoder, serial, named[: max(16, 4 * full.size)]))
    directions = np.linalg.qr(np.random.default_rng(0).normal(size=(k, PRODUCTS)))[0].T
    say(f"{PRODUCTS} products, from files", seconds_of(encoder, products_work(output, directions, precision), named))
    looks(output, named, args.looks, exact)


def looks(output: EncoderOutput, named: list[Named], together: int, exact: float) -> None:
    """What a look costs, and with it a balanced run; `exact` is the seconds of a full score."""
    encoder = output.loaded
    batch = torch.randn(together, *encoder.input_shape, device=encoder.device)
    net, work = encoder.module(), look_work(output)
    engine = encoder.kept["backbone", 1, "fp32"]
    with torch.no_grad():
        net(batch)
        say(f"forward pass alone, {together} at a time", timed(lambda: net(batch)) / together)
    engine.forward(batch)
    say("look alone", timed(lambda: engine.forward(batch)) / together)
    look = seconds_of(encoder, work, named)
    say(f"look, from files, {work.size} at a time", look)
    for count in (50_000, 1_000_000):
        total = count * look + USUAL_CALIBRATION * exact
        print(f"balanced, N = {count:,}: {total / 60:.1f} minutes, {count / total * 3600:,.0f} images an hour")


if __name__ == "__main__":
    main()
