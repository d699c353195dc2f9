"""Encoders of timm: their weights into a network, and what is known of them once they were loaded here.

Before weights were loaded their digest is not known, so no result can be looked up. What a first load found is kept in
`weights.json` of the cache folder: from then on the encoder is at hand (`recalled`).
"""

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from jepa_core.config import cache_dir
from jepa_core.errors import EncoderError
from jepa_core.files import replace_file
from jepa_core.specs import EncoderSpec

if TYPE_CHECKING:  # torch takes seconds to import; recalling must not pay for it
    from jepa_core.encoders import Encoder
    from jepa_core.hub import Progress
    from jepa_core.network import EncoderNet


def load_net(spec: EncoderSpec, progress: "Progress | None" = None) -> "EncoderNet":
    """The network of a timm encoder with its weights, downloaded first if they are not here.

    Raises `EncoderError` where they cannot be had (`jepa_core.hub.fetch`), are damaged, or are a pickle of more than
    weights.
    """
    from safetensors import SafetensorError

    from jepa_core import hub
    from jepa_core.network import EncoderNet

    path = hub.fetch(hub.remote_of(spec.architecture), progress or (lambda _done, _total: None))
    try:
        return EncoderNet(spec.architecture, spec.architecture_kwargs, head=spec.head, pretrained=path)
    except (pickle.UnpicklingError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "weights_only" not in str(error):  # timm's word for the same
            raise _unfit(spec, path, error) from error
        raise EncoderError(
            f"The weights {path} are a pickle of more than weights, which could run a program; a safetensors file, or "
            "a pickle of tensors alone, is accepted; get them in one of these forms."
        ) from error
    except (OSError, ValueError, KeyError, EOFError, SafetensorError) as error:
        raise _unfit(spec, path, error) from error


def _unfit(spec: EncoderSpec, path: Path, error: Exception) -> EncoderError:
    return EncoderError(
        f"The weights {path} do not load into {spec.architecture} ({str(error).splitlines()[0]}); the whole file that "
        "its publisher gives is accepted; remove it and download it again."
    )


def remember(encoder: "Encoder") -> EncoderSpec:
    """The spec of a loaded timm encoder with the digest of its weights and its data config, kept for `recalled`."""
    spec = replace(encoder.spec, weights_digest=encoder.weights, data_config=encoder.data_config)
    if recalled().get(spec.name) == spec:
        return spec
    path = _path()
    path.parent.mkdir(parents=True, exist_ok=True)
    found = {field: getattr(spec, field) for field in _FIELDS}
    kept = _known() if recalled() else {}
    text = json.dumps(kept | {spec.name: found}, indent=1)
    replace_file(path, lambda partial: partial.write_text(text, encoding="utf-8"))
    return spec


def recalled() -> dict[str, EncoderSpec]:
    """The timm encoders that were loaded here before, by name. Nothing is imported or asked for."""
    try:
        return {name: EncoderSpec(**found) for name, found in _known().items()}
    except (AttributeError, TypeError):  # of another version, or not ours: it is made anew by the next load
        return {}


# What a spec of timm has beside defaults.
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
        return json.loads(_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none yet, or damaged: it is made anew by the next load
        return {}
