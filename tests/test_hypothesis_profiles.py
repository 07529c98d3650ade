"""Profiles for hypothesis."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import vmsmp

HOME = Path(vmsmp.__file__).resolve().parents[1]
SHOWN = "from hypothesis import settings; s = settings(); print(s.max_examples, s.derandomize, s.deadline)"


@pytest.fixture
def installed(tmp_path):
    """Run Python where the package is installed with the entry point that its pyproject.toml declares."""
    info = tmp_path / "vmsmp_here-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vmsmp-here\nVersion: 0\n")
    (info / "entry_points.txt").write_text("[hypothesis]\nvmsmp = vmsmp.hypothesis_profiles:register\n")
    kept = {n: v for n, v in os.environ.items() if n not in ("CI", "VMSMP_PROFILE", "GITHUB_ACTIONS")}

    def run(code, **environment):
        path = os.pathsep.join([str(HOME), str(tmp_path)])
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**kept, "PYTHONPATH": path, **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout.split()

    return run


def test_the_entry_point_of_the_tests_is_the_one_of_the_package():
    text = (HOME / "pyproject.toml").read_text("utf-8")
    assert '[project.entry-points.hypothesis]\nvmsmp = "vmsmp.hypothesis_profiles:register"\n' in text


def test_the_variable_chooses_a_profile_and_each_is_there(installed):
    others = "; ".join(f"settings.load_profile('{name}')" for name in ("dev", "pr", "nightly"))
    assert ["200", "True", "None"] == installed(f"{SHOWN}; {others}", VMSMP_PROFILE="pr")


def test_nobody_s_profile_changes_where_none_of_ours_is_chosen(installed):
    code = f"{SHOWN}; import sys; print('vmsmp.machine' in sys.modules)"
    assert ["100", "False", "0:00:00.200000", "False"] == installed(code, VMSMP_PROFILE="ci")
