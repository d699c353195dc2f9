"""The section "What else differs?" of the Domains page."""

from collections.abc import Callable

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from jepa_core.confounds import image_stats, matching, measure
from jepa_core.confounds.image_stats import MEASURES
from jepa_core.confounds.report import in_words
from jepa_core.datasets.registry import get_dataset
from jepa_core.encoders.registry import get_spec
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.stored import stored_scores
from jepa_core.store import shipped
from jepa_core.store.records import Result
from jepa_core.store.results import Store
from pages._shared import resources
from pages._shared.text import escaped
from tests.pages.test_domains import shown_text
from tests.pages.test_pages import assert_no_error, settled

DIGITS = get_spec("digits")
DOMAIN = "closer"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each set a few pictures are measured."""
    monkeypatch.setattr(measure, "MOST_MEASURED", 60)


def measured(name: str) -> matching.Measured:
    table = stored_scores(resources.store(), EncoderOutput(DIGITS, "projector"), name)
    return measure.load(resources.store(), DIGITS, get_dataset(name), table)


@pytest.mark.usefixtures("quick")
def test_the_pictures_are_measured_by_a_job_and_the_conclusion_is_said(open_page: Callable[..., AppTest]) -> None:
    app = open_page("domains")
    app.multiselect(key="domains").set_value(["inverted-digits", "noise"]).run()
    app.selectbox(key=DOMAIN).select("inverted-digits").run()
    assert {job.title for job in resources.jobs().all()} >= {
        "Measuring the pictures of Digits (test)",
        "Measuring the pictures of Inverted digits",
    }
    app = settled(app)
    assert_no_error(app)
    assert "What else differs?" in shown_text(app)
    found = matching.explain(measured("digits-test"), measured("inverted-digits"))
    said = shown_text(app) + "".join(warning.value for warning in app.warning)
    assert escaped(in_words(found)) in said
    (table,) = [shown.value for shown in app.dataframe if "measure" in shown.value]
    assert [title.lower() for title in table["measure"]] == [one.title.lower() for one in MEASURES.values()]
    assert table["auroc"].tolist() == [one.auroc for one in found.confounds]
    app.selectbox(key=DOMAIN).select("noise").run()
    app = settled(app)
    assert_no_error(app)
    found = matching.explain(measured("digits-test"), measured("noise"))
    assert escaped(in_words(found)) in shown_text(app) + "".join(warning.value for warning in app.warning)


@pytest.fixture
def brightness_alone(install_tiny: Callable[..., object]) -> str:
    """An encoder whose score is nothing but how bright a picture is."""
    install_tiny(training="")
    spec, store = get_spec("tiny"), Store()
    shipped.load_all_shipped(store)
    for name in ("flat-colours", "mixed-test"):
        dataset, table = (
            get_dataset(name),
            stored_scores(store, EncoderOutput(DIGITS, "projector"), name),
        )
        measure.measure_missing(store, spec, dataset, table)
        brightness = measure.load(store, spec, dataset, table).values[:, list(MEASURES).index("brightness")]
        results = [
            Result(digest, np.full(16, np.exp(value / 160)), np.zeros(16), 0.0, 0.0, "cpu")
            for digest, value in zip(table["digest"], brightness, strict=True)
        ]
        store.put(EncoderOutput.of(spec, "projector").config(), results)
    return "tiny"


def test_a_score_that_is_brightness_is_warned_of(open_page: Callable[..., AppTest], brightness_alone: str) -> None:
    app = open_page("domains")
    app.selectbox(key="encoder").select(brightness_alone).run()
    app.selectbox(key="reference").select("flat-colours").run()
    app.multiselect(key="domains").set_value(["mixed-test"]).run()
    assert_no_error(app)
    (warning,) = app.warning
    assert warning.value.startswith(escaped("Brightness explains most of what tells Mixed (test) from Flat colours."))
    assert not any("Mixed" in job.title or "Flat" in job.title for job in resources.jobs().all()), "measured before"


def test_a_set_whose_pictures_are_elsewhere_is_compared_by_its_shipped_measures(
    open_page: Callable[..., AppTest],
) -> None:
    app = open_page("domains")
    app.multiselect(key="domains").set_value(["mnist"]).run()
    app = settled(app)
    assert_no_error(app)
    assert not any("are not here, only their scores" in plain_again(one.value) for one in app.info)
    assert any("measure" in shown.value for shown in app.dataframe)


def test_a_set_without_pictures_and_measures_says_so_and_nothing_is_measured(
    open_page: Callable[..., AppTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_stats, "VERSION", -1)  # a formula that changed leaves the shipped measures behind
    app = open_page("domains")
    app.multiselect(key="domains").set_value(["mnist"]).run()
    assert_no_error(app)
    assert any("The pictures of MNIST are not here, only their scores" in plain_again(one.value) for one in app.info)
    assert [job for job in resources.jobs().all() if "MNIST" in job.title] == []


def plain_again(text: str) -> str:
    return text.replace("\\", "")


@pytest.mark.usefixtures("quick")
def test_a_measuring_that_was_stopped_waits_to_be_asked(
    open_page: Callable[..., AppTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = []

    def stop(*_args, **_options) -> list:
        for job in resources.jobs().all():
            if job.title.startswith("Measuring"):
                job.cancel()
                stopped.append(job)
        return []

    with monkeypatch.context() as patch:
        patch.setattr(measure, "measure_missing", stop)
        app = open_page("domains")
        app.multiselect(key="domains").set_value(["noise"]).run()
        app = settled(app)
    assert stopped
    app.run()
    asked = [button for button in app.button if button.label.startswith("Measure the pictures of")]
    assert [button.label for button in asked] == [
        escaped("Measure the pictures of Digits (test)"),
        "Measure the pictures of Uniform noise",
    ]
    for button in asked:
        button.click()
    app = settled(app.run())
    app = settled(app)
    assert_no_error(app)
    assert any("measure" in shown.value for shown in app.dataframe)


def test_without_a_domain_there_is_nothing_to_compare(open_page: Callable[..., AppTest]) -> None:
    app = open_page("domains")
    app.multiselect(key="domains").set_value([]).run()
    assert_no_error(app)
    assert not [box for box in app.selectbox if box.key == DOMAIN]
    assert "What else differs?" not in shown_text(app)
