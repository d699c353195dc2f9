"""What all sessions of a server share."""

import gc

from pages._shared import resources


def test_what_a_loaded_encoder_brought_is_left_out_of_the_search_for_garbage(monkeypatch):
    kept = []
    monkeypatch.setattr(resources, "encoder", lambda _name: kept.extend([[] for _ in range(1000)]))
    before = gc.get_freeze_count()
    resources.load_for_good("any")
    assert gc.get_freeze_count() >= before + 1000
