"""What all tests share: shapes checked at run time, a cache folder of their own, and a tiny encoder."""

import functools
import gc
import itertools
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from jaxtyping import install_import_hook

from tests import hub

if TYPE_CHECKING:
    from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).parent.parent

# Before torch is imported, here and in the programs that tests start: networks this small lose by sharing their work.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Before they are imported: from here on, every call checks the shapes that the annotations state.
install_import_hook(
    [
        f"jepa_core.{module}"
        for module in (
            "analysis.side_by_side",
            "confounds.matching",
            "confounds.image_stats",
            "detectors",
            "jacobian.finite_differences",
            "datasets.digits",
            "explain.directions",
            "analysis.spectrum_bands",
            "figures",
            "analysis.umap",
            "jacobian.engine",
            "jacobian.autograd",
            "jacobian.backend",
            "jacobian.gram",
            "jacobian.traced",
            "analysis.methods",
            "stats.bootstrap",
            "stats.metrics",
            "stats.rank_correlation",
            "stats.neighbors",
            "jacobian.rank",
            "stats.conformal",
            "explain.attribution",
            "jacobian.spectrum",
            "jacobian.last_layers",
            "theory",
            "jacobian.score_variants",
            "explain.walks",
        )
    ],
    "beartype.beartype",
)


@pytest.fixture(scope="module", autouse=True)
def freeze_what_stays() -> None:
    """Half a million objects of the libraries live as long as the process; Streamlit looks through them at every run of
    a page, which takes longer than most pages. What is there before a module's tests is looked through once."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Paths for one cache folder after the other: pytest looks through all folders for each that it numbers."""
    folder = tmp_path_factory.mktemp("caches")
    return (folder / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def cache(caches: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The cache folder of this test; nothing touches the one of the person who runs the tests.

    It goes after the test: a copied store is 78 MB, and hundreds of tests have one.
    """
    folder = next(caches)
    folder.mkdir()
    monkeypatch.setenv("JEPA_CACHE", str(folder))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def main_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streamlit leaves a page as the main module, which processes started by later tests would then run."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@pytest.fixture(scope="session")
def tiny_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the two files of an encoder `tiny`: a small ViT and a projector, random weights, 16 px, grey."""
    import safetensors.torch
    import torch

    from jepa_core.encoders.encoder import build_net, resolve_data_config, weights_digest
    from jepa_core.encoders.spec import EncoderSpec

    spec = EncoderSpec(
        name="tiny",
        family="random",
        source="bundled",
        architecture="vit_tiny_patch16_224",
        architecture_kwargs={
            "img_size": 16,
            "patch_size": 4,
            "in_chans": 1,
            "embed_dim": 96,
            "depth": 2,
            "num_heads": 3,
        },
        outputs={"projector": 16, "backbone": 96},
        projector=(64, 16),
        data_config={"input_size": [1, 16, 16], "mean": [0.3], "std": [0.35], "crop_pct": 1.0},
        licence="MIT",
        description="Random weights.",
        training="digits-train",
        reference="digits-test",
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = build_net(spec)
    spec = replace(spec, data_config=resolve_data_config(spec, net.backbone))
    folder = tmp_path_factory.mktemp("tiny")
    safetensors.torch.save_file(net.state_dict(), folder / "tiny.safetensors")
    fields = (
        "name family architecture architecture_kwargs outputs projector data_config licence paper description "
        "training reference"
    )
    card = {name: getattr(spec, name) for name in fields.split()} | {"weights_digest": weights_digest(net)}
    (folder / "tiny.json").write_text(json.dumps(card))
    return folder


@pytest.fixture
def install_tiny(cache: Path, tiny_files: Path) -> Callable[..., Path]:
    """Put the tiny encoder into the cache, with changes to its card if given; returns the card's path."""

    def install(**changes: object) -> Path:
        folder = shutil.copytree(tiny_files, cache / "encoders", dirs_exist_ok=True)
        card = folder / "tiny.json"
        card.write_text(json.dumps(json.loads(card.read_text()) | changes))
        return card

    return install


class SharedEngines(dict):
    """What an encoder keeps: the engines that earlier tests traced for these weights, which takes seconds, and its own.

    A test that changes its weights clears it, and from then on it keeps its own alone; one that changes how engines are
    made asks for `own_engines`.
    """

    on = True

    def __init__(self, traced: dict) -> None:
        self.traced: dict | None = traced
        for key, (engine, plan) in traced.items():
            engine.plan = plan
            super().__setitem__(key, engine)

    def __setitem__(self, key, engine) -> None:
        super().__setitem__(key, engine)
        if self.traced is not None:
            self.traced.setdefault(key, (engine, engine.plan))

    def clear(self) -> None:
        super().clear()
        self.traced = None


@pytest.fixture(scope="session", autouse=True)
def share_engines() -> Iterator[None]:
    """Encoders of the same weights share their engines, from one test to the next."""
    from jepa_core.encoders.registry import Encoder

    made, traced = Encoder.__init__, {}

    def make(self, *args, **options) -> None:
        made(self, *args, **options)
        if self.spec.source == "bundled" and SharedEngines.on:
            self.kept = SharedEngines(traced.setdefault((self.weights, self.input_shape, self.device), {}))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Encoder, "__init__", make)
        yield


@pytest.fixture
def own_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every encoder of this test traces engines of its own."""
    monkeypatch.setattr(SharedEngines, "on", False)


@pytest.fixture
def tiny(install_tiny: Callable[..., Path]):
    """The tiny encoder, installed in the cache and loaded on the CPU."""
    from jepa_core.encoders.registry import load_encoder

    install_tiny()
    return load_encoder("tiny", "cpu")


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder of twelve pictures of two classes."""
    from tests.helpers import png

    for seed in range(12):
        path = tmp_path / "pictures" / ("even" if seed % 2 == 0 else "odd") / f"{seed}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(seed))
    return tmp_path / "pictures"


@pytest.fixture
def store() -> "Store":
    from jepa_core.store.results import Store

    return Store()


@pytest.fixture(scope="session")
def shipped_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with all shipped tables read in, to be copied: reading them takes seconds."""
    from jepa_core.store import shipped
    from jepa_core.store.results import Store

    made = Store(tmp_path_factory.mktemp("shipped") / "store.sqlite")
    assert shipped.load_all_shipped(made) == []
    made.select("PRAGMA wal_checkpoint(TRUNCATE)")
    return made.path


@pytest.fixture(scope="session")
def components_found_once() -> Iterator[None]:
    """Streamlit asks every installed package for components in every session; those of a process stay the same."""
    from streamlit.components.v2 import manifest_scanner

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            manifest_scanner, "scan_component_manifests", functools.cache(manifest_scanner.scan_component_manifests)
        )
        yield


@pytest.fixture
def open_page(
    request: pytest.FixtureRequest,
    cache: Path,
    components_found_once: None,  # noqa: ARG001
) -> Iterator[Callable[..., "AppTest"]]:
    """Open a page of the app in a fresh session, with nothing left of other tests' stores."""
    import streamlit as st
    from streamlit.testing.v1 import AppTest

    st.cache_resource.clear()
    st.cache_data.clear()

    if "own_assets" not in request.fixturenames and not (cache / "store.sqlite").exists():
        shutil.copy(request.getfixturevalue("shipped_store"), cache / "store.sqlite")

    def open_page(name: str = "gallery") -> AppTest:
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
        app.session_state["arrived_bare"] = False  # else the bare address is filled in (`pages._shared.opening`)
        return app.run() if name == "gallery" else app.switch_page(f"pages/{name}.py").run()

    yield open_page
    from pages._shared import resources

    # A process that ends while torch works in a thread of it is aborted.
    for job in resources.all_jobs():
        job.cancel()
        job.wait(60)


@pytest.fixture
def own_assets(monkeypatch, tmp_path, install_tiny):
    """No bundled encoders or tables, only the tiny encoder in the cache."""
    from jepa_core.encoders import registry
    from jepa_core.store import shipped

    monkeypatch.setattr(registry, "ASSETS", tmp_path / "assets")
    monkeypatch.setattr(shipped, "ASSETS", tmp_path / "assets")
    install_tiny()


@pytest.fixture
def command(capsys):
    """Run one command; returns (exit status, standard output, standard error)."""

    from jepa_core.cli import parser

    def run(*words: object) -> tuple[int, str, str]:
        try:
            status = parser.main([str(word) for word in words])
        except SystemExit as stop:  # argparse leaves this way
            status = stop.code
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


@pytest.fixture
def hub_server(monkeypatch, tmp_path):
    """A hub on loopback, with caches of its own."""
    from huggingface_hub import constants
    from huggingface_hub.utils import _http

    with hub.serving() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.address)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.address + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
        # A lost connection is retried after seconds; the tests need not wait for them. The time module itself stays
        # as it is: a page test polls with time.sleep, and without it would take the interpreter from the page's thread.
        monkeypatch.setattr(_http, "time", SimpleNamespace(**{**vars(time), "sleep": lambda _seconds: None}))
        yield server
