"""The rank of an encoder's output: one number, from its first image on, wherever its scores are made or shown.

A card records it, else it is found once (`jepa_core.jacobian.rank`) with a fixed probe and kept in `ranks.json` of the
cache folder, by the embedding space (weights, transform, output). So pages, which load no encoder, have it too. What
calibration images show (`jepa_core.scoring.rank_findings`) never changes a score.
"""

import json
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from jepa_core.config import cache_dir
from jepa_core.errors import JepaError
from jepa_core.files import replace_file
from jepa_core.jacobian import spectrum
from jepa_core.jacobian.spectrum import Rank

if TYPE_CHECKING:  # torch takes seconds to import; looking a rank up must not pay for it
    from torch import nn

    from jepa_core.encoders.encoder import Encoder
    from jepa_core.encoders.spec import EncoderSpec


def resolve(spec: "EncoderSpec", output: str, space: str, encoder: "Encoder | None" = None) -> Rank:
    """The rank of an output, whose embedding space has this key; nothing is computed where it is known.

    Where it is not it is found on the encoder itself, or, for one that is not loaded (scores that an earlier version
    made), on its architecture with random weights.
    """
    known = _recorded(spec, output) or _kept().get(space)
    if known:
        return known
    if encoder is not None:
        return _keep(space, _found(encoder.module(output), encoder.input_shape, encoder.device))
    if not spec.weights_digest:  # never loaded here, so nothing of it is scored
        return Rank(spec.outputs[output], "it is found when the encoder is loaded")
    try:
        found = _of_stand_in(spec, output)
    except (JepaError, RuntimeError) as error:  # an architecture that this version of timm does not have, say
        return Rank(spec.outputs[output], f"the architecture could not be looked at ({error})")
    return _keep(space, found)


def _recorded(spec: "EncoderSpec", output: str) -> Rank | None:
    """The card's, unless an earlier version put what calibration images showed in the architecture's place."""
    rank = spec.ranks.get(output)
    return None if rank is None or spectrum.is_replaced(rank) else rank


def _found(module: "nn.Module", shape: tuple[int, int, int], device: str) -> Rank:
    import torch

    from jepa_core.jacobian import engine, rank

    generator = torch.Generator().manual_seed(0)
    fine, coarse = torch.randn(1, *shape, generator=generator), torch.randn(1, shape[0], 8, 8, generator=generator)
    # One smooth image beside one of noise: layers with a ReLU answer them differently.
    probe = torch.cat([fine, torch.nn.functional.interpolate(coarse, shape[1:], mode="bilinear")]).to(device)
    with engine.arithmetic("fp32"):
        return rank.architectural_rank(module, probe)


def _of_stand_in(spec: "EncoderSpec", output: str) -> Rank:
    """The rank of the same architecture with random weights, in which no branch is zero."""
    import torch

    from jepa_core.encoders.encoder import Encoder, build_net

    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = build_net(spec)
        with torch.no_grad():
            for weight in net.parameters():
                weight.add_(0.02 * torch.randn_like(weight))
    stand_in = Encoder(spec, net, "cpu")
    return _found(stand_in.module(output), stand_in.input_shape, "cpu")


def _path() -> Path:
    return cache_dir() / "ranks.json"


def _kept() -> dict[str, Rank]:
    try:
        return {space: Rank(**found) for space, found in json.loads(_path().read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, AttributeError, TypeError):  # none yet, or damaged: each is found again
        return {}


def _keep(space: str, rank: Rank) -> Rank:
    kept = _kept()
    if space not in kept:
        text = json.dumps({name: asdict(one) for name, one in (kept | {space: rank}).items()}, indent=1)
        path = _path()
        with suppress(OSError):  # a folder that cannot be written: it is found again next time
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, lambda partial: partial.write_text(text, encoding="utf-8"))
    return rank
