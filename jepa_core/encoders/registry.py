"""Encoders: which there are (`list_encoders`), and a loaded one (`Encoder`).

An encoder maps a normalised image (C, H, W) to an embedding of K numbers. A bundled encoder is a pair of files,
`NAME.safetensors` and `NAME.json` (its model card, from which the spec is read), in `assets/encoders/` or, for encoders
that a person trained, in `encoders/` of the cache folder. The encoders of the papers come from timm
(`jepa_core.encoders.catalog`, `jepa_core.encoders.timm_weights`), also with weights given by hand
(`jepa_core.encoders.custom`).
"""

import hashlib
import json
from collections.abc import Hashable, Iterator
from dataclasses import replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jepa_core import notices
from jepa_core.config import ASSETS, cache_dir, hosted
from jepa_core.encoders import catalog, timm_weights
from jepa_core.encoders.spec import EncoderSpec
from jepa_core.errors import EncoderError, UnknownName
from jepa_core.jacobian.spectrum import Rank
from jepa_core.progress import Progress, silent

if TYPE_CHECKING:  # torch and timm take seconds to import; listing encoders must not pay for them
    import torch
    from PIL import Image
    from torch import nn

    from jepa_core.encoders.network import EncoderNet


def spec_from_card(path: Path) -> EncoderSpec:
    """Read the spec out of a model card (`NAME.json`); the weights lie beside it as `NAME.safetensors`."""
    try:
        status = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from error
    return _read_card(path, status.st_mtime_ns, status.st_size)


# Each run of a page lists the encoders. A card is read again once it was written; nobody may change its parts.
@lru_cache(maxsize=64)
def _read_card(path: Path, _written: int, _size: int) -> EncoderSpec:
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        _check_card(card)
        return EncoderSpec(
            name=card["name"],
            family=card["family"],
            source="bundled",
            architecture=card["architecture"],
            architecture_kwargs=card["architecture_kwargs"],
            outputs=card["outputs"],
            projector=tuple(card["projector"]),
            data_config=card["data_config"],
            weights=path.with_suffix(".safetensors"),
            weights_digest=card["weights_digest"],
            ranks={output: Rank(**rank) for output, rank in card.get("ranks", {}).items()},
            training=card.get("training", ""),
            reference=card.get("reference", ""),
            licence=card["licence"],
            paper=card["paper"],
            description=card["description"],
            parameters=card.get("parameters", 0),
            known_failures=tuple(card.get("known_failures", ())),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _unreadable(path, error) from error


def _check_card(card: dict[str, Any]) -> None:
    """Raise `ValueError` for values that are not of their kind, with which others would fail later."""
    texts = ("name", "family", "architecture", "weights_digest", "licence", "paper", "description")
    outputs, shape = card["outputs"], card["data_config"]["input_size"]
    numbers = [*outputs.values(), *card["projector"], *shape]
    if not (all(isinstance(card[name], str) for name in texts) and card["name"] and outputs and len(shape) == 3):
        raise ValueError("a text is missing")
    if not all(isinstance(number, int) and number > 0 for number in numbers):
        raise ValueError("a size is no number from 1 on")


def load_card(spec: EncoderSpec) -> dict[str, Any]:
    """The whole model card of an encoder that has one beside its weights; `EncoderError` if it cannot be read."""
    assert spec.weights is not None
    path = spec.weights.with_suffix(".json")
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        _check_card(card)
        return card
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> EncoderError:
    return EncoderError(
        f"The model card {path.name if hosted() else path} cannot be read ({type(error).__name__}: {error}); "
        "a card written by 'python -m jepa_core pretrain' is accepted; make it again or remove the file."
    )


def _card_paths() -> Iterator[Path]:
    for folder in (ASSETS / "encoders", cache_dir() / "encoders"):
        yield from sorted(folder.glob("*.json"), key=lambda path: path.stem)  # "photo" before "photo-tenth"


def list_encoders() -> dict[str, EncoderSpec]:
    """Every encoder at hand, by name: the bundled ones, those trained here, then those that were loaded here.

    A bundled name is never replaced. A damaged card is left out, and it is said once. What else can be downloaded is in
    `jepa_core.encoders.catalog`.
    """
    specs: dict[str, EncoderSpec] = {}
    for path in _card_paths():
        try:
            spec = spec_from_card(path)
        except EncoderError as error:  # one damaged card must not take the others away
            notices.say(f"card {path}", str(error))
        else:
            notices.works(f"card {path}")
            specs.setdefault(spec.name, spec)
    for spec in timm_weights.recalled().values():
        specs.setdefault(spec.name, spec)
    return specs


def get_spec(name: str) -> EncoderSpec:
    """The spec of that name, else `UnknownName` with the names there are; `EncoderError` for a damaged card.

    Beside the names of `list_encoders`, those of the catalogue and "timm:MODEL.TAG" are accepted, and "@PX" behind
    either for another input size.
    """
    specs = list_encoders()
    if name in specs:
        return specs[name]
    for path in _card_paths():
        if path.stem == name:
            spec_from_card(path)  # says what is wrong with it
    found = catalog.find(name)
    if found is None:
        raise UnknownName("encoder", name, specs, "More can be downloaded: see 'encoders', or give timm:MODEL.TAG.")
    return found


def build_net(spec: EncoderSpec) -> "EncoderNet":
    """The network of `spec` with fresh random weights."""
    from jepa_core.encoders.network import EncoderNet

    return EncoderNet(spec.architecture, spec.architecture_kwargs, spec.projector, head=spec.head)


def resolve_data_config(spec: EncoderSpec, backbone: "nn.Module") -> dict[str, Any]:
    """timm's resolved data config of the backbone, with the spec's overrides on top. Plain JSON types."""
    import timm.data

    resolved = timm.data.resolve_data_config({}, model=backbone) | spec.data_config
    return {key: list(value) if isinstance(value, tuple) else value for key, value in sorted(resolved.items())}


def weights_digest(net: "nn.Module") -> str:
    """SHA-256 over the names, types, shapes and bytes of all parameters and buffers: the identity of the weights."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(net.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


class Encoder:
    """A loaded encoder: frozen weights in eval mode, its own transform, and its outputs as modules.

    Attributes: `spec`, `device`, `weights` (digest), `data_config` (resolved) and `transform` (its canonical JSON,
    a part of every result's key); `kept`, what other modules have made of it and need again.
    """

    def __init__(self, spec: EncoderSpec, net: "EncoderNet", device: str = "cpu") -> None:
        import timm.data

        self.spec = spec
        self.device = device
        self.kept: dict[Hashable, Any] = {}
        self.weights = weights_digest(net)
        self.data_config = resolve_data_config(spec, net.backbone)
        self.transform = replace(spec, data_config=self.data_config).transform
        config: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in self.data_config.items()
        }
        self._to_tensor = timm.data.create_transform(**config, is_training=False)
        # In train mode batch-norm would let the images of a batch change each other's Jacobians, and dropout is noise.
        self._net = net.eval().requires_grad_(False).to(device)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the normalised input."""
        channels, height, width = self.data_config["input_size"]
        return channels, height, width

    def preprocess(self, image: "Image.Image") -> "torch.Tensor":
        """The normalised input (C, H, W) of an RGB picture: timm's resize, crop and normalisation for this encoder."""
        return self._to_tensor(image.convert("L" if self.input_shape[0] == 1 else "RGB"))

    def normalised(self, crop: "Image.Image") -> "torch.Tensor":
        """`preprocess` of a picture whose `images.crop` is at hand."""
        to_tensor, normalise = self._to_tensor.transforms[-2:]
        return normalise(to_tensor(crop))

    def module(self, output: str | None = None) -> "nn.Module":
        """The map (B, C, H, W) -> (B, K) of an output; its default for None."""
        return self._net.backbone if self.spec.check_output(output) == "backbone" else self._net

    @cached_property
    def parameters(self) -> int:
        """How many weights the network has, projector and all."""
        return sum(parameter.numel() for parameter in self._net.parameters())


def _devices() -> list[str]:
    """What torch can compute on here, the best first."""
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    return [device for device, is_there in there.items() if is_there]


def default_device() -> str:
    """`cuda` where torch finds one, else `mps`, else `cpu`."""
    return _devices()[0]


def choose_device(device: str | None) -> str:
    """`device`, or the best there is for None; `EncoderError` for one that is not there."""
    import torch

    if device is None:
        return default_device()

    try:
        torch.empty(0, device=device)  # the one question to which torch's answer holds for every kind and number
    except (RuntimeError, AssertionError) as error:
        raise EncoderError(
            f"The device {device!r} is not to be had on this machine; {' or '.join(_devices())} is accepted; "
            "choose that, or name no device to get the best there is."
        ) from error
    return device


def load_encoder(name: str = "digits", device: str | None = None, progress: Progress = silent) -> Encoder:
    """Load an encoder by name onto a device (`default_device()` for None), ready to score.

    Weights that are not on this machine are downloaded, and `progress` is called with (bytes done, bytes in all).

    Raises `UnknownName` for a name that there is not, `EncoderError` for weights that are missing, damaged or of
    another architecture, that cannot be downloaded, and for a device that is not there.
    """
    spec = get_spec(name)
    device = choose_device(device)
    if spec.source == "timm":
        encoder = Encoder(spec, timm_weights.load_net(spec, progress), device)
        encoder.spec = timm_weights.remember(encoder)
        return encoder
    encoder = Encoder(spec, timm_weights.load_net(spec) if spec.source == "file" else _load_beside_card(spec), device)
    if encoder.weights == spec.weights_digest:
        return encoder
    if spec.source == "file":
        raise EncoderError(
            f"The weights {spec.weights} are not those with which encoder {name!r} was added; the same file is "
            "accepted; put it back, or add the encoder again."
        )
    raise EncoderError(
        f"The weights {spec.weights} are not those that the card of encoder {name!r} describes; a pair written "
        f"together is accepted; make both again with the command that the card names."
    )


def _load_beside_card(spec: EncoderSpec) -> "EncoderNet":
    import safetensors.torch
    from safetensors import SafetensorError

    net = build_net(spec)
    assert spec.weights is not None  # every card has its weights beside it
    try:
        net.load_state_dict(safetensors.torch.load_file(spec.weights))
    except (OSError, RuntimeError, SafetensorError) as error:
        first_line = str(error).splitlines()[0]
        raise EncoderError(
            f"The weights {spec.weights} do not load into encoder {spec.name!r} ({first_line}); "
            f"a file that fits its card is accepted; make it again with the command that its card names."
        ) from error
    return net
