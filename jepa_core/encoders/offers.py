"""What an encoder that is not at hand would cost here, found out before anything of it is downloaded."""

from dataclasses import dataclass

from jepa_core.encoders.spec import EncoderSpec
from jepa_core.errors import EncoderError


@dataclass(frozen=True)
class Offer:
    """What the server of its weights says of an encoder of timm, and what a score would take on a device."""

    origin: str  # where the weights are
    size: str  # of their download, in words
    access: str  # who may have them, or the sentence that says why that cannot be known
    obtainable: bool  # whether they are here already, or can be downloaded
    seconds: dict[str, float]  # output -> of a full score of one image, about


def offer(spec: EncoderSpec, device: str) -> Offer:
    """Ask the server, unless the weights are here, and measure the machine. What the server refuses is a part of it."""
    from jepa_core.encoders import (  # bring torch along, for which a page that only shows offers need not wait
        cost,
        download,
    )

    seconds = {output: cost.seconds_an_image(spec, output, device) for output in spec.outputs}
    remote = download.remote_of(spec.architecture)
    try:
        weights = download.look_up(remote)
    except EncoderError as error:
        return Offer(str(remote), f"about {spec.megabytes:.0f} MB", str(error), False, seconds)
    return Offer(str(remote), weights.megabytes, weights.access, True, seconds)
