"""One image in detail: its place, its neighbours, and how to score it again."""

import json
import shlex

import numpy as np
import pandas as pd
import pytest

from jepa_core.analysis.methods import Domain, load_domain
from jepa_core.datasets.registry import get_dataset, list_datasets
from jepa_core.errors import DatasetError
from jepa_core.explain import image as explain_image
from jepa_core.scoring.encoder_output import EncoderOutput
from tests.helpers import png, run, scores

# --- its place --------------------------------------------------------------------------------------------------------

TABLE = pd.DataFrame({"digest": ["a", "b", "b", "c"]})


def test_its_neighbours_are_those_before_and_after_it():
    assert explain_image.place(TABLE, "a") == explain_image.Place(0, "", "b")
    assert explain_image.place(TABLE, "c") == explain_image.Place(3, "b", "")


def test_equal_pictures_are_one_image():
    assert explain_image.place(TABLE, "b") == explain_image.Place(1, "a", "c")


def test_an_image_that_is_not_there_has_no_place():
    assert explain_image.place(TABLE, "x") is None
    assert explain_image.place(TABLE.iloc[:0], "a") is None


# --- its neighbours ---------------------------------------------------------------------------------------------------


def test_the_nearest_come_first_and_never_the_image_itself():
    among = Domain("some", pd.DataFrame({"digest": list("abcd")}), np.array([[0.0], [1.0], [5.0], [0.1]]))
    found = explain_image.neighbours(np.array([0.0]), "a", among, 2)
    assert found["digest"].tolist() == ["d", "b"]
    assert found["distance"].tolist() == pytest.approx([0.1, 1.0])


def test_a_lonely_image_has_no_neighbours():
    among = Domain("some", pd.DataFrame({"digest": ["a"]}), np.zeros((1, 2)))
    assert explain_image.neighbours(np.zeros(2), "a", among, 3).empty


def test_neighbours_come_out_of_the_store(store, tiny, folder):
    run(store, tiny, folder)
    domain = load_domain(store, EncoderOutput(tiny.spec, "projector"), f"folder:{folder}")
    digest = domain.table["digest"][4]
    found = explain_image.neighbours(domain.embeddings[4], digest, domain, 3)
    distances = np.linalg.norm(domain.embeddings - domain.embeddings[4], axis=1)
    assert found["name"].tolist() == [domain.table["name"][at] for at in np.argsort(distances)[1:4]]


# --- what it is compared with -----------------------------------------------------------------------------------------


def test_the_spread_of_a_reference_needs_enough_of_its_scores(store, tiny, folder):
    run(store, tiny, folder)
    dataset = get_dataset(str(folder))
    assert explain_image.reference_spread(store, EncoderOutput(tiny.spec, "projector"), dataset) is None
    for seed in range(20, 30):
        (folder / "even" / f"{seed}.png").write_bytes(png(seed))
    dataset = get_dataset(str(folder))
    run(store, tiny, folder)
    found = explain_image.reference_spread(store, EncoderOutput(tiny.spec, "projector"), dataset)
    assert (found.name, found.size) == ("pictures", 22)
    assert len(found.median) == EncoderOutput.of(tiny.spec, "projector").rank.rank


# --- finding a picture ------------------------------------------------------------------------------------------------


def test_a_picture_is_found_by_its_name_and_by_its_digest(folder):
    dataset = get_dataset(str(folder))
    item = dataset.item(5)
    assert explain_image.find_item(dataset, item.name) == item
    assert explain_image.find_item(dataset, item.digest) == item
    assert explain_image.find_item(dataset, item.digest[:8].upper()) == item


@pytest.mark.parametrize("given", ["nowhere.png", "0123", "ffffffffffff"])
def test_a_picture_that_is_not_there_is_one_sentence(folder, given):
    with pytest.raises(DatasetError, match=f"pictures has no pictures '{given}'; the name of one, or at least the"):
        explain_image.find_item(get_dataset(str(folder)), given)


def test_a_listed_picture_is_found_without_reading_it():
    dataset = list_datasets()["mnist"]
    assert explain_image.find_item(dataset, dataset.item(3).digest[:12]).position == 3


# --- how to score it again --------------------------------------------------------------------------------------------


def row_of(store, tiny, folder, position: int) -> pd.Series:
    run(store, tiny, folder)
    return scores(store, tiny, folder).iloc[position]


def test_the_command_scores_the_image_again(store, tiny, folder, command):
    row = row_of(store, tiny, folder, 7)
    again = explain_image.again(tiny.spec, "projector", get_dataset(str(folder)), row, "fp32")
    words = shlex.split(again.command)
    assert words[:3] == ["python", "-m", "jepa_core"]
    status, out, _err = command(*words[3:], "--json")
    assert status == 0
    [found] = json.loads(out)
    assert found["name"] == row["name"]
    assert found["jepa_score"] == pytest.approx(row["jepa_score"], abs=1e-4)


def test_the_lines_of_python_score_the_image_again(store, tiny, folder, capsys):
    row = row_of(store, tiny, folder, 7)
    again = explain_image.again(tiny.spec, "projector", get_dataset(str(folder)), row, "fp32")
    assert again.python.count("\n") == 2
    exec(again.python, {})
    assert float(capsys.readouterr().out) == pytest.approx(row["jepa_score"], abs=1e-4)


def test_the_command_computes_whatever_the_store_has(store, tiny, folder, command):
    row = row_of(store, tiny, folder, 0)
    with store.transaction() as cursor:
        cursor.execute("UPDATE results SET spectrum = zeroblob(length(spectrum))")
    status, out, _err = command("score", "--encoder", "tiny", "--data", folder, "--image", row["digest"][:10], "--json")
    assert status == 0
    assert json.loads(out)[0]["jepa_score"] == pytest.approx(row["jepa_score"], abs=1e-4)


def test_an_estimate_of_one_image_is_refused(folder, command):
    status, _out, err = command("score", "--encoder", "tiny", "--data", folder, "--image", "x", "--method", "sketch")
    assert status == 1
    assert "--exact is accepted with --image" in err


def test_of_a_listed_image_only_who_has_the_picture_can_compute_the_score(tiny):
    dataset = list_datasets()["mnist"]
    row = pd.Series({"name": "x", "position": 3, "digest": dataset.item(3).digest})
    again = explain_image.again(tiny.spec, "backbone", dataset, row, "bf16")
    assert f"--data FOLDER --image {row['digest'][:12]} --precision bf16" in again.command
    assert again.python == ""
