"""Datasets that are not bundled, opened on a page."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from jepa_core.datasets import registry
from pages._shared import dataset_picker
from tests.datasets.readers.test_readers import mnist  # noqa: F401 (a fixture)
from tests.helpers import pictured
from tests.pages.test_pages import assert_no_error, open_folder, settled


@pytest.mark.usefixtures("mnist")
def test_a_named_dataset_is_opened_in_the_background_and_scored(open_page: Callable[..., AppTest]) -> None:
    app = settled(open_folder(open_page(), Path("torchvision:mnist/test#4")))
    assert_no_error(app)
    assert pictured(app) > 4
    assert {"3 - three", "1 - one"} & set(app.selectbox(key="class").options)


def test_a_named_dataset_that_cannot_be_opened_is_one_sentence(open_page: Callable[..., AppTest]) -> None:
    app = open_folder(open_page(), Path("hub:owner"))
    (error,) = app.error
    assert "hub\\:OWNER/NAME/SPLIT" in error.value
    assert not app.exception


def test_an_archive_is_scored(open_page: Callable[..., AppTest], tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for item in registry.sample(registry.get_dataset("digits-test"), 5, seed=1):
            archive.writestr(f"{item.label}/{item.position}.ppm", item.read())
    app = settled(open_folder(open_page(), path))
    assert_no_error(app)
    assert pictured(app) > 4


@pytest.mark.usefixtures("mnist")
def test_a_link_opens_the_same_dataset() -> None:
    spec = registry.get_dataset("torchvision:mnist/test")
    assert dataset_picker.address_of(spec) == {"dataset": "torchvision:mnist/test"}
    part = registry.sampled(spec, 3)
    assert dataset_picker.address_of(part) == {
        "dataset": "folder on this computer",
        "folder": "torchvision:mnist/test#3",
    }
    assert dataset_picker.address_of(registry.get_dataset("mnist")) == {"dataset": "mnist"}
