"""A short run of `benchmarks/kills.py`: nothing is lost, doubled, changed or left behind by kill -9."""

import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parent.parent.parent / "benchmarks"


def test_kills_lose_double_change_and_leave_nothing():
    # In a process of its own: one that has used autograd, as this one may have, cannot be forked.
    code = (
        "import kills\n"
        "works = [work for work in kills.WORKS if work.name in ('export', 'copy', 'import')]\n"  # score takes longer
        "found = kills.run(6, 1, pictures=8, works=works)\n"
        "print(sum(one.kills for one in found.values()), [fault for one in found.values() for fault in one.faults])\n"
        "raise SystemExit(any(one.bad for one in found.values()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=BENCHMARKS, check=False)
    assert (done.returncode, done.stdout) == (0, "6 []\n"), done.stdout + done.stderr[-2000:]
