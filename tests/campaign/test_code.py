"""The name of the code that runs."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import vmsmp
from vmsmp.campaign import code
from vmsmp.campaign.code import code_name

HERE = Path(vmsmp.__file__).resolve().parent


def test_the_name_is_the_same_again():
    assert code_name() == code_name.__wrapped__()
    assert re.fullmatch("[0-9a-f]{16}", code_name())


def test_the_name_is_the_same_where_the_scenarios_lie_in_the_package(monkeypatch, tmp_path):
    checkout, wheel = tmp_path / "checkout", tmp_path / "wheel"
    for package, scenarios in ((checkout, checkout), (wheel, wheel / "vmsmp")):
        shutil.copytree(HERE / "campaign", package / "vmsmp" / "campaign")
        (scenarios / "scenarios").mkdir()
        (scenarios / "scenarios" / "one.py").write_text("# a scenario\n")

    def named(package, scenarios):
        monkeypatch.setattr(code, "__file__", str(package / "vmsmp" / "campaign" / "code.py"))
        monkeypatch.setattr(code, "scenario_folder", lambda: scenarios / "scenarios")
        return code_name.__wrapped__()

    assert named(checkout, checkout) == named(wheel, wheel / "vmsmp")


def test_another_line_is_another_name_wherever_the_code_lies(monkeypatch, tmp_path):
    for name in ("one", "two"):
        shutil.copytree(HERE / "campaign", tmp_path / name / "vmsmp" / "campaign")
        (tmp_path / name / "scenarios").mkdir()

    def named(name):
        monkeypatch.setattr(code, "__file__", str(tmp_path / name / "vmsmp" / "campaign" / "code.py"))
        monkeypatch.setattr(code, "scenario_folder", lambda: tmp_path / name / "scenarios")
        return code_name.__wrapped__()

    same = named("one"), named("two")
    with (tmp_path / "two" / "vmsmp" / "campaign" / "code.py").open("a") as file:
        file.write("# more\n")
    assert same[0] == same[1] != named("two")
