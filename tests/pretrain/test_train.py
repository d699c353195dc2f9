"""LeJEPA pretraining: the statistic, the loop, the card. Tiny recipes; no figure of a shipped encoder."""

import errno
import json
import math
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from jepa_core.datasets import digits
from jepa_core.encoders.card import spec_from_card
from jepa_core.encoders.encoder import build_net, weights_digest
from jepa_core.encoders.registry import load_encoder
from jepa_core.errors import EncoderError, JepaError, UnknownName
from jepa_core.pretrain import RECIPES, evaluate, inputs, pretrain, train
from jepa_core.pretrain.sigreg import GAUSSIAN_EXPECTATION, epps_pulley, sigreg

TINY = replace(
    RECIPES["digits"],
    name="tiny",
    architecture_kwargs=RECIPES["digits"].architecture_kwargs | {"embed_dim": 96, "depth": 1, "num_heads": 2},
    projector=(32, 8),
    local_views=1,
    batch=48,
    steps=12,
    warmup_steps=2,
    sigreg_directions=32,
    probe_every=12,
    checkpoint_every=4,
    bf16=False,
)

SHORT = replace(TINY, steps=1)  # where only the files matter


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # sums in another order would spoil bitwise comparisons
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def uninterrupted(one_thread, tmp_path_factory) -> tuple[Path, list[str]]:  # noqa: ARG001 (wanted for its effect)
    """The card of a tiny training from start to end, and its log."""
    lines: list[str] = []
    return pretrain(TINY, tmp_path_factory.mktemp("whole"), log=lines.append), lines


def interrupt(line: str) -> None:
    """A log that ends the training at its first progress line, which comes after the last checkpoint."""
    if " step " in line:
        raise KeyboardInterrupt(line)


@pytest.fixture(scope="module")
def left_by_interrupting(one_thread, tmp_path_factory) -> Path:  # noqa: ARG001 (wanted for its effect)
    """The folder of a tiny training that was interrupted after its last checkpoint."""
    folder = tmp_path_factory.mktemp("interrupted")
    with pytest.raises(KeyboardInterrupt, match="step 12/12"):
        pretrain(TINY, folder, log=interrupt)
    return folder


@pytest.fixture
def interrupted(left_by_interrupting: Path, tmp_path: Path) -> Path:
    """A copy of what an interrupted training left."""
    return shutil.copytree(left_by_interrupting, tmp_path / "interrupted")


@pytest.fixture
def unjudged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cards without accuracies, where only the files matter: the probe of raw pixels takes longer than the training."""
    monkeypatch.setattr(evaluate, "linear_probe", lambda _parts: evaluate.Probe({}, None))


class TestEppsPulley:
    @staticmethod
    def closed_form(x: torch.Tensor) -> float:
        """The integral over the whole line, from Fourier transforms of Gaussians.

        |phi_n|^2 = mean_ij cos(t (x_i - x_j)) and the integral of cos(t d) exp(-t^2/2) is sqrt(2 pi) exp(-d^2/2);
        the cross term is 2 mean_i of the integral of cos(t x_i) exp(-t^2), sqrt(pi) exp(-x_i^2/4); the last,
        the integral of exp(-3 t^2/2), is sqrt(2 pi / 3).
        """
        pairs = torch.exp(-(x[:, None] - x[None]).square() / 2).mean()
        singles = torch.exp(-x.square() / 4).mean()
        return len(x) * math.sqrt(2 * math.pi) * float(pairs - math.sqrt(2) * singles + 1 / math.sqrt(3))

    @pytest.mark.parametrize(("scale", "tolerance"), [(0.0, 1e-4), (0.5, 1e-4), (1.0, 1e-3), (1.5, 5e-3)])
    @pytest.mark.parametrize("shift", [0.0, 0.7])
    def test_agrees_with_the_closed_form(self, scale: float, shift: float, tolerance: float):
        """Points 5/8 apart cannot tell values 16 pi / 5 = 10 apart, so samples that spread farther agree less well."""
        x = scale * torch.randn(300, generator=seeded(), dtype=torch.float64) + shift
        assert float(epps_pulley(x)) == pytest.approx(self.closed_form(x), rel=tolerance, abs=1e-3)

    def test_has_the_stated_mean_for_gaussian_samples(self):
        x = torch.randn(50, 20_000, generator=seeded(), dtype=torch.float64)
        assert float(epps_pulley(x).mean()) == pytest.approx(GAUSSIAN_EXPECTATION, rel=0.02)

    @pytest.mark.parametrize("spoil", [lambda x: x + 1, lambda x: 2 * x, lambda x: 0.3 * x, lambda x: 0 * x, torch.abs])
    def test_is_larger_for_what_is_not_a_standard_gaussian(self, spoil):
        x = torch.randn(256, generator=seeded())
        assert epps_pulley(spoil(x)) > 10 * epps_pulley(x)

    def test_treats_columns_alone(self):
        x = torch.randn(64, 2, 3, generator=seeded())
        assert torch.allclose(epps_pulley(x)[1, 2], epps_pulley(x[:, 1, 2]))


class TestSigreg:
    def test_sees_a_collapsed_direction_that_no_coordinate_shows(self):
        z = torch.randn(1, 512, 8, generator=seeded())
        copied = torch.cat([z[..., :7], z[..., :1]], dim=-1)  # every coordinate is N(0, 1), together they are not
        assert sigreg(copied, 256, seeded(1)) > 1.5 * sigreg(z, 256, seeded(1))

    def test_does_not_pool_views(self):
        z = torch.randn(1, 128, 4, generator=seeded())
        assert torch.allclose(sigreg(z, 64, seeded(1)), sigreg(z.repeat(3, 1, 1), 64, seeded(1)))


class TestEvaluate:
    @staticmethod
    def planted(separation: float) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        rng = np.random.default_rng(0)
        centres = separation * rng.normal(size=(4, 10))
        parts = {}
        for part in ("train", "validation", "test"):
            labels = rng.integers(4, size=200)
            parts[part] = (centres[labels] + rng.normal(size=(200, 10)), labels)
        return parts

    def test_separable_classes_are_found(self):
        parts = self.planted(separation=5)
        assert min(evaluate.linear_probe(parts).accuracy.values()) > 0.98
        assert min(evaluate.nearest_neighbours(parts).values()) > 0.98

    def test_classes_that_are_not_there_are_not_found(self):
        assert evaluate.linear_probe(self.planted(separation=0)).accuracy["test"] < 0.4

    def test_the_test_part_chooses_nothing(self):
        parts = self.planted(separation=1)
        without = {part: parts[part] for part in ("train", "validation")}
        assert evaluate.linear_probe(parts).c == evaluate.linear_probe(without).c

    def test_effective_rank_counts_directions(self):
        flat = np.random.default_rng(0).normal(size=(2000, 8)) * np.array([1, 1, 1, 1, 1, 0, 0, 0])
        assert evaluate.effective_rank(flat + 3) == pytest.approx(5, abs=0.1)

    def test_gaussianity_tells_a_gaussian(self):
        z = np.random.default_rng(0).normal(size=(400, 8)).astype(np.float32)
        assert evaluate.gaussianity(z) < 1.5
        assert evaluate.gaussianity(2 * z) > 10

    def test_without_two_classes_there_is_no_accuracy(self):
        parts = {part: (features, 0 * labels) for part, (features, labels) in self.planted(separation=5).items()}
        assert evaluate.linear_probe(parts) == ({}, None)
        assert evaluate.nearest_neighbours(parts) == {}

    @pytest.mark.parametrize("scale", [1.0, 2.0])
    def test_quantiles_of_a_gaussian_lie_on_a_line(self, scale: float):
        table = evaluate.quantiles(scale * np.random.default_rng(0).normal(size=(4000, 16)))
        assert table["normal"][20] == 0
        assert table["normal"][0] == pytest.approx(-table["normal"][-1])
        assert table["embedding"] == pytest.approx([scale * value for value in table["normal"]], abs=0.1 * scale)

    def test_quantiles_show_heavy_tails(self):
        table = evaluate.quantiles(np.random.default_rng(0).standard_t(3, size=(4000, 2)) / math.sqrt(3))
        assert table["embedding"][30] < table["normal"][30] - 0.1  # narrower in the middle, at the same variance


def test_the_parts_of_the_digits_are_those_agreed():
    order = np.random.default_rng(0).permutation(1797)
    assert (digits.PARTS["train"].stop, digits.PARTS["validation"].stop, digits.PARTS["test"].stop) == (
        1077,
        1437,
        1797,
    )
    from sklearn.datasets import load_digits

    pictures, labels = digits.load_split("validation")
    assert pictures.dtype == np.uint8
    assert (labels == load_digits().target[order[1077:1437]]).all()
    with pytest.raises(UnknownName, match="Must be one of: train, validation, test"):
        digits.load_split("all")


@pytest.mark.usefixtures("one_thread")
class TestPretrain:
    def test_an_unknown_recipe_names_those_there_are(self, tmp_path: Path):
        with pytest.raises(UnknownName, match=r"Unknown recipe: 'dino'\. Must be one of: digits"):
            pretrain("dino", tmp_path)

    def test_a_few_steps_lower_the_loss(self):
        recipe = replace(TINY, steps=40)
        data = inputs.load(recipe)
        state = train.begin(recipe, train.build(recipe, train.card.training_spec(recipe, data)), "cpu")
        steps = (train.train_step(state, recipe, data.originals, data.data_config) for _ in range(40))
        losses = [float(step.total.detach()) for step in steps]
        assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])

    def test_writes_a_card_and_weights_that_load(self, uninterrupted: tuple[Path, list[str]]):
        path, lines = uninterrupted
        spec = spec_from_card(path)
        net = build_net(spec)
        net.load_state_dict(safetensors.torch.load_file(spec.weights))
        assert weights_digest(net) == spec.weights_digest
        assert spec.outputs == {"projector": 8, "backbone": 96}
        assert spec.ranks["projector"].rank == 8
        metrics = json.loads(path.read_text())["metrics"]
        for output in ("backbone", "projector", "raw_pixels"):
            assert set(metrics["linear_probe"][output]) == {"validation", "test"}
        assert len(metrics["qq"]["normal"]) == len(metrics["qq"]["embedding"]) == 41
        assert lines[0] == ("tiny: 1077 pictures to train, 360 to validate, 360 to test, 10 classes, 0 unreadable")
        assert "step 12/12" in lines[1]
        assert "validation probe 0." in lines[1]
        assert sorted(file.name for file in path.parent.iterdir()) == ["tiny.json", "tiny.safetensors"]

    @pytest.mark.usefixtures("unjudged")
    def test_an_interrupted_run_ends_at_the_same_weights(
        self, uninterrupted: tuple[Path, list[str]], interrupted: Path
    ):
        lines: list[str] = []
        resumed = spec_from_card(pretrain(TINY, interrupted, log=lines.append))
        assert "resumed at step 8" in lines[1]
        assert resumed.weights_digest == spec_from_card(uninterrupted[0]).weights_digest

    def test_a_checkpoint_of_another_recipe_is_refused(self, interrupted: Path):
        with pytest.raises(EncoderError, match="written under another recipe than 'tiny' as it is now"):
            pretrain(replace(TINY, seed=1), interrupted)

    @pytest.mark.usefixtures("unjudged")
    def test_a_checkpoint_goes_on_where_only_the_words_of_the_card_changed(self, interrupted: Path):
        said: list[str] = []
        path = pretrain(replace(TINY, description="Another.", limits=("It is small.",)), interrupted, log=said.append)
        assert any(line.startswith("resumed at step") for line in said)
        assert spec_from_card(path).known_failures == ("It is small.",)

    def test_a_damaged_checkpoint_is_told_apart(self, tmp_path: Path):
        (tmp_path / "tiny.checkpoint").write_bytes(b"not a checkpoint")
        with pytest.raises(EncoderError, match="cannot be read"):
            pretrain(TINY, tmp_path)

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda content: content["net"].popitem(), "is not that of a training of 'tiny'"),
            (lambda content: content.pop("optimiser"), "is not that of a training of 'tiny'"),
            (lambda content: next(iter(content["net"].values())).fill_(math.nan), "weights that are not finite"),
        ],
    )
    def test_a_checkpoint_that_lacks_something_or_is_not_finite_is_refused(self, interrupted: Path, change, said: str):
        path = interrupted / "tiny.checkpoint"
        content = torch.load(path, weights_only=True)
        change(content)
        torch.save(content, path)
        with pytest.raises(EncoderError, match=said):
            pretrain(TINY, interrupted)

    @pytest.mark.usefixtures("unjudged")
    def test_another_name_names_the_files_and_is_remembered(self, tmp_path: Path):
        recipe = replace(RECIPES["digits"], name="mine")
        assert train.card._remake(recipe) == "python -m jepa_core pretrain digits --name mine"
        path = pretrain(SHORT, tmp_path, name="mine.2")
        assert sorted(file.name for file in tmp_path.iterdir()) == ["mine.2.json", "mine.2.safetensors"]
        assert spec_from_card(path).name == "mine.2"

    @pytest.mark.parametrize("name", ["", "../up", "a b", "-x", ".hidden"])
    def test_a_name_that_is_no_file_name_is_refused(self, name: str, tmp_path: Path):
        with pytest.raises(EncoderError) as caught:
            pretrain(TINY, tmp_path, name=name)
        assert str(caught.value) == (
            f"An encoder cannot be named {name!r}; letters, digits, '.', '_' and '-' are accepted, a letter or digit "
            "first; choose another name."
        )

    @pytest.mark.usefixtures("unjudged")
    def test_half_weights_load_and_are_those_of_the_card(self, uninterrupted: tuple[Path, list[str]], cache: Path):
        path = pretrain(replace(TINY, half_weights=True), cache / "encoders")
        stored = safetensors.torch.load_file(path.with_suffix(".safetensors"))
        assert {tensor.dtype for tensor in stored.values()} == {torch.float16, torch.int64}
        encoder = load_encoder("tiny", "cpu")  # checks the digest
        weights = encoder.module().state_dict()
        assert {tensor.dtype for tensor in weights.values()} == {torch.float32, torch.int64}
        whole = safetensors.torch.load_file(uninterrupted[0].with_suffix(".safetensors"))
        assert all(
            torch.equal(weights[name], whole[name].to(stored[name].dtype).to(whole[name].dtype)) for name in whole
        )

    def test_a_folder_that_cannot_be_made_is_told_before_anything_is_trained(self, tmp_path: Path):
        (tmp_path / "file").write_text("in the way")
        for out_dir, reason in ((tmp_path / "file", "File exists"), (tmp_path / "file" / "in", "Not a directory")):
            with pytest.raises(JepaError) as caught:
                pretrain(TINY, out_dir, log=pytest.fail)
            assert str(caught.value) == (
                f"The encoder cannot be written to {out_dir} ({reason}); a folder that can be made and written is "
                "accepted; choose another."
            )

    def test_a_folder_that_takes_no_file_is_told_before_anything_is_trained(self, tmp_path: Path, monkeypatch):
        def refuse(**_options: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(tempfile, "TemporaryFile", refuse)  # a folder's permissions do not hold for every user
        with pytest.raises(JepaError, match=r"cannot be written to .* \(Permission denied\); a folder that"):
            pretrain(TINY, tmp_path, log=pytest.fail)

    def test_a_disk_that_fills_while_training_is_told(self, tmp_path: Path, monkeypatch):
        def full(*_args: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(train, "_save", full)
        with pytest.raises(JepaError, match=r"cannot be written to .* \(No space left on device\); a folder that"):
            pretrain(TINY, tmp_path)

    @pytest.mark.usefixtures("unjudged")
    @pytest.mark.parametrize("bundled", ["tiny", "other"])
    def test_a_bundled_encoder_that_stays_in_use_is_told(self, bundled: str, tmp_path: Path, monkeypatch):
        monkeypatch.setattr(train, "ASSETS", tmp_path / "the assets")
        folder = tmp_path / "the assets" / "encoders"
        folder.mkdir(parents=True)
        (folder / f"{bundled}.json").write_text("{}")
        lines: list[str] = []
        pretrain(SHORT, tmp_path / "mine", log=lines.append)
        told = (
            "The bundled encoder 'tiny' stays in use, since no other of its name replaces it; to replace it, "
            f"train with --out '{folder}', or copy the two files there."
        )
        assert (lines[-1] == told) == (bundled == "tiny")
        pretrain(SHORT, folder, log=lines.append)
        assert lines[-1] == f"wrote {folder / 'tiny.json'}"
