"""References as they look after an ordinary disturbance: is a picture one of them that was darkened, or a foreign one?

A Gaussian is fitted on the fingerprints (layers' sizes and visible measures side by side) of images that belong, one
on those of copies of them disturbed in each way of `jepa_core.datasets.disturbances`. The largest log-likelihood ratio
of a disturbance finds the disturbed among the references, and whether a picture lies where the disturbed copies lie
says that it was one of them. The embedding is left out: it tells neither better, and its length is that of the encoder.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from PIL import Image

from jepa_core import images
from jepa_core.config import ASSETS
from jepa_core.confounds import visible
from jepa_core.datasets.disturbances import KINDS, disturb
from jepa_core.datasets.spec import Item
from jepa_core.decoding.sandbox import DecodingCancelled
from jepa_core.detectors.standardised import RIDGE, Standardised
from jepa_core.encoders.spec import EncoderSpec
from jepa_core.errors import JepaError, NotEnoughData
from jepa_core.files import replace_file
from jepa_core.keys import make_key
from jepa_core.progress import Cancelled, Progress, never, silent
from jepa_core.scoring.batches import look_work
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.store import sketches
from jepa_core.store.results import Store

VERSION = 1
"""To be raised when copies are made otherwise, so that kept ones are not mixed with new ones."""
COUNT = 300
"""Pictures that are disturbed in each way: fewer leave the Gaussians too wide to tell anything."""
LEAST = 200
"""Copies of a kind that a Gaussian needs: of fewer it is so wide that drawn foreign pictures pass for disturbed."""
_PARTS = 5  # folds of the cross-validation
_SEED = 0
_ROOM = 4  # times the encoder's input that a picture may be large: more would be averaged away in it


@dataclass(frozen=True, eq=False)
class Disturbed:
    """Where one picture lies among the disturbed references.

    `kind` is the likeliest disturbance, `p` the share of references disturbed like that which lie as far from the
    others: small for a picture that is none of them.
    """

    kind: str
    p: float


def make(
    output: EncoderOutput, items: Sequence[Item], progress: Progress = silent, cancelled: Cancelled = never
) -> dict[str, Float[ndarray, "n d"]]:
    """The fingerprints of disturbed copies of at most `COUNT` of the items, by the kind; {} once it is cancelled.

    {} for fewer than `LEAST` items, too.
    Pictures that cannot be read are left out; of items that are only listed nothing comes.
    """
    if len(items) < LEAST:
        return {}
    rng = np.random.default_rng(_SEED)
    chosen = [items[place] for place in rng.permutation(len(items))[:COUNT]]
    found: dict[str, list[ndarray]] = {kind: [] for kind in KINDS}
    for done, item in enumerate(chosen):
        if cancelled():
            return {}
        try:
            picture = images.decode(item.read(), item.name, cancelled).image.convert("RGB")
        except DecodingCancelled:
            return {}
        except JepaError:
            continue
        for kind, row in _of_copies(output, picture, rng).items():
            found[kind].append(row)
        progress(done + 1, len(chosen))
    return {kind: np.stack(rows).astype(np.float32) for kind, rows in found.items() if rows}


def _kinds(spec: EncoderSpec) -> list[str]:
    """What an encoder can see: one of grey pictures sees no colours go."""
    return [kind for kind in KINDS if kind != "no colour" or spec.data_config["input_size"][0] > 1]


def _of_copies(output: EncoderOutput, picture: Image.Image, rng: np.random.Generator) -> dict[str, ndarray]:
    import torch

    encoder, config = output.loaded, output.spec.data_config
    side = _ROOM * max(config["input_size"][1:])
    if max(picture.size) > side:
        picture = picture.copy()
        picture.thumbnail((side, side))
    copies = {kind: disturb(kind, picture, rng) for kind in _kinds(output.spec)}
    inputs = torch.stack([encoder.preprocess(copy) for copy in copies.values()])
    found = {}
    for (kind, copy), look in zip(copies.items(), look_work(output).results(list(copies), inputs), strict=True):
        if look is not None:
            seen = visible.measured(images.crop(copy, config), images.scale(copy, config))
            found[kind] = np.concatenate([look.sizes, seen])
    return found


class Disturbances:
    """Gaussians of the references as they are, `clean` (n, d), and of their disturbed copies, by the kind.

    Raises `NotEnoughData` for fewer than `LEAST` copies of a kind, and for no kind.
    """

    def __init__(self, clean: Float[ndarray, "n d"], copies: Mapping[str, Float[ndarray, "m d"]]) -> None:
        fewest = min(map(len, copies.values()), default=0)
        if fewest < LEAST:
            raise NotEnoughData(f"There are {fewest} disturbed copies of a kind; at least {LEAST} are needed.")
        self.kinds = tuple(copies)
        within = np.vstack([values - values.mean(axis=0) for values in copies.values()])
        self._scale = Standardised(within)
        self._clean = _Gaussian(self._scale(clean))
        self._of = {kind: _Gaussian(self._scale(values)) for kind, values in copies.items()}
        # What a copy has that its Gaussian was not fitted on, so that a picture may be compared with it.
        self._left_out = {kind: np.sort(_left_out(self._scale(values))) for kind, values in copies.items()}

    def ratio(self, given: Float[ndarray, "q d"]) -> Float[ndarray, "q"]:
        """The largest log-likelihood ratio of a disturbance against none: large for a disturbed picture."""
        values = self._scale(given)
        clean = self._clean.log_density(values)
        return np.max([gaussian.log_density(values) - clean for gaussian in self._of.values()], axis=0)

    def place(self, given: Float[ndarray, "q d"]) -> list[Disturbed]:
        """The likeliest disturbance of each picture, and whether it lies among its copies."""
        values = self._scale(given)
        found = []
        for row in values:
            shares = {}
            for kind, gaussian in self._of.items():
                apart = gaussian.squared(row[None])[0]
                known = self._left_out[kind]
                shares[kind] = (1 + len(known) - np.searchsorted(known, apart)) / (len(known) + 1), -apart
            kind = max(shares, key=lambda name: shares[name])
            found.append(Disturbed(kind, float(shares[kind][0])))
        return found


class _Gaussian:
    """A Gaussian whose covariance has `RIDGE` on the diagonal."""

    def __init__(self, values: Float[ndarray, "n d"]) -> None:
        self._mean = values.mean(axis=0)
        covariance = np.cov(values.T, bias=True) + RIDGE * np.eye(values.shape[1])
        self._precision = np.linalg.inv(covariance)
        self._log_volume = 0.5 * np.linalg.slogdet(covariance)[1]

    def squared(self, values: Float[ndarray, "q d"]) -> Float[ndarray, "q"]:
        """The squared Mahalanobis distances."""
        apart = values - self._mean
        return np.einsum("nd,nd->n", apart @ self._precision, apart)

    def log_density(self, values: Float[ndarray, "q d"]) -> Float[ndarray, "q"]:
        """Up to a constant that all of them share."""
        return -0.5 * self.squared(values) - self._log_volume


def _left_out(values: Float[ndarray, "n d"]) -> Float[ndarray, "n"]:
    """The squared distance of each row to the Gaussian of the rows of the other parts."""
    part = np.arange(len(values)) % _PARTS
    found = np.zeros(len(values))
    for one in range(min(_PARTS, len(values))):
        found[part == one] = _Gaussian(values[part != one]).squared(values[part == one])
    return found


# --- kept and shipped -------------------------------------------------------------------------------------------------


def _key(output: EncoderOutput, digests: Iterable[str]) -> str:
    """Of the copies of images of these digests, as an encoder output sees them."""
    return make_key("disturbed", VERSION, output.space, *sorted(digests))


def keep(store: Store, output: EncoderOutput, digests: Iterable[str], copies: Mapping[str, ndarray]) -> None:
    """Keep the copies made of images with these digests."""
    sketches.put_arrays(store, _key(output, digests), copies)


def load(store: Store, output: EncoderOutput, digests: Iterable[str]) -> dict[str, ndarray]:
    """The copies made of images with these digests: kept ones, or those that ship with the encoder; {} for none."""
    key = _key(output, digests)
    if kept := sketches.arrays(store, key):
        return kept
    path = shipped_path(output.spec, output.name)
    if not path.exists():
        return {}
    found = _read(path, path.stat().st_mtime_ns)
    return {kind: values for kind, values in found.items() if kind != "key"} if str(found["key"]) == key else {}


def shipped_path(spec: EncoderSpec, output: str) -> Path:
    """Where the copies lie that ship with an encoder's output, whether there are any or not."""
    return ASSETS / "disturbed" / f"{spec.name}-{output}.npz"


def ship(output: EncoderOutput, digests: Iterable[str], copies: Mapping[str, ndarray]) -> Path:
    """Write copies to where they ship: in float16, which rounds by less than a thousandth."""
    path = shipped_path(output.spec, output.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    rounded = {kind: values.astype(np.float16) for kind, values in copies.items()}
    key = _key(output, digests)

    def write(to: Path) -> None:
        with to.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, key=np.array(key), **rounded)

    replace_file(path, write)
    return path


@lru_cache(maxsize=4)
def _read(path: Path, _changed: int) -> dict[str, ndarray]:
    with np.load(path, allow_pickle=False) as found:
        return {name: found[name] if name == "key" else found[name].astype(np.float32) for name in found.files}
