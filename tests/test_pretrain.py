"""LeJEPA pretraining: the statistic, the views, the loop, the card. Tiny recipes; no figure of a shipped encoder."""

import errno
import json
import math
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from jepa_core import digits
from jepa_core.encoders import build_net, spec_from_card, weights_digest
from jepa_core.errors import EncoderError, JepaError, UnknownName
from jepa_core.pretrain import RECIPES, data, evaluate, pretrain, train
from jepa_core.pretrain.sigreg import GAUSSIAN_EXPECTATION, epps_pulley, sigreg
from jepa_core.pretrain.views import ViewRange, random_views

SPAN = ViewRange(
    zoom=(0.8, 1.5), stretch=0.2, rotation=20, shear=0.2, shift=0.1, bend=0.05, contrast=0.3, erase=0.5, noise=0.1
)
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
    """A log that ends the training at its first line, which comes after the last checkpoint."""
    raise KeyboardInterrupt(line)


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


class TestViews:
    pictures = torch.rand(32, 3, 16, 16, generator=seeded())

    def test_keep_shape_and_range(self):
        views = random_views(self.pictures, SPAN, seeded())
        assert views.shape == self.pictures.shape
        assert float(views.min()) >= 0
        assert float(views.max()) <= 1

    def test_follow_their_seed(self):
        first, again, other = (random_views(self.pictures, SPAN, seeded(seed)) for seed in (0, 0, 1))
        assert torch.equal(first, again)
        assert not torch.equal(first, other)

    def test_of_no_span_are_the_pictures(self):
        assert torch.allclose(random_views(self.pictures, ViewRange(), seeded()), self.pictures, atol=1e-5)

    def test_zoom_above_one_shows_a_part(self):
        middle = torch.zeros(1, 1, 16, 16)
        middle[..., 6:10, 6:10] = 1
        assert random_views(middle, ViewRange(zoom=(2, 2)), seeded()).sum() == pytest.approx(4 * 16, rel=0.05)

    def test_differ_between_pictures_of_a_batch(self):
        same = self.pictures[:1].repeat(2, 1, 1, 1)
        first, second = random_views(same, SPAN, seeded())
        assert not torch.equal(first, second)


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

    def test_a_training_input_is_what_the_encoder_would_be_given(self):
        recipe = RECIPES["digits"]
        part = data.load_part(recipe, "validation")
        config = data.measure_data_config(recipe, part)
        from PIL import Image
        from timm.data import create_transform

        transform = create_transform(**config, is_training=False)
        pictures, _labels = digits.load_split("validation")
        expected = torch.stack(
            [transform(Image.fromarray(picture).convert("RGB").convert("L")) for picture in pictures]
        )
        assert torch.allclose(data.normalise(part.pictures, config), expected, atol=1e-6)

    def test_a_few_steps_lower_the_loss(self):
        recipe = replace(TINY, steps=40)
        part = data.load_part(recipe, "train")
        config = data.measure_data_config(recipe, part)
        state = train.begin(recipe, train.build(recipe, train.card.training_spec(recipe, config)), "cpu")
        losses = [float(train.train_step(state, recipe, part.pictures, config).total.detach()) for _ in range(40)]
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
        assert "step 12/12" in lines[0]
        assert "validation probe" in lines[0]
        assert sorted(file.name for file in path.parent.iterdir()) == ["tiny.json", "tiny.safetensors"]

    def test_an_interrupted_run_ends_at_the_same_weights(self, uninterrupted: tuple[Path, list[str]], tmp_path: Path):
        with pytest.raises(KeyboardInterrupt, match="step 12/12"):
            pretrain(TINY, tmp_path, log=interrupt)
        lines: list[str] = []
        resumed = spec_from_card(pretrain(TINY, tmp_path, log=lines.append))
        assert "resumed at step 8" in lines[0]
        assert resumed.weights_digest == spec_from_card(uninterrupted[0]).weights_digest

    def test_a_checkpoint_of_another_recipe_is_refused(self, tmp_path: Path):
        with pytest.raises(KeyboardInterrupt):
            pretrain(TINY, tmp_path, log=interrupt)
        with pytest.raises(EncoderError, match="written under another recipe than 'tiny' as it is now"):
            pretrain(replace(TINY, seed=1), tmp_path)

    def test_a_damaged_checkpoint_is_told_apart(self, tmp_path: Path):
        (tmp_path / "tiny.checkpoint").write_bytes(b"not a checkpoint")
        with pytest.raises(EncoderError, match="cannot be read"):
            pretrain(TINY, tmp_path)

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

    @pytest.mark.parametrize("bundled", ["tiny", "other"])
    def test_a_bundled_encoder_that_stays_in_use_is_told(self, bundled: str, tmp_path: Path, monkeypatch):
        monkeypatch.setattr(train, "ASSETS", tmp_path / "the assets")
        folder = tmp_path / "the assets" / "encoders"
        folder.mkdir(parents=True)
        (folder / f"{bundled}.json").write_text("{}")
        lines: list[str] = []
        pretrain(TINY, tmp_path / "mine", log=lines.append)
        told = (
            "The bundled encoder 'tiny' stays in use, since no other of its name replaces it; to replace it, "
            f"train with --out '{folder}', or copy the two files there."
        )
        assert (lines[-1] == told) == (bundled == "tiny")
        pretrain(TINY, folder, log=lines.append)
        assert lines[-1] == f"wrote {folder / 'tiny.json'}"
