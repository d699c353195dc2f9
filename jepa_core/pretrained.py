"""Encoders of timm: their weights into a network, and what is known of them once they were loaded here.

The weights are the publisher's (`jepa_core.hub`) or a file given by hand (`jepa_core.own_weights`). Before they were
loaded their digest is not known, so no result can be looked up. What a first load found is kept in `weights.json` of
the cache folder: from then on the encoder is at hand (`recalled`).
"""

import json
import pickle
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from jepa_core.config import cache_dir
from jepa_core.errors import EncoderError
from jepa_core.files import replace_file
from jepa_core.specs import EncoderSpec

if TYPE_CHECKING:  # torch takes seconds to import; recalling must not pay for it
    from jepa_core.encoders import Encoder
    from jepa_core.hub import Progress
    from jepa_core.network import EncoderNet


def load_net(spec: EncoderSpec, progress: "Progress | None" = None) -> "EncoderNet":
    """The network of a timm encoder with its weights, downloaded first if they are neither given by hand nor here.

    Raises `EncoderError` where they cannot be had (`jepa_core.hub.fetch`), are damaged or not of this architecture, or
    are a pickle of more than weights.
    """
    from jepa_core import hub
    from jepa_core.network import EncoderNet

    path = spec.weights or hub.fetch(hub.remote_of(spec.architecture), progress or (lambda _done, _total: None))
    try:
        return EncoderNet(spec.architecture, spec.architecture_kwargs, head=spec.head, pretrained=path)
    except Exception as error:  # torch's unpickler meets the bytes of any file with any of them
        # The second is timm's word for the first.
        if not isinstance(error, pickle.UnpicklingError) and "weights_only" not in str(error):
            raise _unfit(spec, path, error) from error
        raise EncoderError(
            f"The weights {path} are no weights, or a pickle of more than weights, which could run a program; a "
            "safetensors file, or a pickle of tensors alone, is accepted; get them in one of these forms."
        ) from error


def _unfit(spec: EncoderSpec, path: Path, error: Exception) -> EncoderError:
    # torch says in the first line that there were errors, then each in a line.
    first, *others = str(error).strip().splitlines() or [type(error).__name__]
    why = shorten((others[0] if others else first).strip(), 200, placeholder=" ...")
    if spec.source == "file":
        todo = "a whole file of this architecture is accepted; choose another file, or the architecture that it is of."
    else:
        todo = "the whole file that its publisher gives is accepted; remove it and download it again."
    return EncoderError(f"The weights {path} do not load into {spec.architecture} ({why}); {todo}")


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
)


def _path() -> Path:
    return cache_dir() / "weights.json"


def _known() -> dict[str, dict]:
    try:
        known = json.loads(_path().read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):  # none yet, or damaged: it is made anew by the next load
        return {}
    return known if isinstance(known, dict) else {}
