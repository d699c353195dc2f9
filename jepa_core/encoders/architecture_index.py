"""Which architectures of timm have the tensors that a file with weights has.

To build all of timm's architectures takes minutes, so what tells them apart is kept as data (`architectures.json` of
the assets): names of architectures by the `signature` of their tensors. `python -m
jepa_core.encoders.architecture_index` makes it again, and a test holds it against timm.
"""

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING

from jepa_core.config import ASSETS
from jepa_core.encoders import catalog, checkpoint_parts
from jepa_core.files import replace_file

if TYPE_CHECKING:  # torch takes seconds to import
    from jepa_core.encoders.weight_matching import Part

_TRIED = 6  # of several architectures with the same tensors, how many are made to see for what input size they are
_INDEX = ASSETS / "architectures.json"
_OF_THE_INPUT = re.compile(r"(.*\.)?pos_embed(_\w+)?")


def signature(shapes: Mapping[str, Iterable[int]]) -> str:
    """What an architecture's tensors have in common at every input size and with every classifier."""
    lines = [
        name if _OF_THE_INPUT.fullmatch(name) else f"{name} {tuple(shape)}"
        for name, shape in sorted(shapes.items())
        if not checkpoint_parts.is_of_training(name) and not checkpoint_parts.is_computed(name)
    ]
    return sha256("\n".join(lines).encode()).hexdigest()[:12]


def alike(shapes: Mapping[str, Iterable[int]]) -> list[str]:
    """Names for `--like` with these tensors: those of the catalogue, then timm's, the shortest first."""
    known = _index().get(signature(shapes), [])
    listed = [spec.name for spec in catalog.specs() if spec.architecture.partition(".")[0] in known]
    return listed + [catalog.TIMM_PREFIX + name for name in sorted(known, key=lambda name: (len(name), name))]


def fitting(parts: "Iterable[Part]", head: bool) -> str:
    """The name of an architecture that takes a part of a file as it is, else at another input size; "" for none.

    `head`: whether the architecture's own last layer is asked for, too.
    """
    resized = ""
    for part in parts:
        names = alike({name: tensor.shape for name, tensor in part.local.items()})
        kept = part.renamed.keys() - {name for name in part.resampled if not _OF_THE_INPUT.fullmatch(name)}
        names += alike({name: part.renamed[name].shape for name in kept})
        for name in list(dict.fromkeys(names))[:_TRIED]:
            size = _size(name, part, head)
            if size == 0:
                return name
            resized = resized or (f"{name}{catalog.SIZE_MARK}{size}" if size else "")
    return resized


def _size(name: str, part: "Part", head: bool) -> int | None:
    """0 where an architecture takes a part as it is, the input size at which it does so, None where it does not."""
    import torch

    from jepa_core.encoders import weight_matching
    from jepa_core.encoders.network import with_renaming

    spec = catalog.find(name, published=False)
    assert spec is not None
    kwargs = spec.architecture_kwargs | ({} if head and spec.head else {"num_classes": 0})
    with torch.device("meta"):
        network, rename = with_renaming(spec.architecture, **kwargs)
    tensors = {part.names[name]: tensor for name, tensor in part.local.items()}
    again = weight_matching.part_under(tensors, part.prefix, network, rename)
    if not again.whole or weight_matching.lossy(again, network) or weight_matching.surplus(again, tensors, network):
        return None
    if not weight_matching.resized(again, network, weight_matching.Terms()):
        return 0
    resampled = [name for name in network.state_dict() if name in again.resampled]
    return weight_matching.input_side(again, resampled[0], network) or None


def signature_of(architecture: str) -> str:
    """The signature of what timm makes under a name, without a classifier."""
    import timm
    import torch

    with torch.device("meta"):
        model = timm.create_model(architecture, pretrained=False, num_classes=0)
    return signature({name: tensor.shape for name, tensor in model.state_dict().items()})


@cache
def _index() -> dict[str, list[str]]:
    return {key: names.split() for key, names in json.loads(_INDEX.read_text(encoding="utf-8")).items()}


def _write() -> None:
    import timm

    found: dict[str, list[str]] = {}
    for name in timm.list_models():
        try:
            found.setdefault(signature_of(name), []).append(name)
        except (RuntimeError, ValueError, TypeError, NotImplementedError, AttributeError) as error:
            print(f"{name} is left out: {error}")
    text = json.dumps({key: " ".join(names) for key, names in sorted(found.items())}, indent=0)
    replace_file(_INDEX, lambda partial: partial.write_text(text + "\n", encoding="utf-8"))


if __name__ == "__main__":
    _write()
