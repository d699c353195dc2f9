"""Scores of a folder from Python: those of the terminal, least likely first, and what cannot be read is said."""

import logging

import pytest

from jepa_core import check_images, score_dataset, score_images
from jepa_core.errors import BadImage, JepaError, NotEnoughData, UnknownName
from jepa_core.jacobian.engine import Engine
from tests.helpers import png, scores

pytestmark = pytest.mark.usefixtures("own_assets")


def test_a_folder_is_scored_once_and_then_looked_up(tiny, folder, store, monkeypatch):
    steps = []
    table = score_dataset(folder, tiny, progress=lambda done, total: steps.append((done, total)))
    assert steps[-1] == (12, 12)
    assert table["jepa_score"].is_monotonic_increasing
    assert table["percentile"].tolist() == [100 * (place + 0.5) / 12 for place in range(12)]
    alone = score_images([folder / name for name in table["name"]], tiny)["jepa_score"]
    assert table["jepa_score"].tolist() == pytest.approx(alone.tolist(), abs=1e-4)
    kept = scores(store, tiny, folder).sort_values("jepa_score", kind="stable")
    assert kept["jepa_score"].tolist() == table["jepa_score"].tolist()
    monkeypatch.setattr(Engine, "gram", None)  # would fail if it were called
    assert score_dataset(str(folder), "tiny").equals(table)
    (folder / "odd" / "1.png").unlink()
    assert len(score_dataset(folder, tiny)) == 11


def test_what_cannot_be_read_is_left_out_and_said(tiny, folder, caplog):
    (folder / "even" / "broken.png").write_bytes(b"\x89PNG no more")
    with caplog.at_level(logging.WARNING, "jepa_core"):
        assert len(score_dataset(folder, tiny)) == 12
    assert [record.getMessage().split()[0] for record in caplog.records] == ["even/broken.png"]
    for path in folder.rglob("*.png"):
        path.write_bytes(b"\x89PNG no more")
    with pytest.raises(JepaError, match=r"None of the 13 images of pictures could be scored \(.*look at the folder"):
        score_dataset(folder, tiny)
    with pytest.raises(UnknownName, match="Unknown dataset: 'digits-tst'"):
        score_dataset("digits-tst", tiny)


def test_pictures_are_held_against_a_scored_folder(tiny, folder, install_tiny):
    for seed in range(12, 40):
        (folder / "even" / f"{seed}.png").write_bytes(png(seed))
    score_dataset(folder, tiny)
    found = check_images([png(50), folder / "even" / "0.png"], tiny, reference=str(folder))
    assert found["name"].tolist() == ["picture 0", str(folder / "even" / "0.png")]
    assert found["verdict"].notna().all()
    assert "one of the references itself" in found["notes"][1]
    with pytest.raises(NotEnoughData, match="The reference 'digits-test' has 0 scored images"):
        check_images([png(50)], tiny)
    with pytest.raises(BadImage, match="One picture was given by itself"):
        check_images(png(50), tiny, reference=str(folder))
    with pytest.raises(JepaError, match="picture 0"):
        check_images([b"no picture"], tiny, reference=str(folder))
    install_tiny(reference=None)
    with pytest.raises(JepaError, match="Encoder 'tiny' has no reference of its own and none was given"):
        check_images([png(50)], "tiny")
