"""The Domains page through Streamlit's AppTest: what it says of one encoder, of several, and of a known density."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from jepa_core.analysis import side_by_side
from jepa_core.analysis.methods import COMPARED, load_domain
from jepa_core.analysis.separation import domain_table, in_words
from jepa_core.analysis.spectrum_bands import in_words as bands_in_words
from jepa_core.analysis.spectrum_bands import spectrum_bands_between
from jepa_core.confounds import measure
from jepa_core.datasets import known_density, registry
from jepa_core.encoders import registry as encoders_registry
from jepa_core.encoders.registry import get_spec
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.stored import stored_scores
from jepa_core.store import shipped
from jepa_core.store.records import Result
from jepa_core.store.results import Store
from pages._shared import resources
from pages._shared.text import escaped
from tests.pages.test_pages import assert_no_error


@pytest.fixture(autouse=True)
def measuring_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pictures are measured behind the tests of the other sections: `test_domains_confounds` looks at that."""
    monkeypatch.setattr(measure, "measure_missing", lambda *_given: [])


def test_domains_shows_each_method_with_intervals_and_says_what_is_seen(open_page: Callable[..., AppTest]) -> None:
    app = open_page("domains")
    assert_no_error(app)
    table, more = (shown.value for shown in app.dataframe[:2])
    assert table["domain"].iloc[0] == "Digits (test)"
    assert list(table.columns[1 : 1 + len(COMPARED)]) == [f"auroc_{method}" for method in COMPARED]
    for column in table.columns[1:6]:
        assert pd.isna(table[column].iloc[0])
        assert table[column].iloc[1:].str.fullmatch(r"[01]\.\d\d \([01]\.\d\d to [01]\.\d\d\)").all()
    assert more["percentile_jepa"].between(0, 100).all()
    assert more["fpr95_mahalanobis"].iloc[1:].notna().all()
    assert more["aupr_norm"].iloc[1:].notna().all()
    store, spec = resources.store(), get_spec("digits")
    listed = [name for name, one in registry.list_datasets().items() if one.title in set(table["domain"])]
    loaded = {name: load_domain(store, EncoderOutput(spec, "projector"), name) for name in (*listed, "digits-train")}
    expected = domain_table([loaded[name] for name in listed], loaded["digits-test"], loaded["digits-train"])
    expected["domain"] = [registry.list_datasets()[name].title for name in expected["domain"]]
    assert all(escaped(sentence) in shown_text(app) for sentence in in_words(expected, "Digits (test)"))
    assert "1077 images of Digits (train), none of them judged" in shown_text(app)


def test_domains_says_which_end_of_the_spectrum_separates_the_domain_that_is_chosen(
    open_page: Callable[..., AppTest],
) -> None:
    app = open_page("domains")
    for name in ("noise", "galaxies"):
        app.selectbox(key="closer").select(name).run()
        assert_no_error(app)
        found = spectrum_bands_between(
            resources.store(), EncoderOutput(get_spec("digits"), "projector"), "digits-test", name
        )
        titles = (registry.list_datasets()[one].title for one in (name, "digits-test"))
        assert escaped(bands_in_words(found, *titles)) in shown_text(app)
    app.multiselect(key="domains").set_value([]).run()
    assert_no_error(app)
    assert "The head or the tail of the spectrum?" not in shown_text(app)


def test_domains_draws_its_sets_in_the_form_that_is_chosen(open_page: Callable[..., AppTest]) -> None:
    app = open_page("domains")
    app.multiselect(key="domains").set_value(["noise"]).run()
    for form, words in (("density", "A smoothed histogram"), ("cumulative", "Dotted is the reference")):
        app.button_group(key="form").set_value(form).run()
        assert_no_error(app)
        assert words in shown_text(app)
        assert app.query_params["form"] == form
    figure = json.loads(app.get("plotly_chart")[0].proto.spec)
    assert [trace["line"].get("dash") for trace in figure["data"]].count("dot") == 1


def test_domains_side_by_side_measures_each_encoder_by_its_own_reference(open_page: Callable[..., AppTest]) -> None:
    app = open_page("domains")
    app.multiselect(key="domains").set_value(["noise", "digits-train"]).run()
    app.button_group(key="across").set_value("all").run()
    assert_no_error(app)
    names = ["digits", "mixed", "photo", "photo-tenth", "world"]
    text = shown_text(app)
    assert [name for name in names if f"**{escaped(name)}**, projector" in text] == names
    listed = registry.list_datasets()
    lines = []
    for name in names:
        tables = {
            one: stored_scores(resources.store(), EncoderOutput(get_spec(name), "projector"), one)
            for one in ("digits-test", "noise", "digits-train")
        }
        lines += [
            side_by_side.line(name, listed[one].title, table, tables["digits-test"])
            for one, table in tables.items()
            if len(table)
        ]
    expected = pd.DataFrame(lines)
    assert escaped(side_by_side.in_words(expected, "Digits (test)")) in text
    table = app.dataframe[0].value
    assert table["domain"].tolist() == ["Digits (test)", "Uniform noise", listed["digits-train"].title]
    shown = {name: [None if value != value else value for value in table[name]] for name in names}  # NaN is not itself
    assert shown == side_by_side.by_encoder(expected, "auroc", names)
    assert table["photo"].isna().tolist() == [True, False, True], "photo has no scores of the training digits"


def shown_text(app: AppTest) -> str:
    return "\n".join(element.value for kind in (app.markdown, app.caption, app.header) for element in kind)


AGREE, SIZES = "Do encoders agree?", "Does a larger training set make foreign images less likely?"


def test_domains_of_the_only_encoder_claims_nothing(
    open_page: Callable[..., AppTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    card = get_spec("digits").weights.with_suffix(".json")
    monkeypatch.setattr(encoders_registry, "_card_paths", lambda: iter([card]))
    app = open_page("domains")
    app.selectbox(key="reference").select("digits-train").run()
    assert_no_error(app)
    text = shown_text(app)
    assert escaped("There are no distances: the reference is the set that they would be fitted on.") in text
    assert AGREE in text
    assert escaped("No other encoder has scores of Digits (train)") in text
    assert SIZES not in text


@pytest.fixture
def fellows(install_tiny: Callable[..., Path]) -> None:
    """Three made-up encoders of one recipe: `whole`, `tenth` (a tenth of the training set) and `again` (another seed).

    All order the test digits alike, `again` the other way round; `whole` finds noise less likely than `tenth` does.
    """
    template = install_tiny()
    card = json.loads(template.read_text()) | {"training": "", "known_failures": []}
    store = Store()
    shipped.load_all_shipped(store)
    recipe = {"share": 1.0, "seed": 0, "steps": 100}
    generator = np.random.default_rng(0)
    orders = {name: generator.permutation(len(store.members(name))) for name in ("digits-test", "noise")}
    made = {
        "whole": (recipe, 1, -200.0),
        "tenth": (recipe | {"share": 0.1}, 1, 0.0),
        "again": (recipe | {"seed": 1}, -1, 0.0),
    }
    for name, (its_recipe, sign, noise) in made.items():
        changed = card | {"name": name, "weights_digest": name, "recipe": its_recipe | {"name": name}}
        template.with_name(f"{name}.json").write_text(json.dumps(changed))
        config = EncoderOutput.of(get_spec(name), "projector").config()
        for dataset, order in orders.items():
            scores = sign * order / 10 + (noise / 10 if dataset == "noise" else 0.0)
            results = [
                Result(member.digest, np.full(16, np.exp(score / 16)), np.zeros(16), 0.0, 0.0, "cpu")
                for member, score in zip(store.members(dataset), scores, strict=True)
            ]
            store.put(config, results)
    template.unlink()


@pytest.mark.usefixtures("fellows")
def test_domains_compares_encoders_by_their_orders_and_says_how_they_are_related(
    open_page: Callable[..., AppTest],
) -> None:
    app = open_page("domains")
    app.selectbox(key="encoder").select("whole").run()
    app.selectbox(key="reference").select("digits-test").run()
    assert_no_error(app)
    text = shown_text(app)
    assert escaped("There are no distances: the images that this encoder was trained on are not among") in text
    assert "auroc_knn" not in app.dataframe[0].value
    assert escaped("whole and tenth share 100 % of the 18 least likely images (more than chance)") in text
    assert escaped("whole and again share 0 % of the 18 least likely images (no more than chance)") in text
    assert "Spearman's rho 1.00 (1.00 to 1.00). *(another recipe)*" in text
    assert "Spearman's rho -1.00 (-1.00 to -1.00). *(same recipe, another seed)*" in text


@pytest.mark.usefixtures("fellows")
def test_domains_tests_the_claim_on_training_sets_where_a_pair_can(open_page: Callable[..., AppTest]) -> None:
    app = open_page("domains")
    assert SIZES not in shown_text(app), "the chosen encoder is in no pair"
    assert escaped("tenth and whole differ in the size of their training sets alone: choose one") in shown_text(app)
    app.selectbox(key="encoder").select("tenth").run()
    app.selectbox(key="reference").select("digits-test").run()
    app.multiselect(key="domains").set_value(["noise"]).run()
    assert_no_error(app)
    text = shown_text(app)
    assert SIZES in text
    assert "whole was trained on all of the training images, tenth on 10 % of them" in text
    assert "The claim holds on 1 of 1 sets" in text
    app.selectbox(key="encoder").select("again").run()
    assert_no_error(app)
    assert SIZES not in shown_text(app)


def test_domains_holds_the_score_against_the_known_density_of_the_world(open_page: Callable[..., AppTest]) -> None:
    app = open_page("domains")
    app.selectbox(key="reference").select("world-test").run()
    assert_no_error(app)
    store = Store()
    table = load_domain(store, EncoderOutput(get_spec("digits"), "projector"), "world-test").table
    scale = np.resize(get_spec("digits").data_config["std"], 3)
    _kinds, truth = known_density.known_log_density("test", table["position"].tolist(), scale)
    rho = pd.Series(truth).corr(table["jepa_score"].reset_index(drop=True), method="spearman")
    (sentence,) = [part.value for part in app.markdown if "drawn from a known density" in part.value]
    assert f"and {rho:.2f}" in sentence.split("with the Gaussian term")[0]
    assert f"{len(table)} pictures" in sentence
