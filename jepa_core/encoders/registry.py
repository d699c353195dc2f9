"""Which encoders there are (`list_encoders`), and one of them by its name (`get_spec`, `load_encoder`).

An encoder maps a normalised image (C, H, W) to an embedding of K numbers. A bundled encoder is a pair of files,
`NAME.safetensors` and `NAME.json` (its model card, from which the spec is read), in `assets/encoders/` or, for encoders
that a person trained, in `encoders/` of the cache folder. The encoders of the papers come from timm
(`jepa_core.encoders.catalog`, `jepa_core.encoders.timm_weights`), also with weights given by hand
(`jepa_core.encoders.custom`).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from jepa_core import notices
from jepa_core.config import ASSETS, cache_dir
from jepa_core.encoders import catalog, timm_weights
from jepa_core.encoders.card import spec_from_card
from jepa_core.encoders.encoder import Encoder, build_net, choose_device
from jepa_core.encoders.spec import EncoderSpec
from jepa_core.errors import EncoderError, UnknownName
from jepa_core.progress import Progress, silent

if TYPE_CHECKING:
    from jepa_core.encoders.network import EncoderNet


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
