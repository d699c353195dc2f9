"""Every page through Streamlit's AppTest, on the bundled encoder and the shipped scores."""

import json
import re
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import streamlit as st
from PIL import Image
from streamlit.testing.v1 import AppTest

from jepa_core import datasets, encoders, images, precision, tables
from jepa_core.domains import domain_table, in_words, load_domain
from jepa_core.encoders import get_spec, load_card
from jepa_core.records import Result
from jepa_core.scoring import config_of
from jepa_core.store import Store
from pages._shared import state
from pages._shared.text import plain

ROOT = Path(__file__).parent.parent


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch) -> Callable[..., AppTest]:
    """Open a page of the app in a fresh session, with nothing left of other tests' stores."""
    # Streamlit leaves app.py as the main module, which processes started by later tests would then run.
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    st.cache_resource.clear()
    st.cache_data.clear()

    def open_page(name: str = "gallery") -> AppTest:
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
        return app if name == "gallery" else app.switch_page(f"pages/{name}.py").run()

    return open_page


def settled(app: AppTest) -> AppTest:
    """Run the page until no job is shown any more; a fragment does this in a browser."""
    for _ in range(200):
        jobs = [job for job in state.jobs().all() if job.active]
        if not jobs:
            break
        jobs[0].wait(60)
    return app.run()


def pictures(app: AppTest) -> str:
    return " ".join(
        block.proto.html.body if hasattr(block.proto, "html") else block.proto.body for block in app.get("html")
    )


def assert_no_error(app: AppTest) -> None:
    assert [element.message for element in app.exception] == []
    assert [element.value for element in app.error] == []


def test_the_gallery_shows_both_ends_and_random_pictures_at_once(open_page: Callable[..., AppTest]) -> None:
    app = open_page()
    assert_no_error(app)
    assert [heading.value for heading in app.subheader][:3] == ["Least likely", "Most likely", "Random"]
    assert pictures(app).count("<figure>") == 24
    assert pictures(app).count("data:image/png") == 24


def test_a_class_is_ranked_within_itself(open_page: Callable[..., AppTest]) -> None:
    app = open_page()
    app.selectbox(key="class").select("3").run()
    assert_no_error(app)
    assert "class 4" not in pictures(app)
    assert "Scores of 3" in [heading.value for heading in app.subheader]


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
    for item in datasets.sample(datasets.get_dataset("digits-test"), 5, seed=1):
        (folder / f"{item.position}.ppm").write_bytes(item.read())
    (folder / "broken.png").write_bytes(b"not a picture")
    app = open_page()
    app.selectbox(key="dataset").select("folder on this computer").run()
    app.text_input(key="folder").set_value(str(folder)).run()
    app = settled(app)
    assert_no_error(app)
    assert pictures(app).count("data:image/png") == 2 + 2 + 2
    assert any("1 of 6 images could not be scored" in expander.label for expander in app.expander)
    assert any("broken.png" in text.value for text in app.markdown)


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A folder of pictures that no shipped table knows, enough for a sketch."""
    folder = tmp_path / "many"
    folder.mkdir()
    for item in datasets.sample(datasets.get_dataset("digits-train"), 300, seed=2):
        turned = images.decode(item.read()).image.transpose(Image.Transpose.ROTATE_90)
        turned.save(folder / f"{item.position}.png")
    return folder


def open_folder(app: AppTest, folder: Path) -> AppTest:
    app.selectbox(key="dataset").select("folder on this computer").run()
    return settled(app.text_input(key="folder").set_value(str(folder)).run())


def test_a_sketch_marks_its_estimates_and_scores_the_ends_fully(open_page: Callable[..., AppTest], many: Path) -> None:
    app = open_page()
    app.selectbox(key="method").select("sketch").run()
    app = settled(open_folder(app, many))  # the ends come after the estimates
    assert_no_error(app)
    least, most, random = (block.proto.body for block in app.get("html") if "<figure>" in block.proto.body)
    assert "≈" not in least + most
    assert "≈" in random
    assert random.count("method=sketch&amp;precision=fp32") == random.count("<figure>"), "a link keeps the estimates"
    assert any("of 300 scores are estimates by a sketch (1 of 16 products" in text.value for text in app.caption)


def test_a_folder_too_small_for_a_sketch_is_scored_fully(open_page: Callable[..., AppTest], tmp_path: Path) -> None:
    folder = tmp_path / "few"
    folder.mkdir()
    for item in datasets.sample(datasets.get_dataset("digits-test"), 5, seed=1):
        (folder / f"{item.position}.ppm").write_bytes(item.read())
    app = open_page()
    app.selectbox(key="method").select("sketch").run()
    app = open_folder(app, folder)
    assert_no_error(app)
    assert "≈" not in pictures(app)
    assert any("too small for a sketch, which needs 288 images" in text.value for text in app.caption)


def test_the_precision_that_was_used_is_said(
    open_page: Callable[..., AppTest], many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "_is_fast", lambda _device: True)
    monkeypatch.setattr(precision, "AGREEMENT", -1.0)
    app = open_page()
    app.selectbox(key="precision").select("auto").run()
    app = open_folder(app, many)
    assert_no_error(app)
    assert any(plain("Full scores in bfloat16. Precision: bfloat16:") in text.value for text in app.caption)


def test_a_class_with_one_image_says_so(open_page: Callable[..., AppTest], tmp_path: Path) -> None:
    folder = tmp_path / "one" / "class"
    folder.mkdir(parents=True)
    (folder / "a.ppm").write_bytes(datasets.get_dataset("digits-test").item(0).read())
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


def test_domains_shows_four_methods_with_intervals_and_says_what_is_seen(open_page: Callable[..., AppTest]) -> None:
    app = open_page("domains")
    assert_no_error(app)
    table, more = (shown.value for shown in app.dataframe[:2])
    assert table["domain"].iloc[0] == "Digits (test)"
    assert list(table.columns[1:5]) == ["auroc_jepa", "auroc_gaussian", "auroc_knn", "auroc_mahalanobis"]
    for column in table.columns[1:5]:
        assert pd.isna(table[column].iloc[0])
        assert table[column].iloc[1:].str.fullmatch(r"[01]\.\d\d \([01]\.\d\d to [01]\.\d\d\)").all()
    assert more["percentile_jepa"].between(0, 100).all()
    assert more["fpr95_mahalanobis"].iloc[1:].notna().all()
    store, spec = state.store(), get_spec("digits")
    listed = [name for name, one in datasets.list_datasets().items() if one.title in set(table["domain"])]
    loaded = {name: load_domain(store, spec, "projector", name) for name in (*listed, "digits-train")}
    expected = domain_table([loaded[name] for name in listed], loaded["digits-test"], loaded["digits-train"])
    expected["domain"] = [datasets.list_datasets()[name].title for name in expected["domain"]]
    assert plain(in_words(expected, "Digits (test)")) in shown_text(app)
    assert "1077 images that the encoder was trained on, none of them judged" in shown_text(app)


def shown_text(app: AppTest) -> str:
    return "\n".join(element.value for kind in (app.markdown, app.caption, app.subheader) for element in kind)


AGREE, SIZES = "Do encoders agree?", "Does a larger training set make foreign images less likely?"


def test_domains_of_the_only_encoder_claims_nothing(
    open_page: Callable[..., AppTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    card = get_spec("digits").weights.with_suffix(".json")
    monkeypatch.setattr(encoders, "_card_paths", lambda: iter([card]))
    app = open_page("domains")
    app.selectbox(key="reference").select("digits-train").run()
    assert_no_error(app)
    text = shown_text(app)
    assert plain("There are no distances: the reference is the set that they would be fitted on.") in text
    assert AGREE in text
    assert plain("No other encoder has scores of Digits (train)") in text
    assert SIZES not in text


@pytest.fixture
def fellows(install_tiny: Callable[..., Path]) -> None:
    """Three made-up encoders of one recipe: `whole`, `tenth` (a tenth of the training set) and `again` (another seed).

    All order the test digits alike, `again` the other way round; `whole` finds noise less likely than `tenth` does.
    """
    template = install_tiny()
    card = json.loads(template.read_text()) | {"training": "", "known_failures": []}
    store = Store()
    tables.load_all_shipped(store)
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
        config = config_of(get_spec(name), "projector")
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
    assert plain("There are no distances: the images that this encoder was trained on are not among") in text
    assert "auroc_knn" not in app.dataframe[0].value
    assert plain("whole and tenth share 100 % of the 18 least likely images (more than chance)") in text
    assert plain("whole and again share 0 % of the 18 least likely images (no more than chance)") in text
    assert "Spearman's rho 1.00. *(another recipe)*" in text
    assert "Spearman's rho -1.00. *(same recipe, another seed)*" in text


@pytest.mark.usefixtures("fellows")
def test_domains_tests_the_claim_on_training_sets_where_a_pair_can(open_page: Callable[..., AppTest]) -> None:
    app = open_page("domains")
    assert SIZES not in shown_text(app), "the chosen encoder is in no pair"
    assert plain("tenth and whole differ in the size of their training sets alone: choose one") in shown_text(app)
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
    digest = datasets.get_dataset("digits-test").item(7).digest
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
    assert [metric.label for metric in app.metric] == [
        "JEPA-SCORE",
        "Percentile of the score",
        "Percentile of the distance",
    ]


def choose_folder(app: AppTest, folder: Path) -> AppTest:
    app.selectbox(key="dataset").select("folder on this computer").run()
    return settled(app.text_input(key="folder").set_value(str(folder)).run())


def write_digits(folder: Path, positions: Iterable[int]) -> None:
    folder.mkdir(exist_ok=True)
    for position in positions:
        (folder / f"{position}.ppm").write_bytes(datasets.get_dataset("digits-test").item(position).read())


def test_a_folder_that_changes_is_noticed(open_page: Callable[..., AppTest], tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    write_digits(folder, range(6))
    app = choose_folder(open_page(), folder)
    assert "Percentiles are among the 6 images of mine." in [text.value for text in app.caption]
    (folder / "0.ppm").unlink()
    (folder / "1.ppm").write_bytes(datasets.get_dataset("galaxies").item(0).read())
    write_digits(folder, (7, 8))
    state.dataset.clear()  # a listing is kept for some seconds
    app = settled(app.run())
    assert_no_error(app)
    assert "Percentiles are among the 7 images of mine." in [text.value for text in app.caption]
    assert "0.ppm" not in pictures(app)
    assert scoring_of(app, "1.ppm") != scoring_of(app, "2.ppm")


def scoring_of(app: AppTest, name: str) -> float:
    table = state.scores(app.session_state["choice"], state.dataset(app.text_input(key="folder").value))
    return table.set_index("name")["jepa_score"][name]


def test_directions_of_a_file_that_moved_up_are_its_own(open_page: Callable[..., AppTest], tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    write_digits(folder, range(6))
    app = choose_folder(open_page(), folder)
    (folder / "0.ppm").unlink()
    state.dataset.clear()
    app = settled(app.switch_page("pages/directions.py").run())
    app = settled(app)
    assert_no_error(app)
    for place in range(1, 6):
        app = settled(app.slider(key="place").set_value(place).run())
        table = state.scores(app.session_state["choice"], state.dataset(str(folder))).sort_values("jepa_score")
        row = table.iloc[place - 1]
        [job] = [job for job in state.jobs().all() if job.key.endswith(row["digest"])]
        assert np.log(job.result.sigma).sum() == pytest.approx(row["jepa_score"], abs=1e-3)


def test_names_from_outside_are_shown_as_they_are(open_page: Callable[..., AppTest], tmp_path: Path) -> None:
    folder = tmp_path / "![x](y)"
    name = "*a* $b$ :smile: <b>c"
    write_digits(folder, ())
    write_digits(folder / name, range(3))
    (folder / name / "_bad_.png").write_bytes(b"nothing")
    app = choose_folder(open_page(), folder)
    assert_no_error(app)
    shown = [element.value for kind in (app.markdown, app.subheader, app.caption) for element in kind]
    assert not any(re.search(r"(?<!\\)(\*a\*|\$b|_bad_|!\[x\]|:smile)", text) for text in shown)
    assert "<b>c" not in pictures(app)


def test_encoders_shows_the_card_of_the_chosen_one(open_page: Callable[..., AppTest]) -> None:
    app = open_page("encoders")
    assert_no_error(app)
    table = app.dataframe[0].value.set_index("encoder")
    card = load_card(get_spec("digits"))
    assert table.loc["digits", "probe"] == card["metrics"]["linear_probe"]["backbone"]["test"]
    shown = " ".join(text.value for text in app.markdown)
    assert plain(card["data"]) in shown
    assert plain(card["terms"]) in shown
    assert all(plain(sentence) in shown for sentence in card["known_failures"])


@pytest.mark.parametrize("page", ["gallery", "domains", "directions", "encoders", "check"])
def test_a_cache_that_cannot_be_written_is_a_sentence_and_the_page_still_works(
    open_page: Callable[..., AppTest], page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("not a folder")
    monkeypatch.setenv("JEPA_CACHE", str(in_the_way / "cache"))
    app = open_page(page)
    assert_no_error(app)
    assert len(app.warning) == 1
    assert plain("JEPA_CACHE") in app.warning[0].value


def test_a_damaged_store_is_set_aside_with_a_sentence(open_page: Callable[..., AppTest], cache: Path) -> None:
    (cache / "store.sqlite").write_bytes(b"garbage" * 1000)
    app = open_page()
    assert_no_error(app)
    assert "damaged" in app.warning[0].value
    assert pictures(app).count("data:image/png") == 24


def test_a_computation_that_was_stopped_waits_to_be_asked_for(open_page: Callable[..., AppTest]) -> None:
    release = threading.Event()
    app = open_page()
    state.jobs().submit("long", "Long", lambda _job: release.wait(60), urgent=True)
    app = app.switch_page("pages/directions.py").run()
    [job] = [job for job in state.jobs().all() if job.key.startswith("directions:")]
    job.cancel()
    release.set()
    app = settled(app)
    assert_no_error(app)
    assert "Change of the picture" not in pictures(app)
    next(button for button in app.button if button.label == "Compute it after all").click().run()
    app = settled(app)
    assert "Change of the picture" in pictures(app)
