"""How long a score will take: the arithmetic of the forecast. Its closeness is measured in benchmarks/families.py."""

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from jepa_core.encoders import catalog, cost
from jepa_core.encoders.encoder import build_net
from jepa_core.encoders.registry import get_spec

SPECS = {spec.name: spec for spec in catalog.specs()}


# The last pools with a query that is itself a weight.
@pytest.mark.parametrize("name", ["dinov2-s14@112", "supervised-resnet50", "timm:test_vit3.r160_in1k"])
def test_the_flop_of_a_pass_are_counted_without_weights(name):
    spec = get_spec(name)
    net = build_net(spec).eval().requires_grad_(False)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.randn(1, *spec.data_config["input_size"]))
    assert cost.forward_flop(spec) == counter.get_total_flops()


def test_a_vision_transformer_takes_two_flop_a_weight_and_token_and_its_attention():
    found = cost.forward_flop(get_spec("dinov2-b14@112"))
    tokens, width, depth = 65, 768, 12
    blocks = depth * tokens * (2 * 12 * width**2 + 4 * tokens * width)
    assert found == pytest.approx(blocks + 2 * 64 * 3 * 14**2 * width, rel=0.01)


def test_seconds_are_products_over_the_rate(monkeypatch):
    monkeypatch.setattr(cost, "engine_rate", lambda _device, _precision: 1e11)
    spec = SPECS["metaclip-b16-400m"]
    backbone, projection = (cost.seconds_an_image(spec, output, "cpu") for output in ("backbone", "projection"))
    assert backbone == pytest.approx(768 * cost.forward_flop(spec) / 1e11)
    assert projection / backbone == pytest.approx(512 / 768)


def test_the_rate_of_the_engine_is_measured_once(monkeypatch):
    monkeypatch.setattr(cost, "_PROBE", replace(cost._PROBE, architecture_kwargs={"img_size": 112, "depth": 1}))
    monkeypatch.setattr(cost, "_PROBE_ROWS", 2)
    cost.engine_rate.cache_clear()
    try:
        rate = cost.engine_rate("cpu")
        assert 1e8 < rate < 1e15  # between a small processor and many cards
        assert cost.engine_rate("cpu") == rate
    finally:
        cost.engine_rate.cache_clear()
