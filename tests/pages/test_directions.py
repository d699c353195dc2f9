"""The Directions page through Streamlit's AppTest: the vectors of a direction, and the walk along it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from jepa_core.datasets import registry
from jepa_core.explain.directions import largest
from jepa_core.explain.walks import STEPS, Walks
from pages._shared import jacobian_jobs, resources, score_tables
from tests.helpers import grids
from tests.pages.test_pages import assert_no_error, choose_folder, pictures, settled, write_digits

DIGITS = registry.get_dataset("digits-test")


def open_directions(open_page: Callable[..., AppTest], **query: str) -> AppTest:
    """The page by its link, with the walk, which comes after the directions."""
    app = open_page()
    for name, value in query.items():
        app.query_params[name] = value
    return settled(settled(app.switch_page("pages/directions.py").run()))


def walks_of() -> Walks:
    """The latest walk that was computed."""
    return [job.result for job in resources.jobs().all() if isinstance(job.result, Walks)][-1]


def found_of(digest: str) -> object:
    """The directions of an image that were computed."""
    [job] = [job for job in resources.jobs().all() if job.key.startswith("directions:") and job.key.endswith(digest)]
    return job.result


def text(app: AppTest) -> str:
    return " ".join(element.value for kind in (app.markdown, app.caption) for element in kind)


def test_the_embeddings_answer_names_the_numbers_that_move_most(open_page: Callable[..., AppTest]) -> None:
    digest = DIGITS.item(7).digest
    app = open_directions(open_page, image=digest)
    assert_no_error(app)
    first, second, third = (place + 1 for place in largest(found_of(digest).left[0]))
    assert f"Numbers {first}, {second} and {third} of the embedding move most" in text(app)
    app = settled(app.slider(key="k").set_value(4).run())
    first, second, third = (place + 1 for place in largest(found_of(digest).left[3]))
    assert f"Numbers {first}, {second} and {third} of the embedding move most" in text(app)


def test_a_walk_starts_by_itself_and_shows_what_becomes_of_the_score(open_page: Callable[..., AppTest]) -> None:
    digest = DIGITS.item(7).digest
    app = open_directions(open_page, image=digest)
    assert_no_error(app)
    walk = walks_of().along
    app = app.slider(key="t").set_value(float(walk.lengths[0])).run()
    assert_no_error(app)
    assert f"Along direction 1 the score changes by **{walk.scores[0] - walk.scores[STEPS]:+.1f}**" in text(app)
    assert f"{walk.clipped[0]} of 256 pixels are clipped" in text(app)
    assert f"linear encoder would move it by {walk.predicted[0]:.3g}" in text(app)
    assert f"score {walk.scores[0]:.1f}" in pictures(app)
    row = score_tables.scores(app.session_state["choice"], DIGITS).set_index("digest").loc[digest]
    assert walk.scores[STEPS] == pytest.approx(row["jepa_score"], abs=0.02)


def test_the_slider_of_a_walk_computes_nothing(open_page: Callable[..., AppTest]) -> None:
    app = open_directions(open_page)
    before = [id(job) for job in resources.jobs().all()]
    for t in (-6.0, 0.0, 3.0):
        app = app.slider(key="t").set_value(t).run()
        assert_no_error(app)
        assert f"t = {t:g}" in pictures(app)
    assert [id(job) for job in resources.jobs().all()] == before
    assert "nothing has changed at t = 0" not in text(app)


def test_the_image_itself_is_said_to_be_unchanged(open_page: Callable[..., AppTest]) -> None:
    app = open_directions(open_page)
    app = app.slider(key="t").set_value(0.0).run()
    assert "nothing has changed at t = 0" in text(app)


def test_a_step_that_another_encoders_walk_does_not_have_falls_back_to_the_image(
    open_page: Callable[..., AppTest],
) -> None:
    app = open_page()
    app.session_state["t"] = 40.0
    app = settled(settled(app.switch_page("pages/directions.py").run()))
    assert_no_error(app)
    assert app.slider(key="t").value == 0.0


def test_a_random_direction_of_the_same_length_is_shown_beside_it(open_page: Callable[..., AppTest]) -> None:
    app = open_directions(open_page)
    both = walks_of()
    app = app.slider(key="t").set_value(float(both.along.lengths[-1])).run()
    change = both.random.scores[-1] - both.random.scores[STEPS]
    assert f"Along the random direction the score changes by **{change:+.1f}**" in text(app)
    titles = [card["title"] for card in grids(app)["walk"]]
    assert titles == ["The image", "Along direction 1", "Along a random direction"]


def test_a_long_walk_waits_to_be_asked_for(open_page: Callable[..., AppTest], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jacobian_jobs, "UNASKED_SECONDS", 0.0)
    app = open_directions(open_page)
    assert_no_error(app)
    assert "Change of the picture" in pictures(app), "the rest of the page is there"
    [offer] = [button for button in app.button if button.label.startswith("Walk along direction 1 (about ")]
    app = settled(offer.click().run())
    assert_no_error(app)
    assert np.isfinite(walks_of().along.scores).all()
    assert any(slider.key == "t" for slider in app.slider)


def test_a_picture_that_changed_is_one_sentence(open_page: Callable[..., AppTest], tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    write_digits(folder, range(3))
    app = choose_folder(open_page(), folder)
    for path in folder.iterdir():
        path.write_bytes(registry.get_dataset("galaxies").item(0).read())
    app = settled(app.switch_page("pages/directions.py").run())
    assert [element.message for element in app.exception] == []
    [error] = app.error
    assert "its bytes changed" in error.value


def test_directions_and_image_lead_to_each_other(open_page: Callable[..., AppTest]) -> None:
    digest = DIGITS.item(7).digest
    app = open_directions(open_page, image=digest)
    links = {link.proto.label: link.proto for link in app.get("page_link")}
    assert links["This image in detail"].page == "image"
    assert digest in links["This image in detail"].query_string
