"""The Check page: many pictures, ZIPs, bad ones among them, what is kept and what is forgotten."""

import io
import zipfile
from collections.abc import Callable

import pandas as pd
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from jepa_core import images
from jepa_core.datasets import registry
from pages._shared import resources, score_tables
from tests.pages.test_pages import assert_no_error, settled


def digit(position: int) -> bytes:
    return registry.get_dataset("digits-validation").item(position).read()


BLANK = images.to_png(Image.new("RGB", (40, 30), "white"))


def drop(app: AppTest, *files: tuple[str, bytes]) -> AppTest:
    app.file_uploader[0].set_value([(name, data, "application/octet-stream") for name, data in files]).run()
    return settled(app)


def said(app: AppTest) -> str:
    blocks = [block.proto.html.body if hasattr(block.proto, "html") else block.proto.body for block in app.get("html")]
    return " ".join([*blocks, *(element.value for element in [*app.markdown, *app.header, *app.caption])])


def click(app: AppTest, label: str) -> AppTest:
    return settled(next(button for button in app.button if button.label == label).click().run())


@pytest.fixture
def page(open_page: Callable[..., AppTest]) -> AppTest:
    return open_page("check")


def test_limits_and_the_meaning_of_verdicts_are_said_before_anything_is_dropped(page: AppTest) -> None:
    assert "Up to 300 pictures, 64 MB a file and 256 MB together: PNG, JPEG" in said(page)
    assert "What a verdict can be" in said(page)


def test_many_pictures_are_summed_up_and_the_most_unusual_is_shown(page: AppTest) -> None:
    app = drop(page, ("a.ppm", digit(0)), ("blank.png", BLANK), ("b.ppm", digit(1)))
    assert_no_error(app)
    assert app.header[0].value == "1 of 3 looks out of distribution, 2 show nothing unusual."
    assert "The part of blank.png that was scored" in said(app)
    assert "The part of a.ppm" not in said(app)


def test_a_zip_and_a_file_are_checked_together_and_a_bad_entry_is_one_sentence(page: AppTest) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("in/a.ppm", digit(0))
        archive.writestr("in/bad.png", b"nothing")
        archive.writestr("notes.txt", b"words")
    app = drop(page, ("mine.zip", buffer.getvalue()), ("blank.png", BLANK))
    assert [element.message for element in app.exception] == []
    assert app.header[0].value.startswith("1 of 2 looks out of distribution")
    first, second = (error.value for error in app.error)
    assert first.startswith("Left out of mine.zip")
    assert second.startswith("in/bad.png is not an image")


def zipped(name: str, data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, data)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "files",
    [
        (("a.png", BLANK), ("a.png", BLANK)),
        (("a.png", BLANK), ("copy of a.png", BLANK)),
        (("1.zip", zipped("a.png", BLANK)), ("2.zip", zipped("a.png", BLANK))),
        (("a.png", BLANK), ("1.zip", zipped("a.png", BLANK)), ("a.png", BLANK)),
    ],
    ids=["one name", "two names", "two archives", "thrice"],
)
def test_one_picture_given_twice_is_judged_twice_alike(page: AppTest, files: tuple[tuple[str, bytes], ...]) -> None:
    app = drop(page, *files, ("other.ppm", digit(0)))
    assert_no_error(app)
    assert app.header[0].value.startswith(f"{len(files)} of {len(files) + 1} look out of distribution")
    found = next(iter(app.session_state["uploads"].found.values())).outcome.checked
    twice = [item for item in found if item.name != "other.ppm"]
    assert len({item.places["joint"].score for item in twice}) == 1
    assert [found.index(item) for item in found] == list(range(len(found)))


def test_pictures_outlive_a_visit_to_another_page(page: AppTest) -> None:
    app = drop(page, ("a.ppm", digit(0)), ("blank.png", BLANK))
    before = app.header[0].value
    app.switch_page("pages/encoders.py").run()
    assert before not in said(app)
    app = settled(app.switch_page("pages/check.py").run())
    assert app.header[0].value == before
    titles = [job.title for job in resources.jobs().all()]
    assert titles.count("Checking 2 pictures") == 1, "looked at once"
    assert titles.count("By one forward pass each; the scores follow") == 1, "scored once"


def test_forgetting_drops_the_pictures_and_what_was_found_of_them(page: AppTest) -> None:
    app = drop(page, ("a.ppm", digit(0)), ("blank.png", BLANK))
    held = app.session_state["uploads"]
    assert held.found
    app = click(app, "Forget them")
    assert_no_error(app)
    assert (held.pictures, held.found) == ([], {})
    assert [heading.value for heading in app.header] == []
    assert "What a verdict can be" in said(app)
    for job in resources.jobs().all():
        assert job.result in (None, True), "the queue keeps nothing of the pictures"


def test_more_pictures_are_added_to_those_that_are_held(page: AppTest) -> None:
    app = drop(page, ("a.ppm", digit(0)))
    app = drop(app, ("b.ppm", digit(1)))
    assert app.header[0].value.startswith("2 of 2 show nothing unusual")


def test_examples_stand_in_for_pictures_of_ones_own(page: AppTest) -> None:
    app = click(page, "No picture at hand? Take seven examples")
    assert_no_error(app)
    assert " of 7 " in app.header[0].value
    table = app.dataframe[0].value
    assert table["raised"].eq(True).any(), "the most unusual one comes first"


def test_a_picture_is_held_against_one_class(page: AppTest) -> None:
    app = page.selectbox(key="against-class").select("3").run()
    count = int(
        (score_tables.scores(app.session_state["choice"], registry.get_dataset("digits-test"))["label"] == "3").sum()
    )
    assert count >= 19
    app = drop(app, ("blank.png", BLANK))
    assert f"{count} references" in said(app)
    assert app.query_params["against-class"] == "3"


def test_another_reference_forgets_its_class_and_leaves_that_of_the_gallery(page: AppTest) -> None:
    app = page.switch_page("pages/gallery.py").run()
    app.selectbox(key="class").select("7").run()
    app = app.switch_page("pages/check.py").run()
    assert app.selectbox(key="against-class").value == "all classes"
    app.selectbox(key="against-class").select("3").run()
    app.selectbox(key="against").select("shapes").run()
    assert app.selectbox(key="against-class").value == "all classes"
    app = app.switch_page("pages/gallery.py").run()
    assert app.selectbox(key="class").value == "7"


def test_the_reference_of_a_link_is_opened(open_page: Callable[..., AppTest]) -> None:
    app = open_page()
    app.query_params["against"] = "world-test"
    app = app.switch_page("pages/check.py").run()
    assert app.selectbox(key="against").value == "world-test"


def test_names_of_files_are_text(page: AppTest) -> None:
    app = drop(page, ("<b>*x*.png", BLANK), ("*bad* <i>.png", b"nothing"))
    assert "<b>*x*" not in said(app)
    assert all("*bad*" not in error.value.replace("\\*", "") for error in app.error)


def test_the_measures_of_a_picture_stand_beside_those_of_the_references(page: AppTest) -> None:
    app = drop(page, ("blank.png", BLANK))
    measures: pd.DataFrame = app.dataframe[1].value
    line = measures.set_index("measure").loc["complexity"]
    assert line["value"] < line["low"]
    assert line["percentile"] == 0
