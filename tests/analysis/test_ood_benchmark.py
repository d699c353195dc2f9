"""`bench ood`: method x domain with intervals, on held-out images alone."""

import json

import numpy as np
import pandas as pd
import pytest

from jepa_core.analysis import ood_benchmark
from jepa_core.analysis.methods import METHODS, load_domain
from jepa_core.datasets.registry import get_dataset, sample
from jepa_core.detectors import DETECTORS
from jepa_core.detectors.knn import KNN
from jepa_core.encoders.registry import get_spec
from jepa_core.errors import JepaError, NotEnoughData
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.stats.metrics import separation
from tests.helpers import run, score

COUNTS = {"digits-train": 12, "digits-test": 20}


@pytest.fixture
def spec(store, tiny, folder):
    """The tiny encoder after it has scored 12 training digits, 20 test digits and a folder of 12 noise pictures."""
    for name, count in COUNTS.items():
        score(store, tiny, name, sample(get_dataset(name), count, seed=0), whole=False)
    run(store, tiny, folder)
    return tiny.spec


@pytest.fixture
def noise(folder) -> str:
    return f"folder:{folder}"


def test_every_method_is_judged_on_every_domain(store, spec, noise):
    found = ood_benchmark.benchmark(store, EncoderOutput(spec, "projector"), "digits-test", [noise], "digits-train")
    assert found.notes == ["Distances are fitted on the 12 images of digits-train, none of them judged."]
    # Nobody has taken the visible measures of these pictures.
    assert found.table["method"].tolist() == [name for name in METHODS if name != "visible"]
    assert set(found.table["domain"]) == {noise}
    lines = found.table.set_index("method")
    near, far, fit = (
        load_domain(store, EncoderOutput(spec, "projector"), name) for name in ("digits-test", noise, "digits-train")
    )
    score = separation(-near.table["jepa_score"].to_numpy(), -far.table["jepa_score"].to_numpy())
    detector = KNN().fit(fit.embeddings)
    knn = separation(detector.score(near.embeddings), detector.score(far.embeddings))
    for name in score:
        assert lines.loc["jepa", name] == score[name]
        assert lines.loc["knn", name] == knn[name]
    assert (lines["images"] == 12).all()
    assert (lines["known"] == 20).all()
    assert lines["chance_aupr"].to_numpy() == pytest.approx(12 / 32)
    assert lines["seconds_are"].to_dict() == {
        name: "measured" if name in DETECTORS else "stored" for name in lines.index
    }
    assert lines.loc["jepa", "seconds"] == np.median([*near.table["seconds"], *far.table["seconds"]])
    assert (lines["seconds"] > 0).all()


def test_images_of_the_known_set_or_of_training_are_no_outliers(store, spec, folder, tiny, noise):
    for name, count in COUNTS.items():
        item = sample(get_dataset(name), count, seed=0)[0]
        (folder / f"{name}.ppm").write_bytes(item.read())
    run(store, tiny, folder)
    found = ood_benchmark.benchmark(store, EncoderOutput(spec, "projector"), "digits-test", [noise], "digits-train")
    assert (found.table["images"] == 12).all()
    assert found.notes[1].startswith(f"2 of 14 images of {noise} are left out: they are in digits-test too, or the")


def test_a_known_set_that_was_trained_or_fitted_on_is_refused(store, spec, noise):
    with pytest.raises(
        JepaError, match=r"'digits-train' shares 12 of its 12 images with 'digits-train', which tiny was"
    ):
        ood_benchmark.benchmark(store, EncoderOutput(spec, "projector"), "digits-train", [noise], "")
    with pytest.raises(
        JepaError, match=r"known set 'digits-test' shares 20 of its 20 images with 'digits-test'.*--fit"
    ):
        ood_benchmark.benchmark(store, EncoderOutput(spec, "projector"), "digits-test", [noise], "digits-test")


def test_a_set_that_is_all_known_leaves_nothing_to_judge(store, spec):
    with pytest.raises(NotEnoughData, match="No image of 'digits-test' is left to judge"):
        ood_benchmark.benchmark(store, EncoderOutput(spec, "projector"), "digits-test", ["digits-test"], "digits-train")


def test_without_a_set_to_fit_on_only_methods_that_need_none_are_judged(store, spec, noise):
    found = ood_benchmark.benchmark(store, EncoderOutput(spec, "projector"), "digits-test", [noise], "")
    assert not {"knn", "mahalanobis"} & set(found.table["method"])
    assert "norm" in set(found.table["method"])
    assert found.notes == ["There are no distances: no set to fit them on was named; name one with --fit."]


def test_too_few_images_to_fit_on_are_refused(store, spec, tiny, noise):
    score(store, tiny, "shapes", sample(get_dataset("shapes"), 9, seed=0), whole=False)
    with pytest.raises(NotEnoughData, match=r"given the 9 scored images of 'shapes' to be fitted on; at least 10 are"):
        ood_benchmark.benchmark(store, EncoderOutput(spec, "projector"), "digits-test", [noise], "shapes")


def test_a_set_without_scores_is_told_with_the_command_that_helps(store, spec):
    with pytest.raises(
        NotEnoughData,
        match=r"no full scores of 'noise' for encoder 'tiny', output 'projector'; .* run 'python -m jepa_core score "
        r"--encoder tiny --output projector --data noise' first",
    ):
        ood_benchmark.benchmark(store, EncoderOutput(spec, "projector"), "digits-test", ["noise"], "digits-train")


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_needs_no_more_than_the_shipped_tables(command):
    status, out, err = command("bench", "ood", "--encoder", "world", "--others", "noise", "mnist", "--json")
    assert status == 0
    rows = json.loads(out)
    assert [(row["domain"], row["method"]) for row in rows] == [
        (name, method) for name in ("noise", "mnist") for method in METHODS
    ]
    assert all(
        0 <= row[f"{metric}{end}"] <= 1
        for row in rows
        for metric in ("auroc", "fpr95", "aupr")
        for end in ("", "_low", "_high")
    )
    assert {row["known"] for row in rows} == {len(get_dataset("world-test"))}
    assert "fitted on the 600 images of world-train, none of them judged" in err


def test_the_command_prints_a_line_for_each_method_and_domain(command):
    status, out, _err = command("bench", "ood", "--encoder", "world", "--others", "noise")
    head, *lines = out.strip().splitlines()
    assert status == 0
    assert head.split()[:6] == ["domain", "images", "method", "AUROC", "FPR95", "AUPR"]
    assert len(lines) == len(METHODS)
    assert "Mahalanobis distance" in out
    assert lines[0].endswith("stored")


def test_all_held_out_sets_are_the_others_unless_some_are_named(command, monkeypatch):
    asked = []
    monkeypatch.setattr(
        ood_benchmark, "benchmark", lambda *given: asked.append(given) or ood_benchmark.Benchmark(pd.DataFrame(), [])
    )
    monkeypatch.setattr(ood_benchmark, "readable", lambda table: table)
    assert command("bench", "ood", "--encoder", "world")[0] == 0
    _store, output, known, others, fit = asked[0]
    assert (output, known, fit) == (EncoderOutput(get_spec("world"), "projector"), "world-test", "world-train")
    assert {"noise", "mnist", "imagenette-val", "galaxy-zoo"} < set(others)
    assert not {"world-test", "world-train", "digits-train"} & set(others)


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (("--known", "world-train"), 1, "The known set 'world-train' shares 600 of its 600 images with 'world-train'"),
        (("--known", "worlds"), 2, "Unknown dataset: 'worlds'."),
        (("--fit", "noise", "--others", "noise"), 1, "No image of 'noise' is left to judge"),
        (("--output", "tail"), 2, "Unknown output of encoder 'world': 'tail'."),
        (("--others",), 2, "expected at least one argument"),
    ],
)
def test_bad_arguments_are_told_on_one_line(command, words, status, told):
    found, out, err = command("bench", "ood", "--encoder", "world", *words)
    assert (found, out) == (status, "")
    assert told in err.strip().splitlines()[-1]


@pytest.mark.usefixtures("own_assets")
def test_an_encoder_with_no_held_out_set_asks_for_one(command, install_tiny):
    install_tiny(reference="")
    status, _out, err = command("bench", "ood", "--encoder", "tiny")
    assert status == 1
    assert "Encoder 'tiny' has no held-out set of its own and none was given; " in err
    install_tiny(reference="digits-test")
    status, _out, err = command("bench", "ood", "--encoder", "tiny")
    assert status == 1
    assert "No other held-out set has scores for encoder 'tiny', output 'projector'; " in err
