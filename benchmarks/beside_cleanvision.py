"""CleanVision beside `jepa-score review`, on the same planted folder.

    python benchmarks/beside_cleanvision.py plant FOLDER --data SET --foreign SET ...   (pictures, and what is planted)
    pip install cleanvision, in an environment of its own
    python benchmarks/beside_cleanvision.py judge FOLDER                                (what each of both found)

The pictures are those of a draw of `jepa-score bench curation`: three classes, 5 % foreign ones of all sets mixed, and
as many copies; with `--resized` the foreign ones are of the set's size, so that it does not give them away. What
CleanVision answers is what it flags for anything but copies; of `review`, the first images of "all
together", as many as were planted and as many as CleanVision flags.
"""

import argparse
import csv
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

TRUTH = "planted.csv"
SEED = 0
COPIES = 42


def plant(folder: Path, data: str, foreign: list[str], encoder_name: str, resized: bool) -> None:
    """Write a draw into a folder, and beside it what is planted and where `review` puts it."""
    import numpy as np

    from jepa_core import images
    from jepa_core.analysis import curation_benchmark, duplicates, planting, review_evidence
    from jepa_core.analysis.review_orders import ORDERS, ranked
    from jepa_core.datasets.registry import get_dataset
    from jepa_core.datasets.spec import Item
    from jepa_core.encoders.registry import load_encoder
    from jepa_core.scoring.encoder_output import EncoderOutput
    from jepa_core.store.results import Store

    store, output = Store(), EncoderOutput.of(load_encoder(encoder_name))
    sets = [get_dataset(name) for name in (data, *foreign)]
    read = {}
    for dataset in sets:
        review_evidence.gather(store, output, dataset)
        for member in store.members(dataset.name):
            read.setdefault(member.digest, dataset.item(member.position).read)
    own, *others = (review_evidence.load(store, output, store.members(dataset.name)) for dataset in sets)
    large = np.unique(own.labels.astype(str))
    if resized:
        pools = curation_benchmark.Pools(Store(folder / "resized.sqlite"), output, scored=False)
        dressed, made = pools.resized(sets[1:], own)
        others = [dressed]
        read |= {images.digest(one.data): partial(bytes, one.data) for one in made}
    found, planted = curation_benchmark.draw_foreign(own, large, others, SEED)
    places = np.empty(len(found), dtype=int)
    places[ranked(ORDERS["all"].of(found))] = np.arange(len(found))
    rows = []
    pictures = folder / "pictures"
    pictures.mkdir(parents=True)
    for number, member in enumerate(found.members):
        name = _write(pictures / f"{number}", read[member.digest]())
        rows.append([name, int(planted[number]), int(places[number]), "", ""])
    rng = np.random.default_rng(SEED)
    chosen = rng.choice(np.flatnonzero(~planted), COPIES, replace=False)
    items = [Item(int(place), "", "", read[found.members[place].digest]) for place in chosen]
    made = planting.copied(items, rng)
    facts = [curation_benchmark.facts_of(one) for one in made]
    digests = [*(member.digest for member in found.members), *(f"copy {number}" for number in range(len(made)))]
    told = {pair.second: pair.first for pair in reversed(duplicates.find(digests, [*found.facts, *facts]).pairs)}
    for number, (place, one) in enumerate(zip(chosen, made, strict=True)):
        name = _write(pictures / f"copy-{number}", one.data)
        answer = told.get(len(found) + number)
        rows.append(
            [name, "", "", rows[place][0], rows[answer][0] if answer is not None and answer < len(found) else ""]
        )
    with (folder / TRUTH).open("w", newline="") as file:
        csv.writer(file).writerows([["name", "planted", "place", "copy_of", "review_says"], *rows])


def _write(path: Path, data: bytes) -> str:
    """Write a picture, one that was drawn as a PNG file, since CleanVision knows no PPM; its name."""
    from jepa_core import images

    plain = images.is_plain(data)
    path = path.with_suffix(".png" if plain or data.startswith(b"\x89PNG") else ".jpg")
    path.write_bytes(images.to_png(images.decode(data).image) if plain else data)
    return path.name


def judge(folder: Path) -> None:
    """What CleanVision flags, and how `review` does beside it."""
    from cleanvision import Imagelab

    with (folder / TRUTH).open(newline="") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    lab = Imagelab(data_path=str(folder / "pictures"))
    lab.find_issues()
    issues = lab.issues
    kinds = [name for name in issues if name.startswith("is_") and "duplicates" not in name]
    flagged = {Path(path).name for path in issues.index[issues[kinds].any(axis=1)]}
    foreign = {name for name, row in rows.items() if row["planted"] == "1"}
    listed = {name for name in flagged if rows[name]["planted"] != ""}
    _print("CleanVision", len(listed), len(listed & foreign), len(foreign))
    order = sorted((name for name in rows if rows[name]["place"]), key=lambda name: int(rows[name]["place"]))
    for count in sorted({len(foreign), round(1.5 * len(foreign)), len(listed)}):
        _print(f"review, the first {count}", count, len(foreign & set(order[:count])), len(foreign))
    copies = {name: row["copy_of"] for name, row in rows.items() if row["copy_of"]}
    pairs = set()
    for kind in ("exact_duplicates", "near_duplicates"):
        for group in lab.info.get(kind, {}).get("sets", []):
            names = [Path(path).name for path in group]
            pairs |= {frozenset((one, two)) for one in names for two in names if one != two}
    wanted = {frozenset(pair) for pair in copies.items()}
    print(f"Copies, CleanVision: {len(pairs & wanted)} of {len(wanted)} found, {len(pairs - wanted)} other pairs.")
    said = {name: rows[name]["review_says"] for name in copies if rows[name]["review_says"]}
    right = sum(copies[name] == of for name, of in said.items())
    print(f"Copies, review: {right} of {len(wanted)} found, {len(said) - right} other pairs.")


def _print(who: str, listed: int, hit: int, planted: int) -> None:
    shares = f"precision {hit / max(listed, 1):.2f}, recall {hit / planted:.2f}"
    print(f"{who}: {hit} of {planted} planted among {listed} ({shares})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("do", choices=["plant", "judge"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", default="scenes-test")
    parser.add_argument("--foreign", nargs="+", default=["digits-test", "galaxies", "shapes", "world-test"])
    parser.add_argument("--encoder", default="photo")
    parser.add_argument("--resized", action="store_true")
    args = parser.parse_args()
    if args.do == "plant":
        plant(args.folder, args.data, args.foreign, args.encoder, args.resized)
    else:
        judge(args.folder)
