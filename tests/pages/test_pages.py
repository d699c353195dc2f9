"""Every page through Streamlit's AppTest, on the bundled encoder and the shipped scores."""

import ast
import json
import re
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from jepa_core import images
from jepa_core.datasets import registry
from jepa_core.encoders.card import load_card
from jepa_core.encoders.registry import get_spec
from jepa_core.scoring import forecast, precision, stopwatch
from jepa_core.scoring.allocator import Prices
from pages._shared import choice, resources, score_tables, scoring_job
from pages._shared.text import escaped
from tests.helpers import cards, grids, pictured, tell

ROOT = Path(__file__).parent.parent.parent


def settled(app: AppTest) -> AppTest:
    """Run the page until no job is shown any more; a fragment does this in a browser."""
    for _ in range(200):
        jobs = [job for job in resources.jobs().all() if job.active]
        if not jobs:
            break
        jobs[0].wait(60)
    return app.run()


def pictures(app: AppTest) -> str:
    """Everything that the cards of a page say."""
    return json.dumps(cards(app))


def assert_no_error(app: AppTest) -> None:
    assert [element.message for element in app.exception] == []
    assert [element.value for element in app.error] == []


def test_the_gallery_shows_both_ends_and_random_pictures_at_once(open_page: Callable[..., AppTest]) -> None:
    app = open_page()
    assert_no_error(app)
    headings = ["Scores of Digits (test)", "Least likely", "Most likely", "Random"]
    assert [heading.value for heading in app.header] == headings
    assert {key: len(shown) for key, shown in grids(app).items()} == {"least": 8, "most": 8, "random": 8}
    assert pictured(app) == 24


def test_a_class_is_ranked_within_itself(open_page: Callable[..., AppTest]) -> None:
    app = open_page()
    app.selectbox(key="class").select("3").run()
    assert_no_error(app)
    assert "digit 4" not in pictures(app)
    assert "Scores of digit 3 of Digits (test)" in [heading.value for heading in app.header]


def test_shuffle_draws_other_random_pictures(open_page: Callable[..., AppTest]) -> None:
    app = open_page()
    before = pictures(app)
    next(button for button in app.button if button.label == "Shuffle").click().run()
    assert pictures(app) != before


def test_a_folder_is_scored_in_the_background_and_its_bad_files_are_named(
    open_page: Callable[..., AppTest], tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for item in registry.sample(registry.get_dataset("digits-test"), 5, seed=1):
        (folder / f"{item.position}.ppm").write_bytes(item.read())
    (folder / "broken.png").write_bytes(b"not a picture")
    app = open_page()
    app.selectbox(key="dataset").select("folder on this computer").run()
    app.text_input(key="folder").set_value(str(folder)).run()
    app = settled(app)
    assert_no_error(app)
    assert pictured(app) == 2 + 2 + 2
    assert any("1 of 6 images could not be scored" in expander.label for expander in app.expander)
    assert any("broken.png" in text.value for text in app.markdown)


def turned(folder: Path, count: int) -> Path:
    """Fill a folder with pictures that no shipped table knows."""
    folder.mkdir()
    for item in registry.sample(registry.get_dataset("digits-train"), count, seed=2):
        images.decode(item.read()).image.transpose(Image.Transpose.ROTATE_90).save(folder / f"{item.position}.png")
    return folder


def open_folder(app: AppTest, folder: Path) -> AppTest:
    app.selectbox(key="dataset").select("folder on this computer").run()
    return settled(app.text_input(key="folder").set_value(str(folder)).run())


def test_a_quick_look_marks_its_estimates_and_scores_the_ends_fully(
    open_page: Callable[..., AppTest], tmp_path: Path
) -> None:
    app = open_page()
    app.selectbox(key="method").select("quick").run()
    app = settled(open_folder(app, turned(tmp_path / "many", 120)))  # the ends come after the estimates
    assert_no_error(app)
    shown = grids(app)
    assert not any("≈" in card["title"] for card in shown["least"] + shown["most"])
    assert any("≈" in card["title"] for card in shown["random"])
    assert all("method=quick&precision=fp32" in card["link"] for card in shown["random"]), "a link keeps the estimates"
    assert any("of 120 scores are estimates by one forward pass an image" in text.value for text in app.caption)


def test_a_folder_too_small_for_estimates_is_scored_fully(open_page: Callable[..., AppTest], tmp_path: Path) -> None:
    folder = tmp_path / "few"
    folder.mkdir()
    for item in registry.sample(registry.get_dataset("digits-test"), 5, seed=1):
        (folder / f"{item.position}.ppm").write_bytes(item.read())
    app = open_page()
    app.selectbox(key="method").select("balanced").run()
    app = open_folder(app, folder)
    assert_no_error(app)
    assert "≈" not in pictures(app)
    assert any("too small for estimates, which need 32 images" in text.value for text in app.caption)


def test_the_precision_that_was_used_is_said(
    open_page: Callable[..., AppTest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopwatch, "kept_time_ratio", lambda _store, _output: 0.5)
    monkeypatch.setattr(precision, "AGREEMENT", -1.0)
    app = open_page()
    app.selectbox(key="precision").select("auto").run()
    monkeypatch.setattr(precision, "IMAGES", 8)  # bfloat16 is slow where it is emulated
    app = open_folder(app, turned(tmp_path / "few", 12))
    assert_no_error(app)
    assert any(escaped("Full scores in bfloat16. Precision: bfloat16:") in text.value for text in app.caption)


def test_a_precision_that_is_emulated_is_called_slow_where_it_is_chosen(
    open_page: Callable[..., AppTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "default_device", lambda: "cpu")
    monkeypatch.setattr(stopwatch, "matrix_time_ratio", lambda _device: 70.0)
    app = open_page("encoders")
    assert not any("bfloat16" in text.value for text in app.sidebar.caption)
    app.selectbox(key="precision").select("bf16").run()
    assert any("70 times as long as in float32" in text.value for text in app.sidebar.caption)


def test_a_class_with_one_image_says_so(open_page: Callable[..., AppTest], tmp_path: Path) -> None:
    folder = tmp_path / "one" / "class"
    folder.mkdir(parents=True)
    (folder / "a.ppm").write_bytes(registry.get_dataset("digits-test").item(0).read())
    app = open_page()
    app.selectbox(key="dataset").select("folder on this computer").run()
    app.text_input(key="folder").set_value(str(folder.parent)).run()
    app = settled(app)
    assert_no_error(app)
    assert any("one image" in note.value for note in app.info)


@pytest.mark.parametrize("given", ["/no/such/folder", "relative/nowhere"])
def test_a_folder_that_does_not_exist_is_one_sentence(open_page: Callable[..., AppTest], given: str) -> None:
    app = open_page()
    app.selectbox(key="dataset").select("folder on this computer").run()
    app.text_input(key="folder").set_value(given).run()
    assert [element.message for element in app.exception] == []
    assert len(app.error) == 1
    assert given in app.error[0].value


def test_directions_follows_the_slider(open_page: Callable[..., AppTest]) -> None:
    app = settled(open_page("directions"))
    assert_no_error(app)
    first = pictures(app)
    assert "Change of the picture" in first
    app.slider(key="k").set_value(5).run()
    assert_no_error(app)
    assert any("Direction 5" in text.value for text in app.markdown)
    assert pictures(app) != first


def test_a_link_to_an_image_opens_that_image(open_page: Callable[..., AppTest]) -> None:
    digest = registry.get_dataset("digits-test").item(7).digest
    app = open_page()
    app.query_params["image"] = digest
    app = settled(app.switch_page("pages/directions.py").run())
    assert_no_error(app)
    assert "digits-test/7," in pictures(app)


def test_check_shows_evidence_for_good_pictures_and_a_sentence_for_bad_ones(open_page: Callable[..., AppTest]) -> None:
    app = open_page("check")
    good = images.to_png(Image.new("RGB", (40, 30), "tomato"))
    app.file_uploader[0].set_value([("red.png", good, "image/png"), ("bad.png", b"nothing", "image/png")]).run()
    app = settled(app)
    assert [element.message for element in app.exception] == []
    assert [error.value.split()[0] for error in app.error] == ["bad.png"]
    [verdict] = [block.proto.body for block in app.get("html") if '<div class="jepa-verdict"' in block.proto.body]
    assert "Out of distribution" in verdict
    assert "It is none of them: it is brighter than all of them." in verdict
    assert "10-NN, visible" in app.dataframe[0].value["method"].tolist()


def choose_folder(app: AppTest, folder: Path) -> AppTest:
    app.selectbox(key="dataset").select("folder on this computer").run()
    return settled(app.text_input(key="folder").set_value(str(folder)).run())


def write_digits(folder: Path, positions: Iterable[int]) -> None:
    folder.mkdir(exist_ok=True)
    for position in positions:
        (folder / f"{position}.ppm").write_bytes(registry.get_dataset("digits-test").item(position).read())


def test_a_folder_that_changes_is_noticed(open_page: Callable[..., AppTest], tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    write_digits(folder, range(6))
    app = choose_folder(open_page(), folder)
    assert any("The 6 images of mine." in text.value for text in app.caption)
    (folder / "0.ppm").unlink()
    (folder / "1.ppm").write_bytes(registry.get_dataset("galaxies").item(0).read())
    write_digits(folder, (7, 8))
    resources.forget_listings()  # a listing is kept for some seconds
    app = settled(app.run())
    assert_no_error(app)
    assert any("The 7 images of mine." in text.value for text in app.caption)
    assert "0.ppm" not in pictures(app)
    assert scoring_of(app, "1.ppm") != scoring_of(app, "2.ppm")


def scoring_of(app: AppTest, name: str) -> float:
    table = score_tables.scores(app.session_state["choice"], resources.dataset(app.text_input(key="folder").value))
    return table.set_index("name")["jepa_score"][name]


def test_directions_of_a_file_that_moved_up_are_its_own(open_page: Callable[..., AppTest], tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    write_digits(folder, range(6))
    app = choose_folder(open_page(), folder)
    (folder / "0.ppm").unlink()
    resources.forget_listings()
    app = settled(app.switch_page("pages/directions.py").run())
    app = settled(app)
    assert_no_error(app)
    for place in range(1, 6):
        app = settled(app.slider(key="place").set_value(place).run())
        table = score_tables.scores(app.session_state["choice"], resources.dataset(str(folder))).sort_values(
            "jepa_score"
        )
        row = table.iloc[place - 1]
        [job] = [job for job in resources.jobs().all() if job.key.endswith(row["digest"])]
        assert np.log(job.result.sigma).sum() == pytest.approx(row["jepa_score"], abs=1e-3)


def test_names_from_outside_are_shown_as_they_are(open_page: Callable[..., AppTest], tmp_path: Path) -> None:
    folder = tmp_path / "![x](y)"
    name = "*a* $b$ :smile: <b>c"
    write_digits(folder, ())
    write_digits(folder / name, range(3))
    (folder / name / "_bad_.png").write_bytes(b"nothing")
    app = choose_folder(open_page(), folder)
    assert_no_error(app)
    shown = [element.value for kind in (app.markdown, app.header, app.caption) for element in kind]
    assert not any(re.search(r"(?<!\\)(\*a\*|\$b|_bad_|!\[x\]|:smile)", text) for text in shown)
    # assets/grid.js sets these as text and attributes; tests/browser/test_gallery.py sees that no element is made.
    assert all(f", {name}: score" in card["alt"] for card in cards(app))


def test_encoders_shows_the_card_of_the_chosen_one(open_page: Callable[..., AppTest]) -> None:
    app = open_page("encoders")
    assert_no_error(app)
    table = app.dataframe[0].value.set_index("encoder")
    card = load_card(get_spec("digits"))
    assert table.loc["digits", "probe"] == card["metrics"]["linear_probe"]["backbone"]["test"]
    shown = " ".join(text.value for text in app.markdown)
    assert escaped(card["data"]) in shown
    assert escaped(card["terms"]) in shown
    assert all(escaped(sentence) in shown for sentence in card["known_failures"])


@pytest.mark.parametrize("page", ["gallery", "image", "domains", "directions", "encoders", "check"])
def test_a_cache_that_cannot_be_written_is_a_sentence_and_the_page_still_works(
    open_page: Callable[..., AppTest], page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("not a folder")
    monkeypatch.setenv("JEPA_CACHE", str(in_the_way / "cache"))
    app = open_page(page)
    assert_no_error(app)
    assert len(app.warning) == 1
    assert escaped("JEPA_CACHE") in app.warning[0].value


def test_a_damaged_store_is_set_aside_with_a_sentence(open_page: Callable[..., AppTest], cache: Path) -> None:
    (cache / "store.sqlite").write_bytes(b"garbage" * 1000)
    app = open_page()
    assert_no_error(app)
    assert "damaged" in app.warning[0].value
    assert pictured(app) == 24


def test_a_computation_that_was_stopped_waits_to_be_asked_for(open_page: Callable[..., AppTest]) -> None:
    release = threading.Event()
    app = open_page()
    resources.jobs().submit("long", "Long", lambda _job: release.wait(60), urgent=True)
    app = app.switch_page("pages/directions.py").run()
    [job] = [job for job in resources.jobs().all() if job.key.startswith("directions:")]
    job.cancel()
    release.set()
    app = settled(app)
    assert_no_error(app)
    assert "Change of the picture" not in pictures(app)
    next(button for button in app.button if button.label == "Compute it after all").click().run()
    app = settled(app)
    assert "Change of the picture" in pictures(app)


def test_a_click_on_a_card_opens_its_image_in_the_same_session(open_page: Callable[..., AppTest]) -> None:
    app = open_page()
    app.selectbox(key="class").select("3").run()
    card = grids(app)["most"][2]
    app = settled(tell(app, "most", "opened", card["link"]))
    assert_no_error(app)
    assert app.title[0].value == "Image"
    assert app.query_params["image"] in (card["id"], [card["id"]])
    assert app.selectbox(key="class").value == "3"
    assert card["alt"] in [shown["alt"] for shown in cards(app)]


def test_a_picked_card_is_picked_in_every_grid_and_let_go_again(open_page: Callable[..., AppTest]) -> None:
    app = open_page()
    card = grids(app)["least"][1]
    app = tell(app, "least", "picked", [{"id": card["id"], "set": card["set"], "on": True}])
    assert [shown["id"] for shown in cards(app) if shown["picked"]] == [card["id"]]
    app = app.switch_page("pages/encoders.py").run().switch_page("pages/gallery.py").run()
    assert [shown["id"] for shown in cards(app) if shown["picked"]] == [card["id"]], "the selection outlasts a page"
    app = tell(app, "least", "picked", [{"id": card["id"], "set": card["set"], "on": False}])
    assert not any(shown["picked"] for shown in cards(app))


@pytest.mark.parametrize("path", sorted((ROOT / "pages").glob("*.py")), ids=lambda path: path.stem)
def test_a_page_begins_with_the_header_that_puts_the_app_around_it(path: Path) -> None:
    """Streamlit runs a page that is a server's first request by itself; only the header mends that."""
    shared = {one.stem for one in (ROOT / "pages" / "_shared").glob("*.py")}
    calls = [
        ast.unparse(node.value.func)
        for node in ast.parse(path.read_text()).body
        if isinstance(node, (ast.Expr, ast.Assign)) and isinstance(node.value, ast.Call)
    ]
    shown = [call for call in calls if call.split(".")[0] in ("st", *shared)]
    assert shown[0] == "layout.header"


@pytest.mark.parametrize("key", ["dataset", "class", "show", "encoder"])
def test_an_address_that_asks_for_what_is_not_here_is_answered(open_page: Callable[..., AppTest], key: str) -> None:
    app = open_page()
    app.query_params[key] = "*nonsense*"
    app.session_state["page:" + key] = ""  # as on arrival
    app.run()
    assert_no_error(app)
    [said] = [toast.value for toast in app.toast]
    assert f"The address asks for {key} '\\*nonsense\\*', which is not here; " in said
    assert key == "encoder" or not app.run().toast, "once is enough; a browser takes a bound value out of the address"


def test_before_a_large_set_is_scored_each_method_says_how_long_it_takes(
    open_page: Callable[..., AppTest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring_job, "_ASK_ABOVE", 10)
    monkeypatch.setattr(forecast, "prices_of", lambda *_asked: Prices(0.1, 0.04, 10.0))
    app = open_folder(open_page(), turned(tmp_path / "many", 40))
    assert not any("For 40 images here" in text.value for text in app.caption)
    ask = next(button for button in app.button if button.label == "How long does each method take?")
    app = settled(ask.click().run())
    assert_no_error(app)
    said = next(text.value for text in app.caption if "For 40 images here" in text.value)
    assert "quick look about 3 min, balanced about 7 min, exact about 7 min" in said
    assert any(button.label == "Score 40 missing images" for button in app.button)
