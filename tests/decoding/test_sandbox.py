"""Decoding in a process that can be killed: limits on seconds and memory, cancelling, and who is left behind."""

import io
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from functools import lru_cache

import numpy as np
import pytest
from PIL import Image

from jepa_core import images
from jepa_core.decoding import sandbox
from jepa_core.decoding.sandbox import DecodingCancelled
from jepa_core.errors import BadImage
from jepa_core.scoring import batches
from jepa_core.scoring.encoder_output import EncoderOutput
from tests.helpers import picture, png
from tests.test_images import png_of, saved

CROP = {"input_size": [3, 8, 8], "interpolation": "bicubic", "crop_pct": 0.9, "crop_mode": "center", "mean": [0, 0, 0]}


@lru_cache
def progressive(size: int, scans: int) -> bytes:
    """A JPEG whose last scan comes so often."""
    data = saved(Image.new("RGB", (size, size), (200, 30, 60)), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * scans + data[-2:]


@pytest.fixture
def slow(monkeypatch):
    """A picture that would take seconds, where a second is allowed to each."""
    monkeypatch.setattr("jepa_core.decoding.sandbox.SECONDS", 0.3)
    return progressive(3000, 50)


@pytest.fixture
def endless(monkeypatch):
    """A picture that takes much longer than a test, where that is allowed; a process waits for it."""
    data = progressive(6000, 50)
    images.decode(png(0))
    monkeypatch.setattr("jepa_core.decoding.sandbox.SECONDS", 600.0)
    return data


def soon(seconds: float):
    """Cancelled so many seconds after it is first asked."""
    start = []

    def cancelled() -> bool:
        start.append(time.monotonic())
        return time.monotonic() - start[0] > seconds

    return cancelled


def children() -> list[int]:
    return [child.process.pid for child in sandbox._children.idle]


def test_a_crop_made_there_is_the_crop_made_here():
    data = saved(picture(1).resize((37, 53)), "PNG")
    found = images.cropped(data, CROP)
    whole = images.decode(data)
    assert found.image.tobytes() == images.crop(whole.image, CROP).tobytes()
    assert found.scale == images.scale(whole.image, CROP)
    assert found.notes == whole.notes


def test_one_process_serves_one_picture_after_another():
    images.decode(png(0))
    before = children()
    for seed in range(5):
        images.decode(png(seed))
    assert children() == before


def test_a_plain_ppm_needs_no_process(monkeypatch):
    monkeypatch.setattr(sandbox, "run", lambda *_: pytest.fail("a process was asked"))
    pixels = np.asarray(picture(1))
    assert np.array_equal(np.asarray(images.decode(images.encode_ppm(pixels)).image), pixels)
    assert images.cropped(images.encode_ppm(pixels), CROP).image.size == (8, 8)


def test_what_takes_too_long_is_one_sentence_and_the_next_picture_is_read(slow):
    with pytest.raises(BadImage, match=r"^slow\.jpg takes more than 0\.3 seconds of the processor to decode; "):
        images.decode(slow, "slow.jpg")
    assert images.decode(png(1)).width == 20


def test_a_process_that_dies_is_one_sentence_and_is_replaced():
    images.decode(png(0))
    (pid, *_others) = reversed(children())
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(BadImage, match=r"^x ends the program that decodes it \(status -9\)"):
        images.decode(png(1), "x")
    assert images.decode(png(1)).width == 20
    assert pid not in children()


def test_where_no_process_can_be_started_it_is_said(monkeypatch):
    monkeypatch.setattr(sandbox, "_children", sandbox._Children())
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(BadImage, match="x was not decoded: no process could be started for it"):
        images.decode(png(1), "x")


def test_more_memory_than_the_pixels_allow_is_refused(monkeypatch):
    large = saved(Image.new("RGBA", (3000, 3000), (1, 2, 3, 4)), "PNG", compress_level=1)
    monkeypatch.setattr("jepa_core.decoding.sandbox.EXTRA", 2**24)
    with pytest.raises(BadImage, match=r"^x takes more memory to decode than its pixels allow"):
        images.decode(large, "x")
    monkeypatch.undo()
    assert images.decode(large).width == 3000


def test_cancelling_stops_a_decode_at_once(endless):
    pid = children()[-1]
    with pytest.raises(DecodingCancelled, match="Decoding x was cancelled"):
        images.decode(endless, "x", soon(0.3))
    assert not is_alive(pid)
    assert images.decode(png(1)).width == 20


def test_what_is_cancelled_before_is_not_begun(endless):
    before = children()
    with pytest.raises(DecodingCancelled):
        images.decode(endless, "x", lambda: True)
    assert children() == before


def test_a_person_who_asks_wrongly_hears_of_it(endless):
    with pytest.raises(ZeroDivisionError):
        images.decode(endless, "x", lambda: 1 / 0)


def test_a_scoring_run_that_is_cancelled_does_not_wait_for_a_decode(endless, tiny):
    pid = children()[-1]
    failed = batches.score_pictures(
        tiny, batches.exact_work(EncoderOutput.of(tiny, "projector")), [("x", "d", endless)], lambda _: None, soon(0.3)
    )
    assert failed == []
    assert not is_alive(pid)


def test_threads_do_not_mix_up_their_pictures():
    wrong = []

    def look(seed: int) -> None:
        wrong.extend(seed for _ in range(20) if images.decode(png(seed)).image.tobytes() != picture(seed).tobytes())

    threads = [threading.Thread(target=look, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(children()) <= sandbox.MOST_CHILDREN


def test_no_process_is_left_where_its_parent_is_killed():
    program = """
import sys, time
from jepa_core import images
from jepa_core.decoding import sandbox
images.decode(sys.stdin.buffer.read())
print(sandbox._children.idle[0].process.pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        parent.stdin.write(png(0))
        parent.stdin.close()
        pid = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 20
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_alive(pid)


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_script_without_a_main_guard_and_a_notebook_work():
    """The process is started by name, so nothing of the program that asks is run again."""
    program = "import sys; print('once'); from jepa_core import images; images.decode(sys.stdin.buffer.read())"
    done = subprocess.run([sys.executable, "-"], input=b"", capture_output=True, check=True)
    done = subprocess.run([sys.executable, "-c", program], input=png(0), capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"once\n", b"")


# --- what is refused before it costs anything -------------------------------------------------------------------------


def test_a_jpeg_of_hundreds_of_scans_is_refused_unread():
    with pytest.raises(BadImage, match=r"^x is a JPEG of 30\d scans, each of which is a pass over all its pixels; up"):
        images.decode(progressive(64, 300), "x")
    assert images.decode(saved(picture(1), "JPEG", progressive=True)).format == "JPEG"


def test_scans_of_a_preview_inside_are_not_counted():
    exif = Image.Exif()
    exif[0x010E] = "preview " + (b"\xff\xda\x00\x02" * 100).decode("latin-1")
    assert images.decode(saved(picture(1), "JPEG", exif=exif)).format == "JPEG"


def test_a_webp_is_judged_before_its_decoder_is_made():
    canvas = struct.pack("<I", 9998)[:3] * 2
    chunk = b"VP8X" + struct.pack("<I", 10) + b"\x12\0\0\0" + canvas
    data = b"RIFF" + struct.pack("<I", len(chunk) + 4) + b"WEBP" + chunk
    with pytest.raises(BadImage, match="more than 24 megapixels; at most 24 are accepted of a WEBP file"):
        images.decode(data)


def test_visitors_may_give_fewer_pixels(monkeypatch):
    data = png_of(6000, 5000, 8, 2, b"")
    monkeypatch.setenv("JEPA_DATA_ROOTS", "/somewhere")
    with pytest.raises(BadImage, match="more than 25 megapixels; at most 25 are accepted; make it smaller"):
        images.decode(data)
    with pytest.raises(BadImage, match="more than 25 megapixels"):
        images.decode(Image.new("L", (6000, 5000)))
    with pytest.raises(BadImage, match="more than 25 megapixels"):
        images.decode(np.zeros((5000, 6000), np.uint8))
    monkeypatch.delenv("JEPA_DATA_ROOTS")
    with pytest.raises(BadImage, match="damaged, cut-off"):
        images.decode(data)


def test_a_picture_that_is_too_narrow_for_an_encoder_is_one_sentence():
    config = CROP | {"crop_mode": "border"}
    with pytest.raises(BadImage, match=r"^x is too narrow for this encoder"):
        images.cropped(saved(Image.new("RGB", (900, 9)), "PNG"), config, "x")
    with pytest.raises(BadImage, match=r"^x is too narrow for this encoder"):
        images.cropped(images.encode_ppm(np.zeros((9, 900, 3), np.uint8)), config, "x")


def test_an_answer_says_all_that_decoding_here_would():
    data = saved(Image.fromarray(np.arange(400, dtype=np.uint16).reshape(20, 20)), "PNG")
    from jepa_core.decoding import decode

    here, there = decode.read(data), images.decode(data)
    assert (here.format, here.width, here.height, here.notes) == (there.format, there.width, there.height, there.notes)
    assert here.image.tobytes() == there.image.tobytes()


def test_pictures_are_read_from_a_buffer():
    data = png(3)
    assert images.decode(bytearray(data)).image.tobytes() == images.decode(memoryview(data)).image.tobytes()
    with pytest.raises(BadImage, match=r"^The file is of type BytesIO; the path or the bytes of an image file"):
        images.decode(io.BytesIO(data))
