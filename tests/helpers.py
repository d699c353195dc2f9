"""Small things that several tests need: pictures, running a folder, reading its scores back, the cards of a page."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from PIL import Image

from jepa_core import images
from jepa_core.datasets.registry import get_dataset
from jepa_core.encoders.encoder import Encoder
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.method import ScoringMethod
from jepa_core.scoring.run import RunSummary, ScoringRun
from jepa_core.scoring.stored import stored_scores
from jepa_core.store.results import Store

if TYPE_CHECKING:
    from streamlit.testing.v1 import AppTest


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (20, 20, 3), dtype=np.uint8))


def png(seed: int) -> bytes:
    return images.to_png(picture(seed))


def score(
    store: Store, encoder: Encoder, dataset: str, items: list, output: str | None = None, precision="fp32", **options
) -> RunSummary:
    method = options.pop("method", ScoringMethod(precision=precision))
    return ScoringRun(store, EncoderOutput.of(encoder, output), dataset, items, method, **options).score()


def run(store: Store, encoder: Encoder, folder: Path, output: str | None = None, **options) -> RunSummary:
    dataset = get_dataset(str(folder))
    return score(store, encoder, dataset.name, list(dataset.items()), output, **options)


def names(store: Store, folder: Path) -> list[str]:
    return [member.name for member in store.members(f"folder:{folder}")]


def scores(store: Store, encoder: Encoder, folder: Path, output: str = "projector") -> pd.DataFrame:
    return stored_scores(store, EncoderOutput(encoder.spec, output), f"folder:{folder}")


def grids(app: "AppTest") -> dict[str, list[dict]]:
    """The cards of each picture grid of a page, by the grid's key; a grid is drawn by the browser from these data."""
    found = (block.proto for block in app.get("bidi_component") if block.proto.component_name == "jepa_grid")
    return {proto.id.rsplit("grid:", 1)[1]: json.loads(proto.json)["cards"] for proto in found}


def cards(app: "AppTest") -> list[dict]:
    """All cards of a page, in its order."""
    return [card for shown in grids(app).values() for card in shown]


def pictured(app: "AppTest") -> int:
    """How many cards of a page show a picture."""
    return sum(card["source"].startswith("data:image/") for card in cards(app))


def tell(app: "AppTest", grid: str, event: str, value: object) -> "AppTest":
    """Run the page with what a grid's script would send of a click or a key; AppTest itself runs no scripts."""
    from streamlit.proto.WidgetStates_pb2 import WidgetState

    [name] = [block.proto.id for block in app.get("bidi_component") if block.proto.id.endswith(f"grid:{grid}")]
    said = WidgetState(
        id=f"$$STREAMLIT_INTERNAL_KEY_{name}__events",
        json_trigger_value=json.dumps([{"event": event, "value": value}]),
    )
    states = app._tree.get_widget_states()
    states.widgets.append(said)
    return app._run(states)
