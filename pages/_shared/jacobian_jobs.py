"""What needs the Jacobian of one image: its directions with the leverage map, and walks along them."""

import pandas as pd

from jepa_core import images
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.explain.directions import Directions, directions_of
from jepa_core.explain.walks import Walks, scores_needed, walks
from jepa_core.jobs import Job
from jepa_core.keys import make_key
from jepa_core.scoring.allocator import PRODUCT_SHARE
from jepa_core.store.crops import read_member
from jepa_core.store.records import Member
from jepa_core.wording import lasting
from pages._shared import jobs_ui, resources
from pages._shared.choice import Choice

UNASKED_SECONDS = 10.0  # seconds of work that a page may start without being asked


def member_of(row: pd.Series) -> Member:
    """A row of a score table as a place in its dataset."""
    return Member(row["name"], int(row["position"]), row["label"], row["digest"])


def _seconds(choice: Choice, row: pd.Series) -> float:
    """About how long a full score of the image takes: as long as its own did, or in proportion to its estimate."""
    k = choice.spec.outputs[choice.output]
    return row["seconds"] * (1 + PRODUCT_SHARE * k if row["estimated"] else 1.0)


def _asked(seconds: float, what: str) -> str:
    return f"{what} (about {lasting(seconds)})" if seconds > UNASKED_SECONDS else ""


def _rank(choice: Choice) -> int:
    return choice.encoder_output.rank.rank


def _key(choice: Choice, row: pd.Series) -> str:
    return f"directions:{choice.config.key}:{_rank(choice)}:{row['digest']}"


def directions(choice: Choice, dataset: DatasetSpec, row: pd.Series, *, ask: bool = False) -> Directions | None:
    """The directions of an image, or None while they are computed; with `ask`, long work waits to be asked for."""
    rank = _rank(choice)

    def work(job: Job) -> Directions | None:
        picture = images.decode(read_member(dataset, member_of(row)), row["name"], job.cancelled).image
        encoder = resources.encoder(choice.spec.name)
        return directions_of(encoder, choice.output, picture, rank, job.report, job.cancelled)

    offer = _asked(_seconds(choice, row), "Compute its Jacobian") if ask else ""
    job = jobs_ui.finished_job(_key(choice, row), "Computing the Jacobian", work, "row", offer)
    return job.result if job else None


def walks_along(choice: Choice, dataset: DatasetSpec, row: pd.Series, found: Directions, k: int) -> Walks | None:
    """The walks of an image along direction k (from 0) and along a random one, or None while they are computed."""

    def work(job: Job) -> Walks | None:
        picture = images.decode(read_member(dataset, member_of(row)), row["name"], job.cancelled).image
        encoder = resources.encoder(choice.spec.name)
        return walks(encoder, choice.output, picture, found, k, job.report, job.cancelled)

    offer = _asked(scores_needed() * _seconds(choice, row), f"Walk along direction {k + 1}")
    key = make_key("walk", _key(choice, row), k)
    job = jobs_ui.finished_job(key, f"Walking along direction {k + 1}", work, "score", offer)
    return job.result if job else None
