"""The computation behind the Check page. It may hold no more of a session than a weak reference.

The job queue remembers its jobs for all sessions, and a function of a page holds everything that the page has named.
Here nothing but what the computation needs is named, so pictures are gone when they are forgotten or the session ends.
"""

from collections.abc import Callable
from dataclasses import dataclass
from weakref import ref

from jepa_core import images
from jepa_core.check.evidence import Outcome, check_pictures
from jepa_core.check.known_set import KnownSet, load_complete
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.datasets.uploads import Uploads
from jepa_core.jobs import Job
from jepa_core.scoring.encoder_output import EncoderOutput
from pages._shared import image_grid, resources
from pages._shared.choice import Choice

_THUMBNAIL = 112  # px


@dataclass(frozen=True, eq=False)
class CheckResult:
    """What was found of a session's pictures held against a known set.

    `thumbnails` has an address of each that could be checked; `scored` is whether they have scores yet.
    """

    outcome: Outcome
    thumbnails: list[str]
    known: KnownSet
    scored: bool


def check_uploads(
    held: Uploads, key: str, choice: Choice, dataset: DatasetSpec, label: str | None, *, scores: bool
) -> Callable[[Job], object]:
    """Check the pictures that are held, and put what is found with them, under `key`; in the place of a first look."""
    mine, token = ref(held), held.token

    def work(job: Job) -> object:
        uploads = mine()
        if uploads is None or uploads.token != token:
            return None

        def stop() -> bool:
            return job.cancelled() or uploads.token != token

        output = EncoderOutput.of(resources.encoder(choice.spec.name), choice.output)
        before = uploads.found.get(key)
        known = before.known if before else None
        if known is None or (scores and known.disturbed is None):  # its copies may take longer than a first look may
            method, store = choice.method_for(dataset), resources.store()
            known = load_complete(store, output, dataset, method, label, job.report, stop, copies=scores)
        outcome = check_pictures(output, uploads.pictures, known, job.report, stop, scores=scores)
        if stop():
            return None
        thumbnails = [image_grid.data_address(images.display_png(item.crop, _THUMBNAIL)) for item in outcome.checked]
        uploads.found[key] = CheckResult(outcome, thumbnails, known, scores)
        return True

    return work
