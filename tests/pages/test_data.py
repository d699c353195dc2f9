"""The page Data: what can be explored, in groups; a download as a job; a look at one's own sets."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from jepa_core.datasets import catalog, download, fetching, registry, remembered
from jepa_core.scoring import forecast
from jepa_core.scoring.allocator import Prices
from pages._sections.data import own_sets
from pages._shared import known_sets, resources, scoring_job
from tests import hub
from tests.datasets import small_sets
from tests.helpers import pictured
from tests.pages.test_pages import assert_no_error

IMAGENETTE = "torchvision:imagenette/val"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(fetching, "_PAUSES", (0.0,))
    with hub.serving() as served:
        small_sets.serve("imagenette", served, monkeypatch)
        yield served


def settled(app: AppTest) -> AppTest:
    """The page once nothing is computed or downloaded any more."""
    for _ in range(100):
        active = [job for job in resources.all_jobs() if job.active]
        if not active:
            break
        active[0].wait(60)
    return app.run()


def titles(app: AppTest) -> list[str]:
    return [heading.value for heading in app.subheader]


def click(app: AppTest, key: str) -> AppTest:
    return app.button(key=key).click().run()


def opened(app: AppTest) -> AppTest:
    """The Gallery, which a button of Data has opened; AppTest itself stays where it was."""
    assert [title.value for title in app.title] == ["Gallery"]
    app = settled(app.switch_page("pages/gallery.py").run())
    assert_no_error(app)
    return app


def look(app: AppTest, name: str) -> AppTest:
    group(app, "own")
    app.text_input(key="own-set-name").set_value(name)
    next(button for button in app.button if button.label == "Look").click().run()
    return settled(app)


def group(app: AppTest, name: str) -> AppTest:
    return app.button_group(key="group").set_value(name).run()


def test_the_groups_and_what_each_card_says(open_page: Callable[..., AppTest]) -> None:
    app = open_page("data")
    assert_no_error(app)
    listed = registry.list_datasets()
    counts = [f"To download ({len(catalog.ENTRIES)})", f"Bundled ({len(listed)})", "Your own (0)"]
    assert app.button_group(key="group").options == counts
    assert {"Imagenette (val)", "ImageNet-1k (validation)", "SVHN (test)"} <= set(titles(app))
    said = " ".join(text.value for text in app.markdown)
    assert "3,925 pictures, 10 classes, 99 MB to download" in said
    assert "**Log-in:** accept its terms on its page" in said
    assert "50,889 pictures, 1,000 classes, size unknown until its server is asked" in said
    assert [button.label for button in app.button if button.key == f"download:{IMAGENETTE}"] == ["Download (99 MB)"]
    app = group(app, "bundled")
    assert [title.replace("\\", "") for title in titles(app)] == [spec.title for spec in listed.values()]
    assert app.query_params["group"] == "bundled"
    assert_no_error(group(app, "own"))


def test_the_search_leaves_the_sets_with_all_words_of_all_groups(open_page: Callable[..., AppTest]) -> None:
    app = open_page("data")
    app.text_input(key="find").set_value("  Handwritten digits ").run()
    assert [heading.value for heading in app.header] == ["To download", "Bundled"]
    found = titles(app)
    assert {"MNIST (test)", "Digits (test)"} <= set(found)
    assert "CIFAR-10 (test)" not in found
    app.text_input(key="find").set_value("no such thing").run()
    assert titles(app) == []
    assert any("No set has these words" in said.value for said in app.info)


@pytest.mark.usefixtures("server")
def test_a_set_is_downloaded_by_a_job_and_opened_with_the_quick_look(open_page, monkeypatch) -> None:
    monkeypatch.setattr(scoring_job, "_ASK_ABOVE", 1)
    app = open_page("data")
    app = settled(click(app, f"download:{IMAGENETTE}"))
    assert_no_error(app)
    assert download.is_here(IMAGENETTE)
    assert f"download:{IMAGENETTE}" not in [button.key for button in app.button]
    app = opened(click(app, f"score:{IMAGENETTE}"))
    assert app.selectbox(key="dataset").value == IMAGENETTE
    assert app.selectbox(key="method").value == "quick"
    assert "Downloaded: Imagenette (val)" in app.selectbox(key="dataset").options
    assert pictured(app) > 2


def test_a_download_that_fails_is_one_sentence_and_can_be_tried_again(open_page, server) -> None:
    content = server.files.pop("imagenette2-160.tgz")
    app = settled(click(open_page("data"), f"download:{IMAGENETTE}"))
    assert [said.value.count("answered 404") for said in app.error] == [1]
    server.files["imagenette2-160.tgz"] = content
    app = settled(click(app, f"download:{IMAGENETTE}"))
    assert_no_error(app)
    assert download.is_here(IMAGENETTE)


@pytest.mark.usefixtures("server")
def test_a_download_can_be_stopped_and_gone_on_with(open_page, monkeypatch) -> None:
    monkeypatch.setattr(download, "download", lambda _name, _progress, cancelled: cancelled() or _wait(cancelled))
    app = click(open_page("data"), f"download:{IMAGENETTE}")
    [job] = resources.downloads().all()
    cancel = next(button for button in app.button if button.key == f"cancel:{job.key}")
    cancel.click().run()
    app = settled(app)
    assert [button.label for button in app.button if button.key == f"download:{IMAGENETTE}"] == [
        "Go on with the download (99 MB)"
    ]


def test_runs_lists_downloads_and_tries_them_again(open_page, server) -> None:
    content = server.files.pop("imagenette2-160.tgz")
    settled(click(open_page("data"), f"download:{IMAGENETTE}"))
    app = open_page("runs")
    assert any("Downloading Imagenette" in said.value for said in app.markdown)
    server.files["imagenette2-160.tgz"] = content
    [job] = resources.downloads().all()
    settled(click(app, f"retry:{job.key}"))
    assert download.is_here(IMAGENETTE)


def test_a_download_holds_up_no_score(open_page, monkeypatch) -> None:
    monkeypatch.setattr(download, "download", lambda _name, _progress, cancelled: _wait(cancelled))
    click(open_page("data"), f"download:{IMAGENETTE}")
    done = resources.jobs().submit("a score", "Scoring", lambda _job: 1)
    assert done.wait(60)
    assert done.result == 1
    assert resources.downloads().all()[0].active


def _wait(cancelled: Callable[[], bool]) -> bool:
    while not cancelled():
        time.sleep(0.01)
    return False


def test_how_long_scores_take_is_measured_only_when_it_is_asked_for(open_page, monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(forecast, "prices_of", lambda *args: asked.append(args) or Prices(0.01, 0.001, 1.0))
    app = open_page("data")
    assert asked == []
    app = settled(click(app, f"forecast:{IMAGENETTE}"))
    assert len(asked) == 1
    assert any("For 3,925 images here" in said.value for said in app.caption)


def test_a_size_that_is_unknown_is_asked_for_before_the_download(open_page, server, monkeypatch) -> None:
    small_sets.serve("places365", server, monkeypatch)
    name = "torchvision:places365/val"
    app = open_page("data")
    assert f"download:{name}" not in [button.key for button in app.button]
    app = settled(click(app, f"size:{name}"))
    assert app.button(key=f"download:{name}").label == "Download (1 MB)"


def test_a_look_at_a_folder_shows_pictures_and_classes_and_scores_nothing(open_page, folder: Path) -> None:
    app = look(open_page("data"), str(folder))
    assert_no_error(app)
    assert any("12 pictures, 2 classes" in text.value for text in app.markdown)
    assert len(app.get("image") or app.get("imgs")) == 8
    assert app.dataframe[0].value.to_dict("list") == {"class": ["even", "odd"], "pictures": [6, 6]}
    assert not any("Scoring" in job.title for job in resources.jobs().all())
    app = opened(click(app, f"score:folder:{folder}"))
    assert app.selectbox(key="dataset").value == f"folder:{folder}"
    assert "Yours: pictures" in app.selectbox(key="dataset").options


def test_a_look_at_a_set_to_download_offers_its_download(open_page, server) -> None:
    app = look(open_page("data"), IMAGENETTE)
    assert server.requests == []
    app = settled(click(app, f"download:{IMAGENETTE}"))
    assert_no_error(app)
    assert any("3 pictures, 3 classes" in text.value for text in settled(app).markdown)


def test_a_name_is_remembered_until_it_is_forgotten(open_page, folder: Path) -> None:
    look(open_page("data"), str(folder))
    assert remembered.names() == {f"folder:{folder}": "pictures"}
    app = group(open_page("data"), "own")
    assert "pictures" in titles(app), "in another session"
    app = click(app, f"forget:folder:{folder}")
    assert "pictures" not in titles(app)
    assert remembered.names() == {}
    assert folder.exists()


def test_what_cannot_be_opened_is_one_sentence(open_page) -> None:
    app = look(open_page("data"), "/nowhere/at all")
    assert ["There is no folder" in said.value for said in app.error] == [True]
    assert remembered.names() == {}


def test_each_example_is_of_a_kind_that_is_accepted() -> None:
    for example in own_sets.EXAMPLES.values():
        assert known_sets.is_elsewhere(example)


def test_a_set_that_an_address_names_is_opened_wherever_it_lies(open_page, folder: Path) -> None:
    app = open_page()
    app.query_params["dataset"] = str(folder)
    app.session_state["page:dataset"] = ""
    app = settled(app.run())
    assert_no_error(app)
    assert app.selectbox(key="dataset").value == str(folder)
    assert app.query_params["dataset"] in (str(folder), [str(folder)])


@pytest.mark.parametrize("sample", ["", "#2"])
def test_an_address_downloads_nothing_by_itself(open_page, server, sample) -> None:
    app = open_page()
    app.query_params["dataset"] = IMAGENETTE + sample
    app.session_state["page:dataset"] = ""
    app = settled(app.run())
    assert_no_error(app)
    assert ["is not on this computer yet" in said.value for said in app.info] == [True]
    assert server.requests == []
    app = settled(click(app, f"download:{IMAGENETTE}"))
    assert download.is_here(IMAGENETTE)
    assert pictured(settled(app.run())) > 2


def test_lists_show_titles_and_addresses_hold_names(open_page) -> None:
    app = open_page()
    shown = app.selectbox(key="dataset").options
    assert shown[: len(registry.list_datasets())] == [spec.title for spec in registry.list_datasets().values()]
    app.selectbox(key="dataset").select("noise").run()
    assert_no_error(app)
    assert app.query_params["dataset"] in ("noise", ["noise"])
    assert "Scores of Uniform noise" in [heading.value for heading in app.header]


def test_two_sets_of_one_title_are_told_apart(folder: Path, tmp_path: Path) -> None:
    other = shutil.copytree(folder, tmp_path / "other" / "pictures")
    for one in (folder, other):
        remembered.remember(str(one), "pictures")
    shown = known_sets.titles()
    assert shown[str(folder)] == f"Yours: pictures ({folder})"
    assert len(set(shown.values())) == len(shown)


@pytest.mark.usefixtures("server")
def test_visitors_download_nothing_and_are_remembered_for_their_visit_alone(open_page, folder, monkeypatch) -> None:
    monkeypatch.setenv("JEPA_DATA_ROOTS", str(folder.parent))
    app = open_page("data")
    assert not [button for button in app.button if str(button.key).startswith("download:")]
    app = look(app, str(folder))
    assert_no_error(app)
    assert "pictures" in titles(app.run())
    assert remembered.names() == {}
    assert "pictures" not in titles(group(open_page("data"), "own"))


def test_a_damaged_memory_counts_as_none(cache: Path) -> None:
    (cache / "own-datasets.json").write_text("[1")
    assert remembered.names() == {}
    remembered.remember("/a", "a")
    assert remembered.names() == {"/a": "a"}


def test_the_youngest_are_remembered() -> None:
    for number in range(remembered.MOST + 3):
        remembered.remember(f"/{number}", str(number))
    remembered.remember("/10", "10")
    known = list(remembered.names())
    assert len(known) == remembered.MOST
    assert known[:2] == ["/10", f"/{remembered.MOST + 2}"]


def test_every_entry_of_the_catalog_says_what_it_is() -> None:
    for entry in catalog.ENTRIES:
        assert entry.description.endswith(".")
        assert entry.address.startswith("http")
        assert entry.splits


def test_ones_own_scored_set_is_a_domain_and_a_part_of_the_map(open_page, folder: Path) -> None:
    app = settled(open_page())
    app.selectbox(key="dataset").select("folder on this computer").run()
    app = settled(app.text_input(key="folder").set_value(str(folder)).run())
    assert_no_error(app)
    name = f"folder:{folder}"
    app = app.switch_page("pages/domains.py").run()
    assert_no_error(app)
    assert "Yours: pictures" in app.multiselect(key="domains").options
    assert name in app.multiselect(key="domains").value
    assert "pictures" in app.dataframe[0].value["domain"].tolist()
    app.multiselect(key="domains").set_value([name]).run()
    assert_no_error(app)
    assert app.query_params["domains"] in (name, [name])
    app.selectbox(key="reference").set_value("noise").run()
    assert_no_error(app)
    assert app.query_params["reference"] in ("noise", ["noise"])
    app = app.switch_page("pages/map.py").run()
    app.selectbox(key="dataset").select("digits-test").run()
    assert "Yours: pictures" in app.multiselect(key="further").options


def test_an_address_names_domains_by_their_names_and_what_it_does_not_know_is_left_out(open_page) -> None:
    app = open_page("domains")
    app.query_params["reference"] = "noise"
    app.query_params["domains"] = ["shapes", "nonsense", "galaxies"]
    app.session_state["page:reference"] = app.session_state["page:domains"] = ""
    app = app.run()
    assert_no_error(app)
    assert app.selectbox(key="reference").value == "noise"
    assert app.multiselect(key="domains").value == ["shapes", "galaxies"]
    assert app.query_params["domains"] in (["shapes", "galaxies"],)


def test_sets_that_were_not_opened_since_the_start_are_opened_for_the_domains(open_page, folder: Path) -> None:
    remembered.remember(f"folder:{folder}", "pictures")
    remembered.remember("folder:/gone", "gone")
    app = settled(open_page("domains"))
    assert_no_error(app)
    assert f"folder:{folder}" in known_sets.specs()
    assert "folder:/gone" not in known_sets.specs()
