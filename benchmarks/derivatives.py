"""Both ways to the Jacobian against float64, over the architectures of timm that are small enough for this machine.

    python benchmarks/derivatives.py [--name NAME ...] [--out docs/derivatives.csv] [--limit 180] [--parameters 60e6]

For each family of timm's models (a module, and the letters that a name begins with) the smallest members are built with
random weights in which no branch is dead (`exactness.enliven`), at a small input size. A product of the Jacobian at two
images is computed the usual way (traced, shared) and the general way (autograd, two images), in float32, and held
against two truths in float64: central differences along random directions, which need no derivative, and autograd with
a batch of two. It agrees if the nearer truth is within 1e-4. Each name is a process of its own with a limit of seconds;
rows are written as they come, and names that have one are passed over, so it can be stopped and started again.
"""

import argparse
import csv
import multiprocessing
import re
import sys
import time
import warnings
from collections import Counter, defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import timm
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.exactness import enliven
from jepa_core.errors import EncoderError
from jepa_core.jacobian import finite_differences
from jepa_core.jacobian.batch_plan import BatchPlan
from jepa_core.jacobian.engine import Engine
from jepa_core.jacobian.rank import architectural_rank

ROOT = Path(__file__).resolve().parent.parent
AGREES = 1e-4
TOGETHER = BatchPlan(images=2, cotangents=1)  # they are all there are
FIELDS = (
    "name", "module", "millions", "size", "k", "rank", "rank_reason", "way", "reason",
    "traced_to_differences", "traced_to_float64", "autograd_to_differences", "autograd_to_float64", "batch_of_one",
    "agrees", "exception", "seconds", "date",
)  # fmt: skip
_SIZES = (64, 96, 128, 160, 192, 224, 256)


def main() -> None:
    """Sweep, or do one name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", action="append")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "derivatives.csv")
    parser.add_argument("--limit", type=float, default=180)
    parser.add_argument("--parameters", type=float, default=60e6)
    parser.add_argument("--count", type=int, default=200)
    args = parser.parse_args()
    rows = read(args.out)
    names = args.name or chosen(args.parameters, args.count)
    for name in names:
        if name in rows:
            continue
        rows[name] = in_a_process(name, args.limit)
        write(args.out, rows)
        print(summary(rows[name]), flush=True)
    report(rows)


def read(path: Path) -> dict[str, dict[str, Any]]:
    """The rows of an earlier run, by name."""
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def write(path: Path, rows: dict[str, dict[str, Any]]) -> None:
    """All rows, sorted by name."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows[name] for name in sorted(rows))
    partial.replace(path)


def chosen(parameters: float, count: int) -> list[str]:
    """The smallest of each family, then the second smallest of each, and so on up to `count` names."""
    families: dict[tuple[str, str], list[tuple[float, str]]] = defaultdict(list)
    for module in timm.list_modules():
        for name in timm.list_models(module=module):
            try:
                with torch.device("meta"):
                    net = timm.create_model(name, num_classes=0)
                millions = sum(weight.numel() for weight in net.parameters()) / 1e6
            except Exception:  # some compute with numbers while they are built; their size is found later
                millions = 25.0
            if millions <= parameters / 1e6:
                letters = re.match(r"[a-z]+(_?v\d)?", name)
                families[module, letters[0] if letters else name].append((millions, name))
    ordered = [sorted(members) for _key, members in sorted(families.items())]
    rounds = [[members[place][1] for members in ordered if len(members) > place] for place in range(8)]
    return [name for names in rounds for name in names][:count]


def in_a_process(name: str, limit: float) -> dict[str, Any]:
    """`measure` in a process of its own, or why it gave nothing. It is forked, so that nothing is imported again."""
    start = time.perf_counter()
    row: dict[str, Any] = {"name": name, "agrees": "", "date": datetime.now(tz=UTC).date().isoformat()}
    forked = multiprocessing.get_context("fork")
    ours, theirs = forked.Pipe()
    child = forked.Process(target=_send, args=(name, theirs))
    child.start()
    theirs.close()
    if ours.poll(limit):
        try:
            row |= ours.recv()
        except EOFError:
            child.join()
            row["exception"] = f"its process ended with {child.exitcode}"
    else:
        child.kill()
        row["exception"] = f"not done in {limit:.0f} s"
    child.join()
    row["seconds"] = f"{time.perf_counter() - start:.0f}"
    return row


def _send(name: str, pipe: Any) -> None:
    try:
        pipe.send(measure(name))
    except Exception as error:  # a network may fail in any way
        pipe.send({"exception": f"{type(error).__name__}: {error}".partition("\n")[0][:300]})


def measure(name: str) -> dict[str, Any]:
    """The row of one model."""
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net, shape = build(name)
    row: dict[str, Any] = {
        "module": timm.models.model_entrypoint(name).__module__.rpartition(".")[2],
        "millions": f"{sum(weight.numel() for weight in net.parameters()) / 1e6:.1f}",
        "size": shape[-1],
    }
    if net.num_features == 0 or (embedded := embed(net, shape)) is None:
        return row | {"exception": "no embedding: its output without a classifier is no (B, K) tensor"}
    enliven(net)
    net.eval().requires_grad_(False)
    images = torch.randn(2, *shape, generator=torch.Generator().manual_seed(3))
    row["k"] = embedded.shape[1]
    if not torch.isfinite(net(images)).all():
        return row | {"exception": "its embedding is not finite with these random weights"}
    try:
        found = architectural_rank(net, images)
        row |= {"rank": found.rank, "rank_reason": found.reason}
    except Exception as error:
        row |= {"rank_reason": f"{type(error).__name__}: {error}"[:200]}
    try:
        engine = Engine(net, images[0], plan=TOGETHER)
    except EncoderError as error:
        wide, cotangent = finite_differences.in_float64(net), torch.randn(1, embedded.shape[1], dtype=torch.float64)
        why = _in_float64(wide, images.double(), cotangent, by_autograd(wide, images.double(), cotangent))
        return row | {"exception": f"{why}. {error}"[:400], "way": "refused", "agrees": False}
    except Exception as error:
        return row | {"exception": f"{type(error).__name__}: {error}"[:300], "agrees": False}
    row |= {"way": engine.backend.name, "reason": engine.why_not_traced[:200]}
    cotangent = torch.randn(1, engine.k, generator=torch.Generator().manual_seed(4))
    ways: dict[str, Any] = {}
    try:
        ways["traced"] = engine.traced.rows(images, cotangent, TOGETHER, pixels=True).rows
    except Exception as error:
        row["reason"] = row["reason"] or f"{type(error).__name__}: {error}"[:200]
    ways["autograd"] = engine.autograd.rows(images, cotangent, TOGETHER, pixels=True).rows
    wide = finite_differences.in_float64(net)
    try:
        truth = by_autograd(wide, images.double(), cotangent.double())
        one = torch.cat([by_autograd(wide, image[None].double(), cotangent.double()) for image in images])
        row["batch_of_one"] = f"{share(one, truth):.1e}"
    except Exception:
        truth = None
    away = dict(zip(ways, finite_differences.errors(net, images, cotangent, [*ways.values()]), strict=True))
    nearest = {}
    for way, rows in ways.items():
        row[f"{way}_to_differences"] = f"{away[way]:.1e}"
        nearest[way] = away[way]
        if truth is not None:
            row[f"{way}_to_float64"] = f"{share(rows, truth):.1e}"
            nearest[way] = min(nearest[way], share(rows, truth))
    row["agrees"] = nearest[row["way"]] <= AGREES
    if not row["agrees"] and truth is not None:
        row["exception"] = _in_float64(wide, images.double(), cotangent.double(), truth)
    return row


def _in_float64(wide: Any, images: Any, cotangent: Any, truth: Any) -> str:
    """Whether a product that float32 gives otherwise is the right one in float64: then rounding is what differs."""
    try:
        engine = Engine(wide, images[0], plan=TOGETHER)
        off = share(engine.traced.rows(images, cotangent, TOGETHER, pixels=True).rows, truth)
    except Exception as error:
        return f"in float64 it cannot be traced ({type(error).__name__}: {error})"[:200]
    if off <= AGREES**2:
        return f"rounding: the same traced product in float64 is {off:.0e} off"
    return f"in float64 the traced product is {off:.0e} off, too"


def build(name: str) -> tuple[Any, tuple[int, int, int]]:
    """A model and the smallest input of our sizes that it takes."""
    wanted = timm.get_pretrained_cfg(name).input_size if timm.get_pretrained_cfg(name) else (3, 224, 224)
    last: Exception | None = None
    for size in (*[size for size in _SIZES if size < wanted[1]], wanted[1]):
        for kwargs in ({"img_size": size}, {}):
            try:
                net = timm.create_model(name, num_classes=0, **kwargs).eval()
                if embed(net, (wanted[0], size, size)) is not None:
                    return net, (wanted[0], size, size)
            except Exception as error:
                last = error
    if last is None:
        net = timm.create_model(name, num_classes=0).eval()
        return net, wanted
    raise ValueError(f"it cannot be built or takes no image ({type(last).__name__}: {last})")


def embed(net: Any, shape: tuple[int, int, int]) -> Any:
    """Its embedding of one blank image, or None where that is no (1, K) tensor."""
    with torch.no_grad():
        found = net(torch.zeros(1, *shape))
    return found if isinstance(found, torch.Tensor) and found.ndim == 2 else None


def by_autograd(f: Any, images: Any, cotangent: Any) -> Any:
    """The product with one cotangent at each image (B, 1, CHW), in one pass."""
    leaves = images.clone().requires_grad_()
    (found,) = torch.autograd.grad(f(leaves), leaves, cotangent.expand(len(images), -1))
    return found.flatten(1)[:, None]


def share(found: Any, truth: Any) -> float:
    """How far, as a share of the truth's length."""
    return float((found.double() - truth).norm() / truth.norm().clamp_min(1e-300))


def summary(row: dict[str, Any]) -> str:
    """One line for the log."""
    return " ".join(str(row.get(field, "")) for field in ("name", "size", "k", "rank", "way", "agrees", "seconds")) + (
        f"  {row['exception']}" if row.get("exception") else ""
    )


def report(rows: dict[str, dict[str, Any]]) -> None:
    """How many names, how many agree, and each exception."""
    done = [row for row in rows.values() if str(row["agrees"])]
    agree = [row for row in done if str(row["agrees"]) == "True"]
    print(f"{len(rows)} names, {len(done)} compared, {len(agree)} agree to {AGREES}.")
    print("Ways:", dict(Counter(str(row.get("way", "")) for row in done)))
    for row in rows.values():
        if str(row["agrees"]) != "True":
            print(f"- {row['name']}: {row.get('exception') or row.get('reason')}")


if __name__ == "__main__":
    main()
