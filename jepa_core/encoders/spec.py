"""What an encoder is, as data (`EncoderSpec`); nothing here is loaded."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jepa_core.errors import UnknownName
from jepa_core.jacobian.spectrum import Rank

PROJECTION = "projection"  # the output of an architecture's own last layer


@dataclass(frozen=True)
class EncoderSpec:
    """What is needed to build, feed and cite an encoder. All of it is data; nothing is loaded."""

    name: str
    family: str  # the training method: "LeJEPA", "DINOv2", ...
    source: str  # "bundled" (files beside a card), "timm" (weights by timm's own name) or "file" (given by hand)
    architecture: str  # a timm model name, with its tag for source "timm"
    outputs: dict[str, int]  # output name -> K; the first is the default
    architecture_kwargs: dict[str, Any] = field(default_factory=dict)
    projector: tuple[int, ...] = ()  # widths of the projector's layers, the last is its K; empty: no projector
    data_config: dict[str, Any] = field(default_factory=dict)  # timm's resolved data config, or overrides of it
    weights: Path | None = None  # the file, of a bundled encoder and of one whose weights were given by hand
    weights_digest: str = ""  # of the weights that the card describes; "" where it is not known before loading
    ranks: dict[str, Rank] = field(default_factory=dict)  # output -> rank, where the card records it
    training: str = ""  # the dataset it was trained on, to which distances are measured
    reference: str = ""  # the held-out dataset on which "normal" is measured for this encoder
    licence: str = ""
    paper: str = ""
    description: str = ""
    known_failures: tuple[str, ...] = ()  # one plain sentence each
    parameters: int = 0  # how many weights, where it is known before loading
    like: str = ""  # what weights given by hand were said to be of, as it was written, with "@PX"
    part: str | None = None  # the prefix of the names in their file ("" for all of it); None where timm chooses
    called: str = ""  # what its publishers call it, of a timm encoder
    contrast: bool = False  # its training spreads no embeddings: outside of the family that the claim is about

    @property
    def title(self) -> str:
        """What it is called on a page: "Photo tenth (LeJEPA)", "DINOv2 ViT-S/14"."""
        if self.source != "bundled":
            return self.called if self.called and self.source == "timm" else self.name
        return f"{self.name[:1].upper()}{self.name[1:].replace('-', ' ')} ({self.family})"

    @property
    def transform(self) -> str:
        """The canonical JSON of the data config: a part of every result's key."""
        return json.dumps(self.data_config, sort_keys=True)

    @property
    def megabytes(self) -> float:
        """About how large its weights are, as float32."""
        return self.parameters * 4 / 1e6

    @property
    def head(self) -> bool:
        """Whether the architecture's own last layer is an output, as CLIP's projection is."""
        return PROJECTION in self.outputs

    @property
    def default_output(self) -> str:
        """The output that is scored unless another is asked for."""
        return next(iter(self.outputs))

    def check_output(self, output: str | None) -> str:
        """`output`, or the default for None; `UnknownName` for one this encoder lacks."""
        chosen = output or self.default_output
        if chosen not in self.outputs:
            raise UnknownName(f"output of encoder {self.name!r}", chosen, self.outputs)
        return chosen
