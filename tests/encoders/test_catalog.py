"""The encoders of the papers: every row against timm, and the names that people may write."""

import pytest
import timm
import torch

from jepa_core.encoders import catalog, download
from jepa_core.encoders.registry import get_spec
from jepa_core.encoders.spec import PROJECTION
from jepa_core.errors import EncoderError, UnknownName

SPECS = {spec.name: spec for spec in catalog.specs()}
# As timm writes the licences that the catalogue spells out.
LICENCES = {"CC BY-NC 4.0": "cc-by-nc-4.0", "Apache 2.0": "apache-2.0", "DINOv3 License": "dinov3-license"}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_a_row_is_what_timm_makes(spec):
    config = timm.get_pretrained_cfg(spec.architecture)
    with torch.device("meta"):
        model = timm.create_model(spec.architecture, **spec.architecture_kwargs)
        head = sum(weight.numel() for weight in model.get_classifier().parameters()) if not spec.head else 0
    assert spec.outputs["backbone"] == model.num_features
    assert spec.outputs.get(PROJECTION) == (model.num_classes if spec.head else None)
    parameters = sum(weight.numel() for weight in model.parameters()) - head
    assert spec.parameters == pytest.approx(parameters, rel=0.03)
    assert LICENCES[spec.licence] == config.license
    assert download.remote_of(spec.architecture)
    resolved = timm.data.resolve_data_config({}, model=model) | spec.data_config
    assert tuple(resolved["input_size"]) == (3, *spec.data_config["input_size"][1:])


def test_names_and_papers():
    assert len(SPECS) == len(list(catalog.specs()))
    assert {spec.family for spec in SPECS.values() if spec.contrast} == {"DINO", "MAE", "supervised"}
    assert all("arXiv" in spec.paper for spec in SPECS.values())


def test_another_input_size_is_another_encoder():
    usual, small = get_spec("dinov2-s14"), get_spec("dinov2-s14@112")
    assert (usual.architecture_kwargs, small.architecture_kwargs) == ({"img_size": 224}, {"img_size": 112})
    assert small.name == "dinov2-s14@112"
    assert small.data_config == {"input_size": [3, 112, 112]}
    assert small.transform != usual.transform
    assert get_spec("supervised-resnet50@160").architecture_kwargs == {}


@pytest.mark.parametrize("size", ["100", "0", "-14", "x", "", "1036", "14.0", "²"])
def test_a_size_that_the_patches_do_not_fill_is_refused(size):
    with pytest.raises(EncoderError, match=r"asked for at .* px; multiples of 14 up to 1024 are accepted"):
        get_spec(f"dinov2-s14@{size}")


def test_an_architecture_whose_name_names_no_patch_is_told_the_size():
    assert get_spec("timm:test_vit.r160_in1k@96").architecture_kwargs == {"img_size": 96}
    assert get_spec("timm:resnet18.a1_in1k@96").architecture_kwargs == {}  # takes any


def test_any_encoder_of_timm_is_accepted_by_hand():
    spec = get_spec("timm:test_vit.r160_in1k@96")
    assert (spec.outputs, spec.source) == ({"backbone": 64}, "timm")
    assert spec.architecture == "test_vit.r160_in1k"
    assert spec.parameters > 0
    assert spec.licence


@pytest.mark.parametrize("name", ["timm:", "timm:nothing", "timm:vit_small_patch14_dinov2.none"])
def test_a_timm_name_without_weights_is_refused(name):
    with pytest.raises(EncoderError, match="timm has no weights for"):
        get_spec(name)


@pytest.mark.parametrize("name", ["dinov2", "digits@32", "@112", ""])
def test_other_names_are_unknown(name):
    with pytest.raises(UnknownName, match=r"or give timm:MODEL\.TAG"):
        get_spec(name)
