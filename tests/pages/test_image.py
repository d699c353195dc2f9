"""The Image page through Streamlit's AppTest: one image in detail, and every way in which it cannot be shown."""

import html
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from jepa_core import images
from jepa_core.datasets import registry
from pages._shared import resources, score_tables
from pages._shared.text import escaped
from tests.helpers import grids, tell
from tests.pages.test_pages import assert_no_error, cards, choose_folder, pictures, settled, write_digits

DIGITS = registry.get_dataset("digits-test")


def open_image(open_page: Callable[..., AppTest], **query: str) -> AppTest:
    """The page by its link."""
    app = open_page()
    for name, value in query.items():
        app.query_params[name] = value
    return settled(app.switch_page("pages/image.py").run())


def button(app: AppTest, label: str) -> object:
    return next(button for button in app.button if button.label == label)


def facts(app: AppTest) -> str:
    """The facts of the page, as HTML."""
    return " ".join(block.proto.body for block in app.get("html"))


def fact(app: AppTest, name: str) -> str:
    """The value of a fact of that name."""
    found = re.search(rf"<dt>{re.escape(name)}</dt><dd>([^<]*)", facts(app))
    assert found, name
    return html.unescape(found[1])


def asked(app: AppTest) -> str:
    """The image in the address."""
    digest = app.query_params["image"]
    return digest if isinstance(digest, str) else digest[0]


def shown_score(app: AppTest) -> float:
    return float(fact(app, "JEPA-SCORE"))


# --- one image --------------------------------------------------------------------------------------------------------


def test_without_an_image_in_the_address_it_is_the_least_likely(open_page: Callable[..., AppTest]) -> None:
    app = open_image(open_page)
    assert_no_error(app)
    table = score_tables.scores(app.session_state["choice"], DIGITS).sort_values("jepa_score")
    assert fact(app, "Name") == table["name"].iloc[0]
    assert shown_score(app) == pytest.approx(table["jepa_score"].iloc[0], abs=0.006)
    assert "The least likely of Digits" in " ".join(text.value for text in app.markdown)
    assert asked(app) == table["digest"].iloc[0], "the address names it, so that it can be shared"


def test_a_link_opens_that_image_with_all_that_is_known_of_it(open_page: Callable[..., AppTest]) -> None:
    digest = DIGITS.item(7).digest
    app = open_image(open_page, image=digest)
    assert_no_error(app)
    row = score_tables.scores(app.session_state["choice"], DIGITS).set_index("digest").loc[digest]
    assert fact(app, "Name") == "digits-test/7"
    assert fact(app, "SHA-256") == digest
    assert fact(app, "Size").startswith("8 x 8 px")
    assert float(fact(app, "with Gaussian term")) == pytest.approx(row["gaussian_score"], abs=0.006)
    assert float(fact(app, "listing score")) == pytest.approx(row["listing_score"], abs=0.006)
    assert f"digit {row['label']}" in facts(app)
    assert [heading.value for heading in app.header] == [
        _question(app),
        "Which pixels does the score hang on?",
        "Nearest in the embedding",
        "The file",
        "How this was computed",
    ]


def _question(app: AppTest) -> str:
    """The heading that fits what is said below it."""
    [said] = [text.value for text in app.markdown if text.value.startswith("Its singular values add up to")]
    if "little to explain" in said:
        return "How do its singular values compare?"
    return f"Which singular values make it {'unlikely' if 'less than the medians' in said else 'likely'}?"


def test_the_question_about_singular_values_fits_the_answer(open_page: Callable[..., AppTest]) -> None:
    seen = set()
    table = score_tables.scores(open_image(open_page).session_state["choice"], DIGITS).sort_values("jepa_score")
    for digest in table["digest"].iloc[[0, len(table) // 2, -1]]:
        app = open_image(open_page, image=digest)
        seen.add(_question(app))
        assert app.header[0].value == _question(app)
    assert len(seen) == 3


def test_its_percentiles_are_in_its_class_and_in_the_reference(open_page: Callable[..., AppTest]) -> None:
    app = open_image(open_page, dataset="shapes")
    everything = score_tables.scores(app.session_state["choice"], registry.get_dataset("shapes"))
    table = everything.sort_values("jepa_score")
    assert fact(app, "Name") == table["name"].iloc[0]
    own = everything[everything["label"] == table["label"].iloc[0]]
    expected = 100 * ((own["jepa_score"] < table["jepa_score"].iloc[0]).sum() + 0.5) / len(own)
    assert float(fact(app, f"percentile in {table['label'].iloc[0]}")) == pytest.approx(expected, abs=0.06)
    reference = score_tables.scores(app.session_state["choice"], DIGITS)["jepa_score"]
    expected = 100 * (reference < table["jepa_score"].iloc[0]).mean()
    assert float(fact(app, "percentile in Digits (test)")) == pytest.approx(expected, abs=0.06)


def test_the_leverage_map_comes_from_a_job_and_adds_up_to_the_rank(open_page: Callable[..., AppTest]) -> None:
    app = open_image(open_page, image=DIGITS.item(3).digest)
    assert "sum 16.00; the rank is 16" in pictures(app)
    [job] = [job for job in resources.jobs().all() if job.key.startswith("directions:")]
    assert job.unit == "row"
    before = pictures(app)
    app = app.slider(key="opacity").set_value(0).run()
    assert_no_error(app)
    assert pictures(app) != before
    assert len([job for job in resources.jobs().all() if job.key.startswith("directions:")]) == 1, "it is computed once"


def test_the_nearest_are_of_the_reference_and_of_the_training_set(open_page: Callable[..., AppTest]) -> None:
    app = open_image(open_page, image=DIGITS.item(3).digest)
    captions = [text.value for text in app.caption]
    assert any("In Digits (test), the reference" in text for text in captions)
    assert any("what the encoder was trained on" in text for text in captions)
    near = [shown for key, shown in grids(app).items() if key.startswith("near:")]
    assert [len(shown) for shown in near] == [8, 8]
    for shown in near:
        distances = [float(card["aside"][0].removeprefix("distance ")) for card in shown]
        assert distances == sorted(distances)
        assert DIGITS.item(3).digest not in [card["id"] for card in shown], "it is no neighbour of itself"


def test_a_neighbour_of_another_dataset_opens_on_the_same_page(open_page: Callable[..., AppTest]) -> None:
    app = open_image(open_page, image=DIGITS.item(3).digest, **{"class": DIGITS.item(3).label})
    card = grids(app)["near:what the encoder was trained on"][2]
    app = settled(tell(app, "near:what the encoder was trained on", "opened", card["link"]))
    assert_no_error(app)
    assert fact(app, "SHA-256") == card["id"]
    assert fact(app, "Dataset") == "Digits (train)"


def test_one_goes_on_to_the_next_image_by_score(open_page: Callable[..., AppTest]) -> None:
    app = open_image(open_page)
    table = score_tables.scores(app.session_state["choice"], DIGITS).sort_values("jepa_score")
    assert button(app, "Less likely").disabled
    app = settled(button(app, "More likely").click().run())
    assert_no_error(app)
    assert fact(app, "Name") == table["name"].iloc[1]
    assert asked(app) == table["digest"].iloc[1]
    app = settled(button(app, "Less likely").click().run())
    assert fact(app, "Name") == table["name"].iloc[0]


def test_the_image_stays_when_another_page_was_open(open_page: Callable[..., AppTest]) -> None:
    app = open_image(open_page, image=DIGITS.item(7).digest)
    app = app.switch_page("pages/encoders.py").run()
    app.query_params.clear()
    app = settled(app.switch_page("pages/image.py").run())
    assert fact(app, "Name") == "digits-test/7"


# --- computed again ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", [{"output": "projector"}, {"output": "backbone", "dataset": "galaxies"}])
def test_the_command_and_the_lines_of_python_give_the_score_that_is_shown(
    open_page: Callable[..., AppTest], command: Callable, capsys: pytest.CaptureFixture[str], query: dict[str, str]
) -> None:
    app = open_image(open_page, **query)
    line, lines = (block.value for block in app.code)
    status, out, _err = command(*shlex.split(line)[3:], "--json")
    assert status == 0
    assert json.loads(out)[0]["jepa_score"] == pytest.approx(shown_score(app), abs=0.02)
    exec(lines, {})
    assert float(capsys.readouterr().out) == pytest.approx(shown_score(app), abs=0.02)


# --- what cannot be shown ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["f" * 64, "nonsense", "![x](y)"])
def test_an_image_that_is_not_in_the_dataset_is_one_sentence_with_a_way_on(
    open_page: Callable[..., AppTest], given: str
) -> None:
    app = open_image(open_page, image=given)
    assert_no_error(app)
    [warning] = app.warning
    assert "No scored image of Digits" in warning.value
    assert "![x]" not in warning.value
    assert not app.header
    app = settled(button(app, "Show the least likely image here").click().run())
    assert_no_error(app)
    assert fact(app, "Name")


def test_an_image_of_another_class_leads_there(open_page: Callable[..., AppTest]) -> None:
    item = DIGITS.item(7)
    other = next(label for label in DIGITS.labels() if label != item.label)
    app = open_image(open_page, image=item.digest, **{"class": other})
    assert any(f"This image is of digit {item.label}" in note.value for note in app.info)
    app = settled(button(app, f"Go to digit {item.label}").click().run())
    assert_no_error(app)
    assert fact(app, "Name") == item.name


def test_a_listed_image_shows_what_is_known_without_its_picture(open_page: Callable[..., AppTest]) -> None:
    app = open_image(open_page, encoder="photo", dataset="mnist")
    assert_no_error(app)
    assert any("Its picture is not here" in one.value for one in app.markdown)
    assert not cards(app)
    assert any("The map needs the picture itself" in note.value for note in app.info)
    assert any("singular values" in heading.value for heading in app.header)
    assert "FOLDER" in app.code[0].value
    assert len(app.code) == 1
    assert not [job for job in resources.jobs().all() if job.key.startswith("directions:")]


def test_a_listed_dataset_without_scores_is_a_sentence(open_page: Callable[..., AppTest]) -> None:
    app = open_image(open_page, encoder="world", dataset="imagenette-train")
    assert_no_error(app)
    assert any(escaped("has no scores of them: choose another set") in note.value for note in app.info)


def test_a_folder_appears_as_soon_as_it_is_scored(open_page: Callable[..., AppTest], tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    write_digits(folder, range(3))
    app = choose_folder(open_page(), folder)
    app = settled(settled(app.switch_page("pages/image.py").run()))
    assert_no_error(app)
    assert fact(app, "Dataset") == "mine"
    assert fact(app, "percentile in mine") == "16.7"
    assert "--data " + shlex.quote(str(folder)) in app.code[0].value


def test_a_file_that_is_gone_is_said_in_place_of_the_picture(open_page: Callable[..., AppTest], tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    write_digits(folder, range(3))
    app = choose_folder(open_page(), folder)
    table = score_tables.scores(app.session_state["choice"], resources.dataset(str(folder)))
    name = table.sort_values("jepa_score")["name"].iloc[0]
    (folder / name).write_bytes(images.to_png(Image.new("RGB", (8, 8))))
    app = settled(app.switch_page("pages/image.py").run())
    assert [element.message for element in app.exception] == []
    assert "its bytes changed" in pictures(app)


def test_a_single_image_has_no_percentile_and_no_way_on(open_page: Callable[..., AppTest], tmp_path: Path) -> None:
    folder = tmp_path / "one"
    write_digits(folder, [0])
    app = choose_folder(open_page(), folder)
    app = settled(app.switch_page("pages/image.py").run())
    assert_no_error(app)
    assert "percentile in one" not in facts(app)
    assert button(app, "Less likely").disabled
    assert button(app, "More likely").disabled


def test_an_estimate_says_so_and_can_be_scored_fully(open_page: Callable[..., AppTest], tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    write_digits(folder, range(90))
    for path in folder.iterdir():  # no shipped table knows them
        picture = images.decode(path.read_bytes()).image.transpose(Image.Transpose.ROTATE_90)
        picture.save(path)
    app = open_page()
    app.selectbox(key="method").select("quick").run()
    app = settled(settled(choose_folder(app, folder)))  # the ends are verified after the estimates
    choice, dataset = app.session_state["choice"], resources.dataset(str(folder))
    table = score_tables.scores(choice, dataset)
    row = table[table["estimated"]].iloc[0]
    app.query_params["image"] = row["digest"]
    app = settled(app.switch_page("pages/image.py").run())
    assert_no_error(app)
    assert fact(app, "JEPA-SCORE").startswith("≈ ")
    assert f"90 % interval {row['low']:.1f} to {row['high']:.1f}" in facts(app)
    assert fact(app, "listing score") == "none"
    assert fact(app, "Method").startswith("estimated by a forward pass and 0 of 16 products")
    assert any("This score is an estimate" in note.value for note in app.info)
    app = settled(settled(button(app, "Score it fully").click().run()))
    assert_no_error(app)
    full = score_tables.scores(choice, dataset).set_index("name").loc[row["name"]]
    assert not full["estimated"]
    assert shown_score(app) == pytest.approx(full["jepa_score"], abs=0.006)
