"""The score against a known density: correlations on the `world`'s held-out pictures, overall and factor by factor.

    python benchmarks/world.py [--encoder world] [--output projector] [--part test] [--count 2000]

Printed for each quantity are Pearson's and Spearman's correlation with log p(image), over all factors and over those
that can be read from the embedding, where the training views or the encoder have lost some. Choices are made with
`--part validation`; `test` is for reporting.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from numpy import ndarray
from PIL import Image
from scipy.stats import pearsonr, spearmanr
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import cross_val_predict

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jepa_core.datasets import known_density
from jepa_core.encoders.encoder import Encoder
from jepa_core.encoders.registry import load_encoder
from jepa_core.jacobian import engine as jacobian_engine
from jepa_core.jacobian import spectrum
from jepa_core.jacobian.gram import gram_matrix


def measure(
    encoder: Encoder, output: str, part: str, count: int
) -> tuple[dict[str, ndarray], ndarray, ndarray, ndarray]:
    """What an encoder says of each picture by name; embeddings; kinds; factors."""
    samples = [known_density.sample(part, position) for position in range(count)]
    kinds, factors = np.array([kind for kind, _ in samples]), np.array([factors for _, factors in samples])
    scale = np.array(encoder.data_config["std"])
    engine = jacobian_engine.engine_of(encoder, output)
    rank = encoder.spec.ranks[output].rank
    sigma, embeddings, along, stretch = [], [], np.empty(count), np.empty(count)
    for start in range(0, count, engine.plan.images):
        stop = min(start + engine.plan.images, count)
        pictures = [Image.fromarray(known_density.draw(part, position)) for position in range(start, stop)]
        inputs = torch.stack([encoder.preprocess(picture) for picture in pictures])
        with torch.no_grad():
            embeddings.append(encoder.module(output)(inputs).numpy())
        jacobians = engine.jacobian(inputs).double()
        sigma.append(spectrum.singular_values(gram_matrix(jacobians).numpy()))
        for place in range(start, stop):
            surface = torch.from_numpy(
                known_density.jacobian(known_density.KINDS[kinds[place]], factors[place : place + 1], scale)[0]
            )
            along[place] = _half_logdet(jacobians[place - start] @ surface)
            stretch[place] = _half_logdet(surface)
    spectra, points = np.concatenate(sigma), np.concatenate(embeddings).astype(np.float64)
    norm = np.square(points).sum(axis=1)
    found = {
        "JEPA-SCORE": spectrum.jepa_score(spectra, rank),
        "with the Gaussian term": spectrum.gaussian_score(spectra, rank, norm),
        "Gaussian term alone": -norm / 2,
        # What a unit of the factors becomes, and what a unit of the surface itself becomes.
        "1/2 log det((J_f J_g)^T (J_f J_g))": along,
        "the same - 1/2 log det(J_g^T J_g)": along - stretch,
        "the same + Gaussian term": along - stretch - norm / 2,
    }
    return found, points, kinds, factors


def _half_logdet(matrix: torch.Tensor) -> float:
    """1/2 log det(M^T M)."""
    return torch.linalg.slogdet(matrix.mT @ matrix)[1].item() / 2


def main() -> None:
    """Print the correlations, and how well each factor can be read from the embedding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", default="world")
    parser.add_argument("--output", default="projector")
    parser.add_argument("--part", default="test", choices=["validation", "test"])
    parser.add_argument("--count", type=int, default=2000)
    args = parser.parse_args()
    encoder = load_encoder(args.encoder)
    found, points, kinds, factors = measure(encoder, args.output, args.part, args.count)
    scale = np.array(encoder.data_config["std"])
    read = {}
    for column, name in enumerate(known_density.FACTORS):
        guess = cross_val_predict(HistGradientBoostingRegressor(), points, factors[:, column], cv=5)
        read[name] = 1 - np.mean((factors[:, column] - guess) ** 2) / factors[:, column].var()
    print(f"{args.encoder}, {args.output}, {args.count} pictures of the {args.part} part\n")
    print("How much of each factor can be read from the embedding (R^2, gradient boosting, 5 folds):")
    print(", ".join(f"{name} {share:.2f}" for name, share in read.items()), "\n")
    left = tuple(column for column, name in enumerate(known_density.FACTORS) if read[name] > 0.5)
    truths = {"all factors": known_density.log_density(kinds, factors, scale)}
    if 0 < len(left) < len(known_density.FACTORS):
        truths[" ".join(known_density.FACTORS[column] for column in left)] = known_density.log_density(
            kinds, factors, scale, left
        )
    print("| |", " | ".join(f"{name}: Pearson | Spearman" for name in truths), "|")
    print("|---|", "---|---|" * len(truths))
    for name, values in found.items():
        cells = [
            f"{pearsonr(values, truth).statistic:.3f} | {spearmanr(values, truth).statistic:.3f}"
            for truth in truths.values()
        ]
        print(f"| {name} |", " | ".join(cells), "|")
    within = [
        np.mean(
            [spearmanr(values[kinds == kind], truths["all factors"][kinds == kind]).statistic for kind in set(kinds)]
        )
        for values in found.values()
    ]
    print(
        "\nSpearman within a kind, mean over kinds:",
        ", ".join(f"{name} {rho:.3f}" for name, rho in zip(found, within, strict=True)),
    )


if __name__ == "__main__":
    main()
