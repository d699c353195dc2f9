"""What an encoder can tell and what it cannot, as it is said beforehand."""

from jepa_core.check.track_record import TrackRecord, track_record
from jepa_core.datasets.disturbances import KINDS
from jepa_core.encoders.registry import list_encoders


def test_shares_become_three_lists():
    found = TrackRecord({"far": 0.9, "near": 0.5, "own": 0.05, "also far": 0.8}, {"blur": 0.2})
    assert found.sentences == [
        "Foreign sets, by its layers, embedding and score alone: tells far and also far; in part near; hardly own.",
        "Disturbances of pictures that it knows: hardly blur.",
    ]
    assert TrackRecord({}, {}).sentences == []


def test_every_bundled_encoder_has_one(tiny):
    for spec in list_encoders().values():
        if spec.source == "bundled" and spec != tiny.spec:
            found = track_record(spec)
            assert found, spec.name
            assert set(found.disturbed) == set(KINDS)
            assert all(0 <= share <= 1 for share in found.foreign.values())
    assert track_record(tiny.spec) is None
