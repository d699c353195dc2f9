"""Which end of the spectrum separates two domains: by index against the plain AUROC, and planted cases in words."""

from dataclasses import replace

import numpy as np
import pytest

from jepa_core.analysis.spectrum_bands import SpectrumBand, in_words, spectrum_bands, spectrum_bands_between
from jepa_core.datasets.registry import get_dataset, sample
from jepa_core.errors import NotEnoughData
from jepa_core.figures.spectrum_bands import spectrum_bands_figure
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.stats.metrics import auroc, interval, resampled
from tests.helpers import run, score

RANK, QUARTER = 12, 3


def spectra(seed: int, count: int, head: float = 0.0, tail: float = 0.0) -> np.ndarray:
    """Log-normal spectra with noise behind the rank; the ends are moved by so many standard deviations."""
    logs = np.random.default_rng(seed).normal(size=(count, RANK)) + 3 * np.arange(RANK, 0, -1)
    logs[:, :QUARTER] += head
    logs[:, -QUARTER:] += tail
    return np.concatenate([np.exp(logs), np.full((count, 2), 1e-7)], axis=1)


NORMAL = spectra(0, 80)


def test_every_index_has_the_auroc_of_its_own_sum():
    foreign = spectra(1, 60, head=-0.5, tail=0.4)
    found = spectrum_bands(NORMAL, foreign, RANK)
    near, far = np.log(NORMAL), np.log(foreign)
    for k in range(RANK):
        assert found.single[k] == pytest.approx(auroc(-near[:, k], -far[:, k]))
        assert found.from_top[k] == pytest.approx(auroc(-near[:, : k + 1].sum(1), -far[:, : k + 1].sum(1)))
        assert found.from_bottom[k] == pytest.approx(auroc(-near[:, k:RANK].sum(1), -far[:, k:RANK].sum(1)))
    tail = [-one[:, RANK - QUARTER : RANK].sum(1) for one in (near, far)]
    assert found.head.auroc == pytest.approx(found.from_top[QUARTER - 1])
    assert found.tail == SpectrumBand(auroc(*tail), *interval(resampled(*tail)["auroc"]))
    assert (found.quarter, found.inliers, found.outliers) == (QUARTER, 80, 60)
    assert found.from_top[-1] == pytest.approx(found.from_bottom[0])


@pytest.mark.parametrize(
    ("head", "tail", "begins", "ends_with"),
    [
        (
            -2.0,
            0.0,
            "The head of the spectrum separates noise from digits, the tail does not. AUROC of the largest 3 of 12",
            "of all: ",
        ),
        (0.0, -2.0, "The tail of the spectrum separates noise from digits, the head does not.", "of all: "),
        (-2.0, -0.7, "The head of the spectrum separates noise from digits, more than the tail does.", "of all: "),
        (0.0, 2.0, "The tail of the", "The tail is upside down: there the singular values are larger for noise."),
        (-2.0, -2.0, "Both ends of the spectrum separate noise from digits, about equally well.", "of all: "),
        (
            -1.0,
            1.0,
            "Both ends of the spectrum separate",
            "The two ends point opposite ways, so adding all up hides a part of what each shows.",
        ),
        (2.0, 2.0, "Both ends", "Both ends are upside down: there the singular values are larger for noise."),
        (0.0, 0.0, "Neither end of the spectrum separates noise from digits.", "of all: "),
    ],
)
def test_planted_ends_are_named(head, tail, begins, ends_with):
    words = in_words(spectrum_bands(NORMAL, spectra(1, 80, head, tail), RANK), "noise", "digits")
    assert words.startswith(begins)
    assert ends_with in words
    assert ends_with == "of all: " or words.endswith(ends_with)


def test_an_end_that_does_not_separate_is_not_called_one_of_both():
    found = replace(
        spectrum_bands(NORMAL, NORMAL, RANK),
        head=SpectrumBand(0.41, 0.38, 0.44),
        tail=SpectrumBand(0.38, 0.35, 0.42),
        stronger="",
    )
    assert found.separating == "tail"
    assert "The tail of the spectrum separates noise from digits, the head does not." in in_words(
        found, "noise", "digits"
    )


def test_an_end_near_chance_does_not_separate_however_sure_it_is():
    assert not SpectrumBand(0.56, 0.55, 0.57).separates
    assert not SpectrumBand(0.70, 0.49, 0.80).separates
    assert SpectrumBand(0.70, 0.60, 0.80).separates
    assert SpectrumBand(0.20, 0.10, 0.30).separates


def test_a_zero_singular_value_is_the_least_likely():
    foreign = NORMAL.copy()
    foreign[:, RANK - 1] = 0.0
    found = spectrum_bands(NORMAL, foreign, RANK)
    assert found.single[-1] == found.tail.auroc == found.from_top[-1] == 1.0
    assert found.head.auroc == 0.5


def test_the_ends_of_stored_spectra_leave_out_images_of_the_reference(store, tiny, folder):
    score(store, tiny, "digits-test", sample(get_dataset("digits-test"), 20, seed=0), whole=False)
    run(store, tiny, folder)
    name = f"folder:{folder}"
    output = EncoderOutput(tiny.spec, "projector")
    found = spectrum_bands_between(store, output, "digits-test", name)
    rows = [store.rows(output.config(), one).spectra for one in ("digits-test", name)]
    rank = output.rank.rank
    assert found.single.tolist() == spectrum_bands(*rows, rank).single.tolist()
    own = sample(get_dataset("digits-test"), 20, seed=0)[0]
    (folder / "same.ppm").write_bytes(own.read())
    run(store, tiny, folder)
    assert spectrum_bands_between(store, output, "digits-test", name).outliers == len(rows[1])
    with pytest.raises(NotEnoughData, match=r"asked of 20 images of digits-test and 0 others of digits-test; at least"):
        spectrum_bands_between(store, output, "digits-test", "digits-test")


def test_the_figure_shows_the_three_curves_and_shades_both_ends():
    found = spectrum_bands(NORMAL, spectra(1, 60, head=-1.0), RANK)
    figure = spectrum_bands_figure(found.single, found.from_top, found.from_bottom, found.quarter)
    assert [trace.y.tolist() for trace in figure.data] == [
        found.single.tolist(),
        found.from_top.tolist(),
        found.from_bottom.tolist(),
    ]
    assert all(trace.x.tolist() == list(range(1, RANK + 1)) for trace in figure.data)
    shades = [(shape.x0, shape.x1) for shape in figure.layout.shapes if shape.type == "rect"]
    assert shades == [(0.5, 3.5), (9.5, 12.5)]
