"""Which precision is faster here: timed once for a machine and an encoder output, on clocks that the tests wind."""

from types import SimpleNamespace

import pytest

from jepa_core.datasets.registry import get_dataset
from jepa_core.jacobian.engine import Engine
from jepa_core.scoring import benchmark_clock, precision, stopwatch
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.method import ScoringMethod
from jepa_core.scoring.run import ScoringRun
from jepa_core.store.results import Store

NAME = "digits-test"


@pytest.fixture
def output(tiny) -> EncoderOutput:
    return EncoderOutput.of(tiny, "projector")


class Machine:
    """A clock that goes on by what a product costs here: `half` seconds a row of an image in bfloat16, 1 in float32."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, half: float, matrix: float = 0.5) -> None:
        self.now, self.products = 0.0, 0
        monkeypatch.setattr(benchmark_clock, "time", SimpleNamespace(perf_counter=lambda: self.now))
        monkeypatch.setattr(stopwatch, "matrix_time_ratio", lambda _device: matrix)
        gram = Engine.gram

        def timed(engine, images, directions=None):
            rows = engine.k if directions is None else len(directions)
            self.products += 1
            self.now += len(images) * rows * (half if engine._precision == "bf16" else 1.0)
            return gram(engine, images, directions)

        monkeypatch.setattr(Engine, "gram", timed)


def auto(store: Store, output: EncoderOutput) -> ScoringRun:
    items = list(get_dataset(NAME).items())[:60]
    return ScoringRun(store, output, NAME, items, ScoringMethod(precision="auto")).decided()


@pytest.mark.parametrize(("half", "said"), [(1.8, "1.8"), (0.95, "0.95")])
def test_where_bfloat16_is_not_clearly_faster_auto_takes_float32_and_says_what_was_measured(
    output, monkeypatch, half, said
):
    Machine(monkeypatch, half)
    run = auto(Store(), output)
    assert run.method.decided == "fp32"
    assert run.reason == f"float32, since bfloat16 took {said} times as long as float32 here"


def test_where_bfloat16_is_faster_auto_takes_it_if_it_ranks_alike(output, monkeypatch):
    Machine(monkeypatch, half=0.42)
    monkeypatch.setattr(precision, "AGREEMENT", -1.0)
    run = auto(Store(), output)
    assert run.method.decided == "bf16"
    assert "Spearman" in run.reason
    assert run.reason.endswith("; bfloat16 took 0.42 times as long as float32 here")


def test_where_bfloat16_is_faster_and_ranks_otherwise_auto_takes_float32(output, monkeypatch):
    Machine(monkeypatch, half=0.42)
    monkeypatch.setattr(precision, "AGREEMENT", 1.1)
    run = auto(Store(), output)
    assert run.method.decided == "fp32"
    assert "1.1 is needed" in run.reason


def test_what_was_measured_is_kept_for_the_machine_and_the_output(output, monkeypatch):
    machine = Machine(monkeypatch, half=1.8)
    assert stopwatch.kept_time_ratio(Store(), output) is None
    assert stopwatch.product_time_ratio(Store(), output) == pytest.approx(1.8)
    measured = machine.products
    assert measured
    assert stopwatch.product_time_ratio(Store(), output) == pytest.approx(1.8)
    assert stopwatch.kept_time_ratio(Store(), output) == pytest.approx(1.8)
    assert machine.products == measured
    assert stopwatch.kept_time_ratio(Store(), EncoderOutput.of(output.loaded, "backbone")) is None
    monkeypatch.setattr(stopwatch, "_processor", lambda: "another one")
    assert stopwatch.kept_time_ratio(Store(), output) is None


def test_an_emulated_bfloat16_is_not_tried_on_the_encoder(output, monkeypatch):
    machine = Machine(monkeypatch, half=70.0, matrix=68.0)
    assert stopwatch.product_time_ratio(Store(), output) == 68.0
    assert machine.products == 0


def test_what_cannot_be_computed_in_bfloat16_has_no_time(output, monkeypatch):
    Machine(monkeypatch, half=0.5)
    full = Engine.gram

    def refusing(engine, *given):
        if engine._precision == "bf16":
            raise RuntimeError("no such type here")
        return full(engine, *given)

    monkeypatch.setattr(Engine, "gram", refusing)
    assert stopwatch.product_time_ratio(Store(), output) is None
    assert stopwatch.kept_time_ratio(Store(), output) is None


def test_a_matrix_product_is_timed_in_both_types(monkeypatch):
    asked = []

    def seconds_of(_device, work):
        work()
        asked.append(work.__closure__[0].cell_contents.dtype.itemsize)
        return {2: 3.0, 4: 2.0}[asked[-1]]

    monkeypatch.setattr(benchmark_clock, "seconds_of", seconds_of)
    assert stopwatch.matrix_time_ratio.__wrapped__("cpu") == 1.5
    assert {2, 4} == set(asked)


def test_the_words_have_two_digits_or_all_before_the_point():
    assert [stopwatch.times(ratio) for ratio in (0.4249, 1.777, 70.2, 99.9, 131.4)] == [
        "0.42",
        "1.8",
        "70",
        "100",
        "131",
    ]
