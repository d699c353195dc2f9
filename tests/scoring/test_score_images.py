"""From a notebook: `score_images`, and the names that the package offers."""

import numpy as np
import pytest

from jepa_core.errors import BadImage, JepaError
from jepa_core.scoring.score_images import score_images
from tests.helpers import picture, png
from tests.scoring.test_run import COLUMNS


def test_pictures_are_taken_as_paths_bytes_and_pil_images_in_the_order_given(tiny, folder):
    given = [folder / "odd" / "3.png", png(1), str(folder / "even" / "2.png"), picture(3), png(1)]
    table = score_images(given, tiny)
    assert table["name"].tolist() == [str(given[0]), "picture 1", given[2], "picture 3", "picture 4"]
    assert list(table.columns) == COLUMNS
    alone = [score_images([one], tiny)["jepa_score"][0] for one in given]
    assert np.allclose(table["jepa_score"], alone, atol=1e-4)
    assert table["jepa_score"][1] == table["jepa_score"][4]
    assert table["jepa_score"][0] == pytest.approx(table["jepa_score"][3], abs=1e-4)  # the same pixels


def test_an_encoder_may_be_given_by_name_and_nothing_is_stored(install_tiny, cache):
    install_tiny()
    assert len(score_images([png(0)], "tiny", output="backbone")) == 1
    assert not (cache / "store.sqlite").exists()


def test_no_pictures_give_an_empty_table(tiny):
    table = score_images([], tiny)
    assert table.empty
    assert list(table.columns) == COLUMNS


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [("missing.png", r"^missing\.png cannot be read \(No such file"), (b"text", "^picture 1 is not an image")],
)
def test_a_bad_picture_is_told(tiny, bad, sentence):
    with pytest.raises(JepaError, match=sentence):
        score_images([png(0), bad], tiny)


def test_a_missing_file_is_a_bad_image(tiny):
    with pytest.raises(BadImage, match="give the path of an image file"):
        score_images(["missing.png"], tiny)


def test_the_public_names_are_there():
    import jepa_core

    asked = {"get_dataset", "list_datasets", "list_encoders", "load_encoder", "score_images"}
    assert set(jepa_core.__all__) == asked | {"check_images", "score_dataset", "score_histogram"}
    assert all(callable(getattr(jepa_core, name)) for name in jepa_core.__all__)
    assert jepa_core.score_images is score_images
    with pytest.raises(AttributeError, match="module 'jepa_core' has no attribute 'score_image'"):
        jepa_core.score_image  # noqa: B018
