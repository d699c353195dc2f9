"""Maps: neighbours stay neighbours, the same seed gives the same map, and what is kept is found again."""

import numpy as np
import pandas as pd
import pytest

from jepa_core.analysis import lasso, umap, umap_cache
from jepa_core.errors import NotEnoughData, StoreError
from jepa_core.figures.umap import umap_figure
from jepa_core.stats.neighbors import nearest
from jepa_core.store.records import Result, ResultConfig
from jepa_core.store.results import Store

CONFIG = ResultConfig("weights", "{}", "projector")
K = 8
GROUPS = 3
DIGESTS = [f"{number:064x}" for number in range(45)]


def embeddings() -> np.ndarray:
    """Three groups that stand far apart."""
    rng = np.random.default_rng(0)
    centres = 30 * np.eye(K)[:GROUPS]
    return (centres[np.arange(len(DIGESTS)) % GROUPS] + rng.standard_normal((len(DIGESTS), K))).astype(np.float32)


@pytest.fixture
def filled(store: Store) -> Store:
    store.put(
        CONFIG,
        [
            Result(digest, np.ones(K, np.float32), vector, 1.0, 1.0, "cpu")
            for digest, vector in zip(DIGESTS, embeddings(), strict=True)
        ],
    )
    return store


def test_groups_stay_together_and_one_seed_gives_one_map():
    points = embeddings()
    steps = []
    places = umap.umap_places(points, 0, lambda done, total: steps.append((done, total)))
    assert places.shape == (len(points), 2)
    _distances, near = nearest(places, places, 5)
    assert (near % GROUPS == np.arange(len(points))[:, None] % GROUPS).all()
    assert steps[-1] == (500, 500)
    assert np.array_equal(places, umap.umap_places(points, 0))
    assert not np.array_equal(places, umap.umap_places(points, 1))


def test_equal_embeddings_have_places_too():
    places = umap.umap_places(np.ones((12, K), np.float32))
    assert np.isfinite(places).all()


def test_a_map_can_be_cancelled_between_its_steps():
    asked = []

    def cancelled() -> bool:
        asked.append(True)
        return len(asked) > 2

    assert umap.umap_places(embeddings(), cancelled=cancelled) is None


def test_too_few_images_make_no_map():
    with pytest.raises(NotEnoughData, match="There are 9 different images; a map needs at least 10"):
        umap.umap_places(np.zeros((9, K), np.float32))


def test_a_map_that_keeps_everything_is_said_to_and_a_shuffled_one_is_not():
    places = np.random.default_rng(1).standard_normal((60, 2))
    flat = np.column_stack([places, np.zeros((60, 3))]).astype(np.float32)
    assert umap.kept_neighbours(flat, places) == 1
    assert umap.distance_agreement(flat, places) == pytest.approx(1)
    shuffled = np.random.default_rng(2).permutation(places)
    assert umap.kept_neighbours(flat, shuffled) < 0.5
    assert abs(umap.distance_agreement(flat, shuffled)) < 0.3


def test_a_map_is_kept_and_found_again_whatever_the_order_of_the_images(filled: Store, monkeypatch):
    made = umap_cache.make_map(filled, CONFIG.space, DIGESTS)
    monkeypatch.delattr(umap, "umap_places")  # from here on it cannot be drawn
    again = umap_cache.make_map(filled, CONFIG.space, [*reversed(DIGESTS), DIGESTS[0]])
    assert np.array_equal(made.places, again.places)
    assert (made.neighbours, made.distances) == (again.neighbours, again.distances)
    assert np.array_equal(made.of(DIGESTS[3:5]), made.places[3:5])
    assert made.neighbours > 0.5


@pytest.mark.parametrize(
    "other", [("another space", DIGESTS, 0), (CONFIG.space, DIGESTS[1:], 0), (CONFIG.space, DIGESTS, 1)]
)
def test_another_space_image_or_seed_is_another_map(other):
    assert umap_cache.map_key(*other) != umap_cache.map_key(CONFIG.space, DIGESTS, 0)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04nothing", b"x" * 100])
def test_a_damaged_map_counts_as_none(content):
    key = umap_cache.map_key(CONFIG.space, DIGESTS)
    assert umap_cache.kept(key, DIGESTS) is None
    umap_cache.map_path(key).parent.mkdir()
    umap_cache.map_path(key).write_bytes(content)
    assert umap_cache.kept(key, DIGESTS) is None


def test_a_map_of_other_images_under_the_key_counts_as_none():
    key = umap_cache.map_key(CONFIG.space, DIGESTS)
    umap_cache.map_path(key).parent.mkdir()
    np.savez(umap_cache.map_path(key), places=np.zeros((3, 2), np.float32), measured=np.zeros(2))
    assert umap_cache.kept(key, DIGESTS) is None


def test_a_missing_embedding_is_said(store: Store):
    with pytest.raises(StoreError, match="45 of 45 embeddings are not in the store"):
        umap_cache.make_map(store, CONFIG.space, DIGESTS)


# --- what lies on it --------------------------------------------------------------------------------------------------


def table_of(scores: list[float], digests: list[str], label: str = "cat") -> pd.DataFrame:
    return pd.DataFrame(
        {"name": [f"{label}/{score}" for score in scores], "label": label, "digest": digests, "jepa_score": scores}
    )


@pytest.fixture
def placed() -> pd.DataFrame:
    found = umap_cache.Map(("a", "b", "c"), np.array([[0.0, 0.0], [1.0, 1.0], [5.0, 5.0]]), 0.5, 0.25)
    mine, other = table_of([30.0, 10.0, 20.0], ["a", "b", "c"]), table_of([-5.0], ["b"], "dog")
    return umap_cache.placed(found, {"mine": mine, "other": other}, {"mine": "Mine", "other": "Others"})


def test_each_image_has_the_place_of_its_digest_and_its_percentile_among_the_reference(placed):
    assert placed[["x", "y"]].to_numpy().tolist() == [[0, 0], [1, 1], [5, 5], [1, 1]]
    assert placed["set"].tolist() == ["mine", "mine", "mine", "other"]
    assert placed["domain"].tolist() == ["Mine", "Mine", "Mine", "Others"]
    assert placed["percentile"].iloc[0] == placed["percentile"].max()
    assert placed["percentile"].iloc[3] == 0


def test_a_selection_has_the_least_likely_first(placed):
    corners = lasso.read("-1.00,-1.00_2.00,-1.00_2.00,2.00_-1.00,2.00")
    assert umap_cache.selected(placed, corners)["jepa_score"].tolist() == [-5.0, 10.0, 30.0]
    assert umap_cache.selected(placed, []).empty


def test_a_selection_in_words(placed):
    words = umap_cache.in_words(placed, "Mine")
    assert "among Mine" in words
    assert "Domains: Mine (3), Others (1)." in words
    assert "Classes: cat (3), dog (1)." in words


def test_many_classes_are_counted_not_listed():
    table = pd.concat([table_of([1.0], ["a"], f"class {n}") for n in range(9)]).assign(domain="Mine", percentile=50.0)
    assert "and 5 more." in umap_cache.in_words(table, "Mine")


def test_how_far_to_trust_a_map_is_said_in_figures():
    words = umap_cache.trust_in_words(umap_cache.Map((), np.empty((0, 2)), 0.61, 0.27))
    assert "61 % are among its 15 nearest on this map" in words
    assert "Spearman 0.27" in words
    assert "Spearman" not in umap_cache.trust_in_words(umap_cache.Map((), np.empty((0, 2)), 0.61, float("nan")))


@pytest.mark.parametrize("colour", ["percentile", "label", "domain"])
def test_every_image_is_drawn_once(placed, colour):
    groups = umap_cache.common_first(placed[colour].tolist()) if colour != "percentile" else ()
    figure = umap_figure(placed.assign(shown=True), colour, "Mine", groups)
    assert sorted(index for trace in figure.data for index in trace.customdata) == [0, 1, 2, 3]


def test_many_images_are_drawn_by_webgl(placed):
    many = pd.concat([placed] * 300, ignore_index=True).assign(shown=[True, False] * 600)
    figure = umap_figure(many, "label", "Mine", umap_cache.common_first(many["label"].tolist()))
    assert {trace.type for trace in figure.data} == {"scattergl"}
    assert {trace.type for trace in umap_figure(many.iloc[:100], "percentile", "Mine").data} == {"scatter"}


def test_many_images_share_colours_in_bands_and_the_unlikely_lie_on_top(placed):
    percentiles = np.linspace(0, 100, 1200)
    many = pd.concat([placed] * 300, ignore_index=True).assign(shown=True, percentile=percentiles)
    *bands, scale = umap_figure(many, "percentile", "Mine").data
    assert sorted(index for trace in bands for index in trace.customdata) == list(range(1200))
    means = [percentiles[np.array(trace.customdata)].mean() for trace in bands]
    assert means == sorted(means, reverse=True)
    assert all(np.ptp(percentiles[np.array(trace.customdata)]) <= 4.01 for trace in bands)
    assert len({trace.marker.color for trace in bands}) == len(bands) == 25
    assert {trace.type for trace in bands} == {"scattergl"}
    assert scale.marker.colorbar.title.text == "percentile among Mine"


def test_images_of_other_classes_are_faint_and_cannot_be_chosen(placed):
    figure = umap_figure(placed.assign(shown=placed["label"] == "dog"), "percentile", "Mine")
    faint, chosen = figure.data
    assert (len(faint.x), faint.hoverinfo, faint.customdata) == (3, "skip", None)
    assert list(chosen.customdata) == [3]


def test_beyond_forty_classes_the_rare_ones_share_a_colour(placed):
    table = pd.concat([placed.iloc[:1].assign(label=f"class {n}") for n in range(50)], ignore_index=True)
    figure = umap_figure(table.assign(shown=True), "label", "Mine", umap_cache.common_first(table["label"].tolist()))
    assert len(figure.data) == 41
    looks = [(trace.marker.color, trace.marker.symbol) for trace in figure.data]
    assert len(set(looks)) == 41
    assert sum(len(trace.x) for trace in figure.data) == 50


def test_names_from_outside_are_text_on_the_map(placed):
    table = placed.assign(name="<b>x</b>", label="<i>", shown=True)
    figure = umap_figure(table, "label", "Mine", ["<i>"])
    assert "<b>" not in figure.to_json()
    assert figure.data[0].name == "&lt;i&gt;"
