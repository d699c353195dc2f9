"""JEPA-SCORE as a detector of pytorch-ood (https://github.com/kkirchheim/pytorch-ood).

With pytorch-ood installed, `JEPAScore` is one of its detectors; without it, a plain class that does the same. The sign
is that library's: larger is more of an outlier.

    from jepa_core.integrations.pytorch_ood import JEPAScore
    from pytorch_ood.metrics import OODMetrics

    detector, metrics = JEPAScore("digits"), OODMetrics()
    for x, y in loader:                              # y < 0: out of distribution
        metrics.update(detector(x), y)
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from jepa_core.encoders.registry import load_encoder
from jepa_core.errors import EncoderError
from jepa_core.jacobian.score_variants import VARIANTS
from jepa_core.scoring.batches import exact_work
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.store.records import Result

if TYPE_CHECKING:
    from jepa_core.encoders.encoder import Encoder

try:
    from pytorch_ood.api import Detector
except ImportError:
    Detector = object


class JEPAScore(Detector):
    """Outlier score: minus the JEPA-SCORE, `-sum(log(sigma_k))` over the encoder's rank, from the Jacobian at x.

    Args:
        encoder: an encoder that is loaded, or the name of one (`list_encoders`).
        output: which tensor of it; its default for None.

    Source: Balestriero, Ballas, Rabbat, LeCun, arXiv 2510.05949, Eq. 5.
    """

    def __init__(self, encoder: "Encoder | str" = "digits", output: str | None = None) -> None:
        super().__init__()
        self._output = EncoderOutput.of(load_encoder(encoder) if isinstance(encoder, str) else encoder, output)

    def __call__(self, x: Tensor) -> Tensor:
        """The same as `predict`."""
        return self.predict(x)

    def fit(self, data_loader: Iterable[Any] | None = None, device: Any = None) -> "JEPAScore":  # noqa: ARG002
        """Nothing to learn: the encoder has learned it."""
        return self

    def fit_features(self, x: Tensor | None = None, y: Tensor | None = None) -> "JEPAScore":  # noqa: ARG002
        """Nothing to learn."""
        return self

    def predict(self, x: Tensor) -> Tensor:
        """The outlier score (B) of normalised inputs (B, C, H, W), as `Encoder.preprocess` makes them; float64.

        Not finite where an image's Jacobian is not. Raises `EncoderError` for inputs of another shape.
        """
        encoder = self._output.loaded
        if x.ndim != 4 or tuple(x.shape[1:]) != encoder.input_shape:
            raise EncoderError(
                f"Inputs of shape {tuple(x.shape)} were given to encoder {encoder.spec.name!r}; (batch, "
                f"{', '.join(map(str, encoder.input_shape))}) is accepted; make them with its preprocess."
            )
        work = exact_work(self._output)
        scores = [self._scores(work.results([""] * len(part), part)) for part in x.split(work.size) if len(part)]
        return torch.from_numpy(-np.concatenate([np.empty(0), *scores])).to(x.device)

    def predict_features(self, x: Tensor) -> Tensor:
        """Not to be had: the score is made of the Jacobian at an image, of which an embedding says nothing."""
        raise NotImplementedError(
            f"JEPAScore was given features of shape {tuple(x.shape)}; it is made of the Jacobian at an image, so only "
            "images are accepted; call predict with them."
        )

    def _scores(self, results: list) -> np.ndarray:
        """JEPA-SCOREs of a batch; NaN for one that is not finite."""
        scores = np.full(len(results), np.nan)
        found = [(place, result) for place, result in enumerate(results) if isinstance(result, Result)]
        if found:
            spectra = np.stack([result.spectrum for _place, result in found])
            norms = np.array([result.squared_norm for _place, result in found])
            scores[[place for place, _result in found]] = VARIANTS["jepa"].score(spectra, self._output.rank.rank, norms)
        return scores
