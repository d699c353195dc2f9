"""A loaded encoder (`Encoder`): frozen weights, its own transform, its outputs; and the devices it may be on."""

import hashlib
from collections.abc import Hashable
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from jepa_core.encoders.spec import EncoderSpec
from jepa_core.errors import EncoderError

if TYPE_CHECKING:  # torch and timm take seconds to import; what only names an encoder must not pay for them
    import torch
    from PIL import Image
    from torch import nn

    from jepa_core.encoders.network import EncoderNet


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
