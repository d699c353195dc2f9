"""Encoders of timm: their weights into a network, and what is known of them once they were loaded here.

The weights are the publisher's (`jepa_core.encoders.download`) or a file given by hand (`jepa_core.encoders.custom`).
Before they were loaded their digest is not known, so no result can be looked up. What a first load found is kept in
`weights.json` of the cache folder: from then on the encoder is at hand (`recalled`).
"""

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from jepa_core.config import cache_dir
from jepa_core.encoders import catalog
from jepa_core.encoders.spec import EncoderSpec
from jepa_core.errors import EncoderError
from jepa_core.files import replace_file
from jepa_core.progress import Progress, silent

if TYPE_CHECKING:  # torch takes seconds to import; recalling must not pay for it
    from torch import nn

    from jepa_core.encoders.encoder import Encoder
    from jepa_core.encoders.network import EncoderNet
    from jepa_core.encoders.weight_matching import Misfit, Terms


def load_net(spec: EncoderSpec, progress: Progress = silent) -> "EncoderNet":
    """The network of a timm encoder with its weights, downloaded first if they are neither given by hand nor here.

    Raises `EncoderError` where they cannot be had (`jepa_core.encoders.download.fetch`), are damaged or not of this
    architecture, or are a pickle of more than weights. Those that were given by hand have to fit in every tensor.
    """
    from jepa_core.encoders import download
    from jepa_core.encoders.weight_matching import Terms

    if spec.weights is None:
        path = download.fetch(download.remote_of(spec.architecture), progress)
        return _load(spec, path, Terms(given=False, resized=True, as_timm=True))[0]
    # Of those that an earlier version added it is not known what was asked for; it chose as timm does.
    before = spec.part is None
    resized = before or catalog.SIZE_MARK in spec.like
    return _load(spec, spec.weights, Terms(resized=resized, part=spec.part, as_timm=before))[0]


def load_given(spec: EncoderSpec, path: Path) -> "tuple[EncoderNet, str, str]":
    """The network with weights that were given by hand: also the part of the file that was taken, and that in words."""
    from jepa_core.encoders.weight_matching import Terms

    return _load(spec, path, Terms(resized=catalog.SIZE_MARK in spec.like))


def _load(spec: EncoderSpec, path: Path, terms: "Terms") -> "tuple[EncoderNet, str, str]":
    from jepa_core.encoders import checkpoint_files, weight_matching
    from jepa_core.encoders.network import EncoderNet

    part, words = "", ""

    def load(backbone: "nn.Module", rename: "weight_matching.Rename | None") -> None:
        nonlocal part, words
        taken = weight_matching.take(tensors, backbone, rename, terms)
        part, words = taken.prefix, weight_matching.said(taken, tensors)

    try:
        tensors = checkpoint_files.read(path)
        net = EncoderNet(spec.architecture, spec.architecture_kwargs, head=spec.head, load=load)
    except EncoderError:
        raise
    except weight_matching.Misfit as misfit:
        fits = _fitting(spec, misfit) if terms.given else ""
        raise _unfit(spec, path, str(misfit), fits) from misfit
    except Exception as error:  # torch's unpickler meets the bytes of any file with any of them
        raise _unfit(spec, path, str(error).strip() or type(error).__name__) from error
    return net, part, words


def _fitting(spec: EncoderSpec, misfit: "Misfit") -> str:
    from jepa_core.encoders import architecture_index

    try:
        found = architecture_index.fitting(misfit.parts, spec.head)
    except Exception:  # whatever timm makes of a file that is not whole: what is wrong with it has been found
        return ""
    return found if found != spec.like else ""  # what is wrong is something else


def _unfit(spec: EncoderSpec, path: Path, why: str, fits: str = "") -> EncoderError:
    why = shorten(why.splitlines()[0], 300, placeholder=" ...")
    if spec.source == "file":
        todo = "a whole file of this architecture is accepted; choose another file, or the architecture that it is of"
    else:
        todo = "the whole file that its publisher gives is accepted; remove it and download it again"
    this = f", {fits}" if fits else ""
    return EncoderError(f"The weights {path} do not load into {spec.architecture} ({why}); {todo}{this}.")


def remember(encoder: "Encoder") -> EncoderSpec:
    """The spec of a loaded timm encoder with the digest of its weights and its data config, kept for `recalled`."""
    spec = replace(encoder.spec, weights_digest=encoder.weights, data_config=encoder.data_config)
    if recalled().get(spec.name) == spec:
        return spec
    path = _path()
    path.parent.mkdir(parents=True, exist_ok=True)
    found = {field: getattr(spec, field) for field in _FIELDS} | {"weights": spec.weights and str(spec.weights)}
    sound = recalled()
    kept = {name: one for name, one in _known().items() if name in sound}
    text = json.dumps(kept | {spec.name: found}, indent=1)
    replace_file(path, lambda partial: partial.write_text(text, encoding="utf-8"))
    return spec


def recalled() -> dict[str, EncoderSpec]:
    """The timm encoders that were loaded here before, by name. Nothing is imported or asked for."""
    found = {}
    for name, one in _known().items():
        # An entry of another version, or damaged, is made anew by the next load.
        with suppress(AttributeError, TypeError, ValueError, KeyError):
            spec = _spec(**one)
            numbers = [*spec.outputs.values(), *spec.data_config["input_size"]]
            if spec.name == name and spec.outputs and all(isinstance(number, int) for number in numbers):
                found[name] = spec
    return found


def _spec(weights: str | None = None, **found: Any) -> EncoderSpec:
    return EncoderSpec(weights=Path(weights) if weights else None, **found)


# What a spec of timm has beside defaults, and its weights.
_FIELDS = (
    "name",
    "called",
    "family",
    "source",
    "architecture",
    "outputs",
    "architecture_kwargs",
    "data_config",
    "weights_digest",
    "licence",
    "paper",
    "description",
    "parameters",
    "contrast",
    "like",
    "part",
)


def _path() -> Path:
    return cache_dir() / "weights.json"


def _known() -> dict[str, dict]:
    try:
        known = json.loads(_path().read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):  # none yet, or damaged: it is made anew by the next load
        return {}
    return known if isinstance(known, dict) else {}
