"""The Compare page through Streamlit's AppTest: choices, a selection, missing scores, one encoder alone."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from jepa_core.analysis.agreement import in_words
from jepa_core.analysis.ranking import Comparison, agreements, compare, disputed
from jepa_core.cli.parser import build_parser
from jepa_core.datasets.registry import get_dataset
from jepa_core.encoders import registry
from jepa_core.encoders.registry import get_spec
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.stored import stored_scores
from jepa_core.wording import percentile as place
from pages._sections.compare import disagreements
from pages._shared import image_grid, resources
from pages._shared.choice import Choice
from pages._shared.text import escaped
from tests.pages.test_domains import shown_text
from tests.pages.test_pages import assert_no_error, settled


def opened(open_page: Callable[..., AppTest], **address: str) -> AppTest:
    """The page by a link."""
    app = open_page()
    for name, value in address.items():
        app.query_params[name] = value
    return app.switch_page("pages/compare.py").run()


def compared(*names: str, data: str = "digits-test", label: str | None = None) -> Comparison:
    store = resources.store()
    tables = {name: stored_scores(store, EncoderOutput(get_spec(name), "projector"), data) for name in names}
    return compare({name: table[table["label"] == (label or table["label"])] for name, table in tables.items()})


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[list[image_grid.Card]]:
    """The cards of each grid that the page draws."""
    grids: list[list[image_grid.Card]] = []
    draw = image_grid.grid

    def kept(shown, *more, **options) -> None:
        if st.session_state["page"] == "Compare":  # the gallery is opened before it
            grids.append(list(shown))
        draw(shown, *more, **options)

    monkeypatch.setattr(image_grid, "grid", kept)
    return grids


def test_two_encoders_are_compared_at_once(open_page: Callable[..., AppTest], drawn: list) -> None:
    app = open_page("compare")
    assert_no_error(app)
    assert app.multiselect(key="several:encoders").value == ["digits", "mixed"]
    found = compared("digits", "mixed")
    assert escaped(in_words(agreements(found)["digits", "mixed"], "digits", "mixed")) in shown_text(app)
    table = app.dataframe[0].value
    assert table["pair"].tolist() == ["digits and mixed"]
    assert len(drawn) == 2 + 2 * 2  # disputed both ways, and two ends of two encoders
    apart = disputed(found, "digits", "mixed")
    assert [card.title for card in drawn[0]] == [f"{place(one)} · digits" for one in apart["percentile_first"][:5]]
    assert [card.aside[0] for card in drawn[0]] == [f"{place(one)} · mixed" for one in apart["percentile_second"][:5]]
    assert drawn[2][0].alt.startswith(found.images["name"][found.percentiles["digits"].idxmin()])


def test_a_link_opens_the_same_comparison_again(open_page: Callable[..., AppTest]) -> None:
    address = {"encoders": "photo,world,mixed", "dataset": "shapes", "pair": "photo,mixed", "share": "10"}
    app = opened(open_page, **address)
    assert_no_error(app)
    found = compared("photo", "world", "mixed", data="shapes")
    assert escaped(in_words(agreements(found, 0.1)["photo", "mixed"], "photo", "mixed")) in shown_text(app)
    assert app.dataframe[0].value["pair"].tolist() == ["photo and world", "photo and mixed", "world and mixed"]
    assert {name: app.query_params[name] for name in address} == address
    (code,) = app.code
    args = build_parser().parse_args(shlex.split(code.value)[3:])
    assert (args.encoder, args.data, args.share) == (["photo", "world", "mixed"], "shapes", 10)


def test_an_unknown_name_in_a_link_is_passed_over(open_page: Callable[..., AppTest]) -> None:
    app = opened(open_page, encoders="photo,nothing,world,photo", pair="photo,nothing", share="7")
    assert_no_error(app)
    assert app.multiselect(key="several:encoders").value == ["photo", "world"]
    assert app.dataframe[0].value["pair"].tolist() == ["photo and world"]


def test_another_pair_and_another_share_change_what_is_said(open_page: Callable[..., AppTest]) -> None:
    app = opened(open_page, encoders="digits,photo,world")
    app.button_group(key="pair").set_value("photo,world").run()
    app.button_group(key="share").set_value("20").run()
    assert_no_error(app)
    found = agreements(compared("digits", "photo", "world"), 0.2)["photo", "world"]
    assert escaped(in_words(found, "photo", "world")) in shown_text(app)
    assert (app.query_params["pair"], app.query_params["share"]) == ("photo,world", "20")


def test_one_class_is_compared_within_itself(open_page: Callable[..., AppTest], drawn: list) -> None:
    app = opened(open_page, encoders="photo,world", **{"class": "3"})
    assert_no_error(app)
    found = compared("photo", "world", label="3")
    assert escaped(in_words(agreements(found)["photo", "world"], "photo", "world")) in shown_text(app)
    assert all("digit 3" in card.aside for cards in drawn for card in cards)
    # 1 % of so few images is less than one: it cannot be chosen.
    assert app.button_group(key="share").options == ["2 %", "5 %", "10 %", "20 %"] or len(found.images) < 50


def test_the_pictures_of_selected_points_are_shown_the_most_disputed_first(
    open_page: Callable[..., AppTest], drawn: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = [{"customdata": row} for row in (5, 2, 300, 2)]
    draw = st.plotly_chart

    def select(*figure, **options):
        shown = draw(*figure, **options)
        return {"selection": {"points": chosen}} if "on_select" in options else shown

    monkeypatch.setattr(st, "plotly_chart", select)
    app = open_page("compare")
    assert_no_error(app)
    found = compared("digits", "mixed")
    difference = (found.percentiles["digits"] - found.percentiles["mixed"]).abs()
    rows = sorted([2, 5, 300], key=lambda row: -difference[row])
    assert [card.alt.split(",")[0] for card in drawn[0]] == found.images["name"][rows].tolist()
    assert "**3 images selected**" in shown_text(app)
    chosen[:] = [{"customdata": row} for row in range(60)]
    drawn.clear()
    app.run()
    assert len(drawn[0]) == 24
    assert "**60 images selected**; the 24 that are disputed most are shown" in shown_text(app)


def test_a_listed_set_says_who_has_no_scores_of_it_and_compares_the_others(open_page: Callable[..., AppTest]) -> None:
    app = opened(open_page, encoders="photo,photo-tenth,world", dataset="imagenette-train")
    assert_no_error(app)
    assert any(escaped("world cannot score them") in note.value for note in app.info)
    assert app.dataframe[0].value["pair"].tolist() == ["photo and photo-tenth"]
    app = opened(open_page, encoders="photo,world", dataset="imagenette-train")
    assert_no_error(app)
    assert any("at least 2 encoders are needed" in note.value for note in app.info)
    assert not app.dataframe


def test_many_missing_scores_are_offered_as_a_job_for_each_encoder(open_page: Callable[..., AppTest]) -> None:
    app = opened(open_page, encoders="photo,world", dataset="digits-train")
    assert_no_error(app)
    asked = [button.label for button in app.button if button.label.startswith("Score")]
    assert asked == ["Score 1077 missing images"] * 2
    assert "photo has no score yet of 1077 images of Digits (train)" in shown_text(app).replace("\\", "")
    assert any("at least 2 encoders are needed" in note.value for note in app.info)


def test_fewer_than_two_encoders_are_no_comparison(open_page: Callable[..., AppTest]) -> None:
    app = open_page("compare")
    app.multiselect(key="several:encoders").set_value(["photo"]).run()
    assert_no_error(app)
    assert [note.value for note in app.info] == ["Choose 2 to 4 encoders."]


def test_the_only_encoder_is_told_that_it_has_no_other(
    open_page: Callable[..., AppTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    card = get_spec("digits").weights.with_suffix(".json")
    monkeypatch.setattr(registry, "_card_paths", lambda: iter([card]))
    app = open_page("compare")
    assert_no_error(app)
    assert any("There is one encoder here" in note.value for note in app.info)


@pytest.mark.usefixtures("own_assets")
def test_a_small_folder_is_scored_by_each_encoder_and_compared_without_overlaps(
    open_page: Callable[..., AppTest], folder: Path, install_tiny: Callable[..., Path], drawn: list
) -> None:
    card = install_tiny()
    card.with_name("other.json").write_text(json.dumps(json.loads(card.read_text()) | {"name": "other"}))
    card.with_name("other.safetensors").write_bytes(card.with_suffix(".safetensors").read_bytes())
    app = opened(open_page, dataset="folder on this computer", folder=str(folder))
    app = settled(settled(app))
    assert_no_error(app)
    assert any(
        escaped("12 images that both encoders have scored; at least 20 are needed") in note.value for note in app.info
    )
    assert "None: no image is placed higher." in shown_text(app), "the two have the same weights"
    assert sum(len(cards) for cards in drawn[-4:]) == 4 * 5
    assert get_dataset(str(folder)).name.removeprefix("folder:") in app.code[0].value


def test_cards_have_the_percentiles_of_the_encoders_that_are_asked_for(open_page: Callable[..., AppTest]) -> None:
    open_page()
    found = compared("photo", "world", "mixed", data="noise")
    choices = {name: Choice(get_spec(name), "projector") for name in found.percentiles}
    (card,) = disagreements.cards(choices, get_dataset("noise"), None, found, ("mixed", "photo"), [4])
    at = found.percentiles.iloc[4]
    assert (card.title, card.aside) == (f"{place(at['mixed'])} · mixed", (f"{place(at['photo'])} · photo",))
    assert "encoder=mixed" in card.link
    assert card.alt.endswith(f"percentile {place(at['mixed'])} by mixed, {place(at['photo'])} by photo")
