"""Several encoders on the same sets, each measured by its own reference."""

import numpy as np
import pandas as pd
import pytest

from jepa_core.analysis.side_by_side import by_encoder, in_spreads, in_words, line, middles
from jepa_core.errors import NotEnoughData
from jepa_core.stats.metrics import separation

RNG = np.random.default_rng(0)


def table(scores: object, name: str = "d") -> pd.DataFrame:
    values = np.asarray(scores, dtype=float)
    return pd.DataFrame({"digest": [f"{name}{place}" for place in range(len(values))], "jepa_score": values})


def test_a_normal_reference_is_measured_in_standard_deviations():
    normal = RNG.normal(-40, 3, 20_000)
    assert in_spreads(np.array([-40.0, -37.0, -46.0]), normal) == pytest.approx([0, 1, -2], abs=0.06)


def test_no_scale_of_an_encoder_is_left_and_odd_images_do_not_move_it():
    scores, normal = RNG.normal(size=50), RNG.normal(size=200)
    assert np.allclose(in_spreads(scores, normal), in_spreads(7 * scores - 3, 7 * normal - 3))
    odd = np.where(np.arange(200) == np.argmax(normal), 1e9, normal)
    assert np.allclose(in_spreads(scores, normal), in_spreads(scores, odd))


@pytest.mark.parametrize(("reference", "sentence"), [([], "no scored images"), ([1.0, 1, 1, 1, 2], "have one score")])
def test_a_reference_without_a_spread_measures_nothing(reference, sentence):
    with pytest.raises(NotEnoughData, match=sentence):
        in_spreads(np.zeros(3), np.array(reference, dtype=float))


def test_a_line_places_a_set_beside_the_reference_of_the_same_encoder():
    normal, foreign = table(RNG.normal(size=80), "n"), table(RNG.normal(-1, 1, 60), "f")
    found = line("a", "Foreign", foreign, normal)
    assert (found["encoder"], found["domain"], found["images"]) == ("a", "Foreign", 60)
    spread = in_spreads(foreign["jepa_score"].to_numpy(), normal["jepa_score"].to_numpy())
    assert [found[name] for name in ("q25", "median", "q75")] == pytest.approx(np.quantile(spread, [0.25, 0.5, 0.75]))
    apart = separation(-normal["jepa_score"].to_numpy(), -foreign["jepa_score"].to_numpy())
    assert {name: found[name] for name in apart if not name.startswith("aupr")} == {
        name: value for name, value in apart.items() if not name.startswith("aupr")
    }


def test_an_image_of_the_reference_is_no_outlier():
    normal = table([1.0, 2, 3, 4, 5], "n")
    assert np.isnan(line("a", "Reference", normal, normal)["auroc"])
    mixed = pd.concat([normal, table([-9.0], "f")])
    assert line("a", "Mixed", mixed, normal)["auroc"] == 1.0


def lines(**aurocs: tuple[float, float]) -> pd.DataFrame:
    """Sets with (AUROC by a, AUROC by b), each with an interval of 0.1 to either side."""
    return pd.DataFrame(
        [
            {"encoder": encoder, "domain": domain, "auroc": value, "auroc_low": value - 0.1, "auroc_high": value + 0.1}
            for domain, found in aurocs.items()
            for encoder, value in zip("ab", found, strict=True)
        ]
    )


def test_what_encoders_agree_on_and_where_they_contradict_each_other_is_said():
    words = in_words(lines(Noise=(0.9, 0.8), Flat=(0.1, 0.3), Shapes=(0.9, 0.2), Tiles=(0.9, 0.55)), "Digits")
    assert words == (
        "All encoders find Noise less likely than Digits. All encoders find Flat likelier than Digits. They contradict "
        "each other on Shapes: less likely than Digits for some, likelier for others. On Tiles some see no difference."
    )


def test_one_encoder_alone_contradicts_nobody():
    alone = lines(Noise=(0.9, 0.8)).query("encoder == 'a'")
    assert "nothing to compare beside Digits" in in_words(alone, "Digits")
    unknown = lines(Digits=(np.nan, np.nan))
    assert "nothing to compare" in in_words(unknown, "Digits")


def test_the_tables_have_a_column_for_each_encoder_and_a_row_for_each_set():
    found = lines(Digits=(np.nan, np.nan), Noise=(0.9, 0.8)).query("not (encoder == 'b' and domain == 'Noise')")
    assert by_encoder(found, "auroc", ["a", "b"]) == {"a": [None, "0.90 (0.80 to 1.00)"], "b": [None, None]}
    quartiles = found.assign(median=1.26, q25=-0.04, q75=2.0)
    assert middles(quartiles, ["a"]) == {"a": ["1.3 (-0.0 to 2.0)"] * 2}
