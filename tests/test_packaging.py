"""What is installed: the same libraries as here, and a wheel with all that the explorer needs in one package."""

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import jepa_core

ROOT = Path(__file__).parent.parent


def test_the_pinned_libraries_are_those_that_the_package_asks_for_and_within_its_ranges():
    ranges = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    asked = {one.name: one.specifier for one in map(Requirement, ranges)}
    pinned, _only_tests = (ROOT / "requirements.txt").read_text().split("# Only the tests.\n")
    lines = [line for line in pinned.splitlines() if line and not line.startswith("#")]
    versions = dict(line.split("==") for line in lines)
    assert versions.keys() == asked.keys()
    assert [name for name, version in versions.items() if version not in asked[name]] == []


@pytest.mark.browser
def test_a_wheel_carries_the_explorer_inside_of_its_one_package(tmp_path: Path):
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", tmp_path, ROOT], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert f"-{jepa_core.__version__}-" in wheel.name
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
        packed.extractall(tmp_path / "installed")
    info = f"jepa_score_explorer-{jepa_core.__version__}.dist-info"
    assert {name.partition("/")[0] for name in names} == {"jepa_core", info}
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    there = [name for name in listed if name.startswith(("app.py", "pages/", "assets/", ".streamlit/"))]
    assert {f"jepa_core/_explorer/{name}" for name in there} <= names
    assert not [name for name in names if name.endswith(".pyc")]

    # Where only the wheel can be imported, besides the libraries.
    code = "from jepa_core import config, list_datasets, list_encoders\n"
    code += "from pathlib import Path; assert Path(config.__file__).is_relative_to('installed'), config.__file__\n"
    code += "assert (config.ROOT / 'app.py').exists() and 'digits' in list_encoders() and 'mnist' in list_datasets()"
    env = os.environ | {"PYTHONPATH": str(tmp_path / "installed")}
    code = code.replace("'installed'", repr(str(tmp_path / "installed")))
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
