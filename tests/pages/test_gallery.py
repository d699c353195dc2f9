"""The Gallery through AppTest: a range of scores, all images in order, and the selection."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from jepa_core.analysis import curation
from jepa_core.cli import app as app_command
from jepa_core.confounds import measure, two_ends
from jepa_core.encoders.registry import get_spec
from jepa_core.jacobian.spectrum import Rank
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.store.results import Store
from pages._sections.gallery import selection
from pages._shared import dataset_picker, image_grid, resources, score_tables
from pages._shared.text import escaped
from tests.helpers import cards, grids, picture, tell
from tests.pages.test_pages import ROOT, assert_no_error, choose_folder, settled, write_digits


def look(app: AppTest, view: str) -> AppTest:
    return app.segmented_control(key="show").set_value(view).run()


def scores_of(grid: list[dict]) -> list[float]:
    return [float(card["title"]) for card in grid]


def texts(app: AppTest) -> str:
    return " ".join(element.value for kind in (app.markdown, app.caption, app.info, app.warning) for element in kind)


def follow(**query: str) -> AppTest:
    """Open the Gallery by a link, in a session of its own."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    for name, value in query.items():
        app.query_params[name] = value
    return app.run()


@pytest.mark.usefixtures("open_page")
def test_a_range_of_scores_comes_with_a_link_and_goes_with_a_button() -> None:
    app = follow(range="-25:-22.5")
    assert_no_error(app)
    assert app.slider(key="span").value == (-25.0, -22.5)
    found = [score for grid in grids(app).values() for score in scores_of(grid)]
    assert found
    assert -25.1 < min(found) <= max(found) < -22.4
    app = next(button for button in app.button if button.label == "All scores").click().run()
    assert "range" not in app.query_params
    assert min(score for grid in grids(app).values() for score in scores_of(grid)) < -25.1


@pytest.mark.usefixtures("open_page")
def test_the_address_that_the_terminal_opens_is_that_of_the_folder(tmp_path: Path) -> None:
    write_digits(tmp_path / "mine", range(6))
    for name in (str(tmp_path / "mine"), "shapes"):
        query, dataset = app_command.address_of(name), resources.dataset(name)
        assert query == dataset_picker.address_of(dataset)
        app = follow(**query)
        assert_no_error(app)
        assert app.selectbox(key="dataset").value == query["dataset"]


def test_the_slider_chooses_scores_and_the_address_follows(open_page: Callable[..., AppTest]) -> None:
    app = open_page()
    app = app.slider(key="span").set_value((-20.0, -15.0)).run()
    assert app.query_params["range"] == "-20.0:-15.0"
    assert max(scores_of(grids(app)["most"])) < -14.9
    app.selectbox(key="dataset").select("digits-validation").run()
    assert_no_error(app)
    assert "range" not in app.query_params, "scores of another set"


def test_all_images_are_there_in_order_a_page_at_a_time(open_page: Callable[..., AppTest]) -> None:
    app = look(open_page(), "order")
    assert_no_error(app)
    seen, found = [], []
    while True:
        [grid] = grids(app).values()
        seen += [card["id"] for card in grid]
        found += scores_of(grid)
        following = app.button(key="part-next")
        if following.disabled:
            break
        app = following.click().run()
    assert len(seen) == 360
    assert found == sorted(found)
    assert app.query_params["part"] == "6"
    app = app.segmented_control(key="order").set_value("falling").run()
    assert "part" not in app.query_params, "another order starts at its first page"
    assert grids(app)["order"][0]["title"] == f"{found[-1]:.1f}"


@pytest.mark.parametrize("given", ["99", "0", "-1", "x", "²"])
@pytest.mark.usefixtures("open_page")
def test_a_page_that_is_none_in_a_link_is_the_nearest(given: str) -> None:
    app = follow(show="order", part=given)
    assert_no_error(app)
    assert len(grids(app)["order"]) == 60
    assert app.query_params.get("part", "1") == ("6" if given == "99" else "1")


def pick(app: AppTest, grid: str, *places: int) -> AppTest:
    chosen = [grids(app)[grid][place] for place in places]
    return tell(app, grid, "picked", [{"id": card["id"], "set": card["set"], "on": True} for card in chosen])


def test_the_selection_is_shown_in_the_order_of_picking_over_datasets_and_cleared(
    open_page: Callable[..., AppTest],
) -> None:
    app = pick(open_page(), "most", 3, 0)
    expected = [grids(app)["most"][place]["id"] for place in (3, 0)]
    app.selectbox(key="dataset").select("digits-validation").run()
    app = pick(app, "least", 1)
    expected.append(grids(app)["least"][1]["id"])
    app = look(app, "selection")
    assert_no_error(app)
    assert [card["id"] for card in grids(app)["selection"]] == expected
    assert "**3 images** of 2 datasets selected" in texts(app)
    app = next(button for button in app.button if button.label == "Clear").click().run()
    assert cards(app) == []
    assert "Nothing is selected" in texts(app)


def test_picks_outlast_the_folder_that_they_were_made_in(open_page: Callable[..., AppTest], tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    write_digits(folder, range(6))
    app = pick(choose_folder(open_page(), folder), "least", 0)
    for path in folder.iterdir():
        path.unlink()
    resources.forget_listings()
    app.selectbox(key="dataset").select("digits-test").run()
    app = look(app, "selection")
    assert_no_error(app)
    assert "1 image without a score of this encoder and method cannot be shown" in texts(app)


def test_both_lists_download_as_parquet_with_embeddings(open_page: Callable[..., AppTest]) -> None:
    app = pick(open_page(), "least", 0)
    choice, dataset = app.session_state["choice"], resources.dataset("digits-test")
    table = score_tables.ranked(choice, dataset, None)
    members = {"digits-test": resources.store().members("digits-test")}
    chosen = dict.fromkeys(app.session_state["picked"], "digits-test")
    for written in (
        curation.picked(members, chosen, {"digits-test": table}),
        curation.decide(score_tables.scores(choice, dataset), 5, "digits-test"),
    ):
        back = pd.read_parquet(io.BytesIO(selection._as_parquet(choice, written)))
        assert back["digest"].tolist() == written["digest"].tolist()
        kept = resources.store().embeddings(choice.encoder_output.space, written["digest"].tolist())
        assert (np.stack(back["embedding"]) == kept).all()


def test_scores_that_another_process_writes_are_seen_at_the_next_run(
    open_page: Callable[..., AppTest], tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    write_digits(folder, range(6))
    app = choose_folder(open_page(), folder)
    choice, dataset = app.session_state["choice"], resources.dataset(str(folder))
    before, table = score_tables.version(choice, dataset), score_tables.scores(choice, dataset)
    assert score_tables.scores(choice, dataset) is table, "nothing was written, so nothing is read"
    Store().put_crops("x", {"a": b"y"})
    assert score_tables.version(choice, dataset) == before, "what was written has nothing to do with these scores"
    Store().forget_members(dataset.name, ["0.ppm"])
    assert score_tables.version(choice, dataset) != before
    assert len(score_tables.scores(choice, dataset)) == 5
    assert score_tables.missing_count(choice, dataset) == 1


def test_a_thumbnail_is_made_once(
    open_page: Callable[..., AppTest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jepa_core import images

    made: list[int] = []
    thumbnail = images.thumbnail
    monkeypatch.setattr(images, "thumbnail", lambda image, size: made.append(1) or thumbnail(image, size))
    folder = tmp_path / "large"
    folder.mkdir()
    for seed in range(4):
        picture(seed).resize((300, 200)).save(folder / f"{seed}.png")
    app = open_page()
    made.clear()
    app = settled(choose_folder(app, folder))
    count = len(made)
    assert 0 < count <= 4
    app = app.run()
    assert len(made) == count
    image_grid._addresses().clear()
    app = app.run()
    assert len(made) == count, "after a restart they come from the store"
    assert all(card["source"].startswith("data:image/png") for card in cards(app))


def test_what_calibration_shows_beside_the_rank_stands_below_the_scores(open_page: Callable[..., AppTest]) -> None:
    app = open_page()
    assert "scores are summed over" not in texts(app)
    rank = Rank(9, "none (16), but 8 calibration images show 9 above rounding noise; scores are summed over 16")
    Store().put_rank(EncoderOutput.of(get_spec("digits")).space, rank, over=True)
    app.run()
    assert_no_error(app)
    assert "show 9 above rounding noise; scores are summed over 16" in texts(app)


@pytest.mark.usefixtures("open_page")
def test_a_set_whose_pictures_are_not_here_shows_its_classes_and_no_picture() -> None:
    app = settled(follow(encoder="photo", dataset="imagenette-val"))
    assert_no_error(app)
    assert not grids(app)
    assert "Classes" in [heading.value for heading in app.header]
    [table] = [element.value for element in app.dataframe]
    assert len(table) == 10
    assert table["images"].sum() == 1000
    assert table["median"].is_monotonic_increasing
    assert (table["least"] <= table["median"]).all()
    assert "golf ball" in table.index
    [link] = [one for one in app.get("page_link") if "Download the whole photos" in one.proto.label]
    assert "find=Imagenette" in link.proto.query_string


def test_a_sentence_says_what_sets_the_ends_apart_as_the_measures_of_the_shown_pictures_do(
    open_page: Callable[..., AppTest],
) -> None:
    app = settled(open_page())
    app = settled(app.selectbox(key="dataset").select("shapes").run())
    assert_no_error(app)
    store, shown = resources.store(), grids(app)
    space = measure.space_of(get_spec("digits").transform)
    ends = [
        np.stack(list(store.measures(space, [card["id"] for card in shown[end]]).values())) for end in ("least", "most")
    ]
    expected = two_ends.in_words(*ends)
    assert "brightness: the least likely are bright" in expected
    assert escaped(expected) in [element.value for element in app.markdown]
    assert [element.value for element in app.caption if "is its percentile" in element.value]


def test_a_slider_that_did_not_hear_of_new_limits_chooses_no_range(open_page: Callable[..., AppTest]) -> None:
    app = open_page()
    low, high = app.slider(key="span").value
    app.session_state["span-limits"] = [(low + 3, high - 3), (low, high)]  # as while scores were arriving
    app = app.slider(key="span").set_value((low + 3, high - 3)).run()
    assert "range" not in app.query_params
    assert app.slider(key="span").value == (low, high)
    app = app.slider(key="span").set_value((low + 3, high)).run()
    assert app.query_params["range"] == f"{low + 3:.1f}:{high:.1f}"
    app = app.slider(key="span").set_value((low, high)).run()
    assert "range" not in app.query_params
