"""Batches: what is finished beside the next batch comes in the same order, and nothing computed is lost."""

import threading
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from jepa_core.encoders.encoder import Encoder
from jepa_core.images import digest
from jepa_core.jacobian.batch_plan import BatchPlan
from jepa_core.jacobian.engine import engine_of
from jepa_core.scoring.batches import Grams, Named, Work, exact_work, score_pictures
from jepa_core.scoring.encoder_output import EncoderOutput
from tests.helpers import png

SECONDS = 20  # that a thread waits for another before the test fails


@pytest.fixture
def named() -> list[Named]:
    return [(str(seed), digest(png(seed)), png(seed)) for seed in range(5)]


def counting(compute: Callable[[int], object], finish: Callable[[int], object], *, beside: bool) -> Work:
    """Work on one image at a time, which becomes its number, counted from 0."""
    numbers = iter(range(100))

    def computed(_digests: object, _inputs: object) -> int:
        number = next(numbers)
        compute(number)
        return number

    def finished(number: int) -> list:
        finish(number)
        return [number]

    return Work(1, computed, finish=finished, beside=beside)


def nothing(_number: int) -> None:
    pass


def test_one_batch_is_finished_while_the_next_is_computed(tiny, named):
    second_began, first_finishes = threading.Event(), threading.Event()

    def compute(number: int) -> None:
        if number == 1:
            second_began.set()
            assert first_finishes.wait(SECONDS)

    def finish(number: int) -> None:
        if number == 0:
            assert second_began.wait(SECONDS)
            first_finishes.set()

    found: list[int] = []
    assert score_pictures(tiny, counting(compute, finish, beside=True), named, found.extend) == []
    assert found == [0, 1, 2, 3, 4]


def test_on_a_processor_a_batch_is_put_before_the_next_is_computed(tiny, named):
    seen: list[str] = []
    work = counting(lambda number: seen.append(f"{number}"), nothing, beside=False)
    score_pictures(tiny, work, named[:3], lambda results: seen.extend(f"put {number}" for number in results))
    assert seen == ["0", "put 0", "1", "put 1", "2", "put 2"]
    assert not exact_work(EncoderOutput.of(tiny, "projector")).beside


@pytest.mark.parametrize("beside", [True, False])
def test_what_is_computed_when_a_run_is_stopped_is_put(tiny, named, beside):
    computed, found = [], []
    work = counting(computed.append, nothing, beside=beside)
    score_pictures(tiny, work, named, found.extend, stop=lambda: len(computed) == 3)
    assert found == computed == [0, 1, 2]


@pytest.mark.parametrize("beside", [True, False])
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_what_is_computed_when_the_next_batch_fails_is_put(tiny, named, error, beside):
    def compute(number: int) -> None:
        if number == 2:
            raise error

    found: list[int] = []
    with pytest.raises(error):
        score_pictures(tiny, counting(compute, nothing, beside=beside), named, found.extend)
    assert found == [0, 1]


@pytest.mark.parametrize("beside", [True, False])
def test_an_error_while_finishing_ends_the_run_and_what_came_before_is_put(tiny, named, beside):
    def finish(number: int) -> None:
        if number == 1:
            raise np.linalg.LinAlgError("no eigenvalues")

    found: list[int] = []
    with pytest.raises(np.linalg.LinAlgError, match="no eigenvalues"):
        score_pictures(tiny, counting(nothing, finish, beside=beside), named, found.extend)
    assert found == [0]


def test_full_scores_are_the_same_finished_beside_the_next_batch_or_before_it(tiny, named):
    output = EncoderOutput.of(tiny, "projector")
    engine = engine_of(tiny, "projector")
    engine.plan = BatchPlan(2, engine.plan.cotangents)
    several, kept = {}, {}
    for beside in (True, False):
        several[beside], kept[beside] = [], Grams([], [])
        work = replace(exact_work(output, keep=kept[beside]), beside=beside)
        assert score_pictures(tiny, work, named, several[beside].extend) == []
        assert kept[beside].digests == [digest for _name, digest, _data in named]
    for one, other in zip(several[True], several[False], strict=True):
        assert one.digest == other.digest
        assert np.array_equal(one.spectrum, other.spectrum)
    assert np.array_equal(kept[True].grams, kept[False].grams)


class Lent:
    """An encoder as it is when it lies on a card: its pictures are made ready by several threads."""

    device = "cuda:0"

    def __init__(self, tiny: Encoder, wait: Callable[[], object]) -> None:
        self.data_config, self._tiny, self._wait = tiny.data_config, tiny, wait

    def normalised(self, crop: Image.Image) -> torch.Tensor:
        self._wait()
        return self._tiny.normalised(crop)


def test_for_a_card_several_pictures_are_decoded_at_once_and_come_in_order(tiny, named):
    barrier = threading.Barrier(2)
    pictures = [*named[:2], ("broken", "0", b"no picture"), *named[2:4]]
    digests: list[str] = []
    work = Work(2, lambda found, _inputs: found)
    failed = score_pictures(Lent(tiny, lambda: barrier.wait(SECONDS)), work, pictures, digests.extend)
    assert digests == [digest for _name, digest, _data in named[:4]]
    assert [name for name, _sentence in failed] == ["broken"]


def test_for_a_card_no_more_is_decoded_once_a_run_is_stopped(tiny, named):
    count = iter(range(1000))
    digests: list[str] = []
    stop = threading.Event()

    def put(results: list) -> None:
        digests.extend(results)
        stop.set()

    work = Work(2, lambda found, _inputs: found)
    assert score_pictures(Lent(tiny, lambda: next(count)), work, named * 40, put, stop.is_set) == []
    assert len(digests) == 2
    assert next(count) <= 4


def test_an_image_without_finite_values_is_told_when_it_is_finished_later(tiny, named):
    work = replace(exact_work(EncoderOutput.of(tiny, "projector")), size=1, beside=True)
    compute, spoilt = work.compute, named[1][1]

    def spoiling(digests, inputs):
        return compute(digests, torch.full_like(inputs, torch.nan) if spoilt in digests else inputs)

    found: list = []
    [(name, sentence)] = score_pictures(tiny, replace(work, compute=spoiling), named[:3], found.extend)
    assert name == "1"
    assert "not finite" in sentence
    assert [result.digest for result in found] == [named[0][1], named[2][1]]
