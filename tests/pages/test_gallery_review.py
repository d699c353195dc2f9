"""The Gallery's view "To review", and the tags of a selection, through AppTest."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from jepa_core.analysis import curation_figures
from jepa_core.store import tags
from jepa_core.store.results import Store
from pages._sections.gallery import selection
from pages._shared import resources, tagging
from tests.helpers import grids
from tests.pages.test_gallery import follow, look, pick, texts
from tests.pages.test_pages import assert_no_error, choose_folder, settled


def press(app: AppTest, label: str) -> AppTest:
    return next(button for button in app.button if button.label == label).click().run()


def reviewed(app: AppTest) -> AppTest:
    return settled(look(app, "curate"))


def test_a_share_of_each_class_is_listed_with_reasons_before_it_is_exported(open_page: Callable[..., AppTest]) -> None:
    app = reviewed(open_page())
    assert_no_error(app)
    assert "Nothing is deleted here: you get a list." in texts(app)
    counts = app.dataframe[0].value.set_index("label")
    assert (counts["review"] == counts["images"] * 5 // 100).all()
    assert f"These are **{counts['review'].sum()} images** of 360" in texts(app)
    shown = grids(app)["review"]
    assert len(shown) == counts["review"].sum()
    assert any("98 % of its class have" in " ".join(card["aside"]) for card in shown)
    assert all(card["aside"][0] in card["alt"] for card in shown if card["aside"])
    app.selectbox(key="class").select("3").run()
    assert len(grids(app)["review"]) == counts["review"]["3"]


def test_by_score_the_least_likely_of_each_class_come_as_they_did(open_page: Callable[..., AppTest]) -> None:
    app = reviewed(open_page())
    app.selectbox(key="by").select("score").run()
    app.selectbox(key="class").select("3").run()
    assert_no_error(app)
    listed = [card["id"] for card in grids(app)["review"]]
    least = look(app, "ends")
    assert listed
    assert [card["id"] for card in grids(least)["least"][: len(listed)]] == listed


@pytest.mark.usefixtures("open_page")
def test_an_address_of_an_earlier_version_opens_the_view_with_its_share() -> None:
    app = settled(follow(show="curate", drop="10.0"))
    assert_no_error(app)
    counts = app.dataframe[0].value
    assert (counts["review"] == counts["images"] // 10).all()


def test_a_share_that_has_nothing_says_so(open_page: Callable[..., AppTest]) -> None:
    app = reviewed(open_page())
    app = app.slider(key="drop").set_value(0.5).run()
    assert_no_error(app)
    assert "These are **0 images**" in texts(app)
    assert "10 classes too small for 0.5 % have none" in texts(app)


def test_the_page_says_on_what_evidence_an_order_rests(
    open_page: Callable[..., AppTest], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "curation.csv"
    path.write_text(
        "set,encoder,planted,kind,order,precision,precision_low,precision_high\n"
        "Scenes,photo,foreign,all mixed,all,0.83,0.7,0.9\nScenes,photo,foreign,Shapes,all,0.1,0.1,0.1\n"
    )
    monkeypatch.setattr(curation_figures, "PATH", path)
    curation_figures._rows.cache_clear()
    try:
        app = reviewed(open_page())
        assert "as many as were planted, had 83 % (70 to 90) of the foreign pictures." in texts(app)
        assert "10 %" not in texts(app)
    finally:
        curation_figures._rows.cache_clear()


def test_pairs_of_copies_stand_side_by_side(open_page: Callable[..., AppTest], tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    scenes = resources.dataset("scenes-validation")
    for position in (0, 60, 180, 240):
        (folder / "a").mkdir(parents=True, exist_ok=True)
        (folder / "a" / f"{position}.ppm").write_bytes(scenes.item(position).read())
    shutil.copy(folder / "a" / "60.ppm", folder / "a" / "again.ppm")
    with Image.open(folder / "a" / "180.ppm") as picture:
        picture.resize((40, 40)).save(folder / "a" / "small.png")
    app = choose_folder(open_page(), folder)
    app = settled(look(settled(app), "curate"))
    app = app.selectbox(key="by").select("copies").run()
    assert_no_error(app)
    assert "**2 pairs**" in texts(app)
    shown = grids(app)["copies"]
    names = [card["alt"].split(",")[0] for card in shown]
    assert names == ["a/60.ppm", "a/again.ppm", "a/180.ppm", "a/small.png"]
    assert shown[1]["aside"][0] == "the same file as a/60.ppm"
    assert shown[3]["aside"][0] == "a near duplicate of a/180.ppm"


def test_tags_are_given_to_a_selection_kept_beyond_the_visit_and_exported(open_page: Callable[..., AppTest]) -> None:
    app = look(pick(open_page(), "most", 3, 0), "selection")
    chosen = list(app.session_state["picked"])
    app = press(app.selectbox(key="tag").select("drop").run(), "Add tag")
    assert_no_error(app)
    assert tags.of(Store(), "digits-test") == dict.fromkeys(chosen, ("drop",))
    assert all("Tagged drop" in card["aside"] for card in grids(app)["selection"])
    table = tagging.with_tags(pd.DataFrame({"dataset": "digits-test", "digest": chosen}))
    assert table["tags"].tolist() == ["drop", "drop"]
    later = press(follow(show="selection"), "drop (2)")
    assert sorted(card["id"] for card in grids(later)["selection"]) == sorted(chosen)
    later = press(later.selectbox(key="tag").select("drop").run(), "Remove tag")
    assert tags.of(Store(), "digits-test") == {}


def test_a_tag_is_in_the_lists_that_are_downloaded(open_page: Callable[..., AppTest]) -> None:
    app = look(pick(open_page(), "least", 0), "selection")
    digest = next(iter(app.session_state["picked"]))
    tags.add(Store(), "digits-test", [digest], "keep")
    choice = app.session_state["choice"]
    table = tagging.with_tags(
        selection.curation.picked(
            {"digits-test": resources.store().members("digits-test")}, {digest: "digits-test"}, {}
        )
    )
    assert pd.read_csv(io.BytesIO(selection.curation.as_csv(table)))["tags"].tolist() == ["keep"]
    assert pd.read_parquet(io.BytesIO(selection._as_parquet(choice, table)))["tags"].tolist() == ["keep"]


def test_visitors_tags_stay_in_their_session(
    open_page: Callable[..., AppTest], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tags.add(Store(), "digits-test", ["0" * 64], "owner")
    monkeypatch.setenv("JEPA_DATA_ROOTS", str(tmp_path))
    app = look(pick(open_page(), "most", 0), "selection")
    assert "owner" not in " ".join(button.label for button in app.button)
    app = press(app.selectbox(key="tag").select("review").run(), "Add tag")
    assert_no_error(app)
    assert "Tagged review" in grids(app)["selection"][0]["aside"]
    assert "nobody else sees them" in texts(app)
    assert tags.of(Store(), "digits-test") == {"0" * 64: ("owner",)}
    other = look(pick(open_page(), "most", 0), "selection")
    assert "Tagged review" not in grids(other)["selection"][0]["aside"]
    assert not any("review (1)" in button.label for button in other.button)
