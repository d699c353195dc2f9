"""How much memory a plan may take where nobody says: half of what is free."""

import torch

from jepa_core.jacobian import batch_plan

CPU = torch.device("cpu")


def test_the_default_budget_is_half_of_what_is_free(monkeypatch):
    monkeypatch.setattr(batch_plan, "_free", lambda _device: 1001)
    assert batch_plan.default_budget(CPU) == 500


def test_some_memory_is_assumed_where_the_system_does_not_say(monkeypatch):
    def unknown(_name: str) -> int:
        raise ValueError("unrecognized configuration name")

    assert batch_plan._free(CPU) > 0
    monkeypatch.setattr(batch_plan.os, "sysconf", unknown)
    assert batch_plan._free(CPU) == 2**31
