"""Scoring on a Ray cluster, or by Ray on the cores and cards of this machine.

Tasks of Ray Data read pictures and hand them to long-lived actors, each of which loads the encoder and traces its
products once. How much is read ahead, who works where, and what is done again when a process or a machine is lost, is
left to Ray. The actors write parts (`jepa_core.scoring.parts`), so whatever ends a run, the next one goes on from them.

The pictures are read by their dataset, not by a reader of Ray's: that keeps them in their batches, with their names and
positions, and takes all that `score --data` takes.
"""

import importlib
import json
import logging
import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from jepa_core.datasets.spec import DatasetSpec, Item
from jepa_core.encoders.registry import load_encoder
from jepa_core.errors import DatasetError, JepaError
from jepa_core.progress import Cancelled, Progress, never, silent
from jepa_core.scoring.batches import exact_work
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.image_run import RunSummary
from jepa_core.scoring.method import ScoringMethod
from jepa_core.scoring.parts import PartScorer, check_method, listing_of
from jepa_core.store.parts import Listing, PartFolder
from jepa_core.store.records import ResultConfig

_UNIT = 64  # images that one task reads and one actor scores together, about
_LARGE = 500.0  # megabytes of weights from which an actor gets several cores of a processor: each holds a copy
_CORES = 4


@dataclass(frozen=True, eq=False)
class RayJob:
    """What is to be scored on Ray.

    Attributes:
        output: of a loaded encoder; rows are known by its weights.
        dataset: whose items are scored. Workers read them, so its files must lie at the same path for each of them.
        items: which of them, in order.
        method: full scores, in a precision that is decided.
        parts: where parts are written, which workers and this machine must reach by the same address.
        address: of a cluster, such as "ray://head:10001"; "" for that of $RAY_ADDRESS, else this machine.
        device: of the actors; the best that each has for None.
    """

    output: EncoderOutput
    dataset: DatasetSpec
    items: Sequence[Item]
    method: ScoringMethod
    parts: str
    address: str = ""
    device: str | None = None

    def score(self, progress: Progress = silent, cancelled: Cancelled = never) -> RunSummary:
        """Score what the parts lack; all rows are in them when this returns.

        Raises `JepaError` where Ray is not installed, where its cluster cannot be reached, and where a worker cannot do
        its work at all (another encoder under the name, a place that cannot be written to).
        """
        check_method(self.method)
        listing = listing_of(self.dataset, self.output, len(self.items) == len(self.dataset))
        summary = RunSummary()
        with _cluster(self.address) as ray:
            actors, resources = _actors(ray.cluster_resources(), self.output.spec.megabytes, self.device)
            left = self._units(listing, summary, on_cards="num_gpus" in resources)
            progress(summary.done, len(self.items))
            if left:
                pool = ray.data.ActorPoolStrategy(size=actors)
                worker = _Worker(self.output, self.method, self.parts, listing, self.device)
                found = (
                    ray.data.from_items(left, override_num_blocks=len(left))
                    .map(
                        partial(_read, ray.put(self.dataset)),
                        num_cpus=0,
                        compute=ray.data.TaskPoolStrategy(size=2 * actors),
                    )
                    .map_batches(worker.made, batch_size=1, batch_format="numpy", compute=pool, **resources)
                )
                for row in found.iter_rows():
                    _add(summary, json.loads(row["summary"]))
                    progress(summary.done, len(self.items))
                    if cancelled():
                        break
        summary.cancelled = summary.done < len(self.items)
        return summary

    def _units(self, listing: Listing, summary: RunSummary, *, on_cards: bool) -> list[dict[str, list[int]]]:
        """The positions of images that are scored together: whole batches, of which one at least is not in a file.

        On processors all machines make the same batches. On cards their size is another on each.
        """
        batch = 1 if on_cards else exact_work(self.output, self.method.decided).size
        size = batch * max(1, _UNIT // batch)
        known = PartFolder(self.parts).known(self.output.config(self.method.decided), listing)
        units = [self.items[first : first + size] for first in range(0, len(self.items), size)]
        left = [unit for unit in units if not all(known.has(item) for item in unit)]
        summary.reused = len(self.items) - sum(map(len, left))
        return [{"positions": [item.position for item in unit]} for unit in left]


def _add(summary: RunSummary, found: dict[str, Any]) -> None:
    summary.scored += found["scored"]
    summary.reused += found["reused"]
    summary.failed += [tuple(one) for one in found["failed"]]
    for sentence in found["notes"]:
        if sentence not in summary.notes:
            summary.tell(sentence)


def _actors(cluster: dict[str, float], megabytes: float, device: str | None) -> tuple[int, dict[str, float]]:
    """How many actors there are, and what each of them takes: a card, or one core, or a few for a large encoder."""
    if cluster.get("GPU", 0) >= 1 and device != "cpu":
        return int(cluster["GPU"]), {"num_gpus": 1}
    cores = min(_CORES if megabytes > _LARGE else 1, max(1, int(cluster.get("CPU", 1))))
    return max(1, int(cluster.get("CPU", 1)) // cores), {"num_cpus": cores}


# --- on the workers ---------------------------------------------------------------------------------------------------


def _read(dataset: Any, row: dict[str, Any]) -> dict[str, bytes]:
    """A unit's pictures, or the sentences that say why they cannot be read."""
    import ray

    spec: DatasetSpec = ray.get(dataset)
    found = []
    for position in row["positions"]:
        item = spec.item(int(position))
        try:
            content: bytes | str = item.read()
        except JepaError as error:
            content = str(error)
        found.append((item.position, item.label, item.name, content))
    return {"unit": pickle.dumps(found)}


def _given(content: bytes | str) -> bytes:
    if isinstance(content, str):
        raise DatasetError(content)
    return content


class _Worker:
    """What an actor is made of; `made` is its class, for Ray Data."""

    def __init__(
        self, output: EncoderOutput, method: ScoringMethod, parts: str, listing: Listing, device: str | None
    ) -> None:
        name, wanted = (output.spec.name, output.name), output.config(method.decided)

        class Actor:
            def __init__(self) -> None:
                self.scorer = _scorer(name, wanted, method, PartFolder(parts), listing, device)

            def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
                unit = pickle.loads(batch["unit"][0])
                items = [Item(at, label, name, partial(_given, content)) for at, label, name, content in unit]
                done = self.scorer.score(items)
                found = {"scored": done.scored, "reused": done.reused, "failed": done.failed, "notes": done.notes}
                return {"summary": [json.dumps(found)]}

        self.made = Actor


def _scorer(
    name: tuple[str, str],
    wanted: ResultConfig,
    method: ScoringMethod,
    folder: PartFolder,
    listing: Listing,
    device: str | None,
) -> PartScorer:
    output = EncoderOutput.of(load_encoder(name[0], device), name[1])
    if output.config(method.decided) != wanted:
        raise JepaError(
            f"A worker has another encoder {name[0]!r} than the machine that asked; the same weights are accepted; "
            "copy the cache folder's 'encoders' there, or name one that is downloaded."
        )
    return PartScorer(folder, output, method, listing)


# --- the cluster ------------------------------------------------------------------------------------------------------


@contextmanager
def _cluster(address: str) -> Iterator[Any]:
    """Ray, connected; what it raises becomes one sentence."""
    try:
        ray = importlib.import_module("ray")
        importlib.import_module("ray.data")
    except ImportError as error:
        raise JepaError(
            f"Scoring on Ray was asked for, but Ray is not here ({error}); an environment with it is accepted; install "
            "it by pip install 'ray[data]', or use --part, which needs nothing."
        ) from error
    try:
        ray.init(address or None, log_to_driver=False, logging_level="ERROR")
        ray.data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)  # what it does, and where its logs are
        yield ray
    except JepaError:
        raise
    except Exception as error:
        raise JepaError(
            f"Scoring on Ray stopped ({_cause(error)}); what was written to the parts stays, and the same command goes "
            "on from there; see that the cluster is up."
        ) from error
    finally:
        ray.shutdown()


def _cause(error: BaseException) -> str:
    """What a worker raised, in one line: Ray wraps it, with the worker's traceback before it."""
    told = getattr(error, "cause", None) or error.__cause__ or error
    lines = [line.strip() for line in str(told).splitlines() if line.strip()]
    return lines[-1] if lines else type(told).__name__
