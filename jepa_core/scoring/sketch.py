"""What a sketch of a dataset is made of: the images that it is calibrated on, and where it is kept."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from jepa_core.datasets.spec import Item
from jepa_core.errors import NotEnoughData
from jepa_core.jacobian import sketch
from jepa_core.jacobian.sketch import Calibration
from jepa_core.jacobian.spectrum import Rank
from jepa_core.keys import make_key
from jepa_core.scoring.batches import Grams
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.method import ScoringMethod, SketchSettings
from jepa_core.store import sketches
from jepa_core.store.records import ResultConfig
from jepa_core.store.results import Store


def calibration_key(config: ResultConfig, dataset: str, settings: SketchSettings, rank: Rank) -> str:
    """Under which a calibration to scores of a rank is kept."""
    return make_key(_asked(config, dataset, settings), rank.rank)


def _asked(config: ResultConfig, dataset: str, settings: SketchSettings) -> str:
    return make_key(
        sketch.FORMAT, config.space, config.precision, dataset, settings.rows, settings.images, settings.seed
    )


def kept_calibration(store: Store, output: EncoderOutput, dataset: str, method: ScoringMethod) -> Calibration | None:
    """The calibration that the store has for a dataset, or None."""
    config, rank = output.config(method.decided), output.rank
    found = sketches.calibration(store, calibration_key(config, dataset, method.sketch, rank))
    before = store.rank(config.space)
    if found is None and (before is None or before.rank == rank.rank):  # an earlier version kept them without the rank
        return sketches.calibration(store, _asked(config, dataset, method.sketch))
    return found


def calibration_items(items: Sequence[Item], settings: SketchSettings) -> list[Item]:
    """The images to calibrate on, drawn at random. Raises `NotEnoughData` where there are too few to gain anything."""
    if len(items) < settings.least:
        raise NotEnoughData(
            f"A sketch calibrated on {settings.images} images gains nothing for {len(items)}; at least "
            f"{settings.least} are accepted; score them fully."
        )
    order = np.random.default_rng(settings.seed).permutation(len(items))[: settings.images]
    return [items[place] for place in np.sort(order)]


def calibrate(store: Store, output: EncoderOutput, dataset: str, method: ScoringMethod, full: Grams) -> Calibration:
    """The calibration to full Grams of some images of a dataset, kept in the store."""
    settings, rank = method.sketch, output.rank
    calibration = sketch.calibrate(
        np.stack(full.grams),
        np.stack(full.features).astype(np.float64),
        rank.rank,
        settings.rows_for(output.k),
        settings.seed,
    )
    sketches.put_calibration(
        store, calibration_key(output.config(method.decided), dataset, settings, rank), calibration
    )
    return calibration


def sketch_config(config: ResultConfig, calibration: Calibration) -> ResultConfig:
    """The config of a calibration's estimates."""
    return replace(config, method=f"sketch:{calibration.id}")
