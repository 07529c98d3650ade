"""Programs of the user's own, named by their file."""

from __future__ import annotations

import sys

import pytest

from vmsmp.cli.programs import named_program, program_in
from vmsmp.errors import UsageError
from vmsmp.library import find_scenario, scenario_folder

LOST = """
import vmsmp

def lost_update(m: vmsmp.Machine) -> None:
    word = m.cell(0, name="word")
    def incrementer() -> None:
        word.store(word.load() + 1)
    m.spawn(incrementer)
    m.spawn(incrementer)
    m.join()
    m.check(word.load() == 2, "both increments are counted")
"""
LINE = "v1:lost_update:0:1.2>2"


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a file into the folder where one stands."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def call(name, text):
        (tmp_path / name).write_text(text)
        return name

    return call


@pytest.fixture
def lost(write):
    return write("lost.py", LOST)


def refusal(text, wanted=""):
    with pytest.raises(UsageError) as caught:
        program_in(text, wanted)
    return str(caught.value)


# -- which one ------------------------------------------------------------------------------------


def test_a_name_is_a_scenario():
    assert find_scenario("spin_storm") is named_program("spin_storm", [])


def test_the_only_function_of_a_machine_is_the_program(lost):
    assert "lost_update" == named_program(lost, []).__name__


def test_a_name_behind_the_file_says_which(write):
    assert 2 == program_in(write("two.py", "def one(m): return 1\ndef two(m): return 2\n") + "::two")(None)


def test_a_line_says_which(write):
    assert 2 == program_in(write("two.py", "def one(m): return 1\ndef two(m): return 2\n"), "two")(None)


def test_scenarios_are_preferred(write):
    text = "from vmsmp import scenario\ndef helper(m): pass\n@scenario(cpus=1)\ndef marked(m): pass\n"
    assert "marked" == program_in(write("mine.py", text)).__name__


def test_what_is_imported_or_private_or_takes_something_else_is_no_program(write):
    text = "from shutil import rmtree\ndef _own(m): pass\ndef two(m, n): pass\nclass Some: pass\n"
    text += "def it(m): pass\n"
    assert "it" == program_in(write("mine.py", text)).__name__


def test_what_is_beside_the_file_can_be_imported(write):
    write("besides_it.py", "ANSWER = 42\n")
    assert 42 == program_in(write("mine.py", "from besides_it import ANSWER\ndef it(m): return ANSWER\n"))(
        None
    )


def test_a_module_of_the_same_name_stays_what_it_is(write):
    import json

    program_in(write("json.py", "def it(m): pass\n"))
    assert json is sys.modules["json"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "'mine.py' has no program, a function of a machine"),
        ("def a(m): pass\ndef b(m): pass\n", "'mine.py' has several programs, a, b: say mine.py::NAME"),
        ("\n1 / 0\n", "cannot load 'mine.py', line 2: ZeroDivisionError: 'division by zero'"),
        ("import sys\nsys.exit(7)\n", "cannot load 'mine.py', line 2: SystemExit: '7'"),
        ("def a(:\n", "cannot load 'mine.py', line 1: SyntaxError: "),
        ("import no_such_module\n", "cannot load 'mine.py', line 1: ModuleNotFoundError: "),
    ],
)
def test_a_file_without_the_program_is_told_in_one_sentence(write, text, words):
    told = refusal(write("mine.py", text))
    assert (words, 0) == (told[: len(words)], told.count("\n"))


def test_a_name_that_is_not_there_is_told_those_there_are(lost):
    assert "'lost.py' has no program 'found': there are lost_update" == refusal("lost.py::found")
    assert "'lost.py' has no program 'found': there are lost_update" == refusal("lost.py", "found")


def test_a_file_that_is_not_there_is_told(write):
    assert "cannot read 'none.py': No such file or directory" == refusal("none.py")


# -- the commands ---------------------------------------------------------------------------------


def test_a_search_prints_a_line_that_replays_with_the_file(vmsmp, lost):
    ended = vmsmp("run", lost)
    command = next(line for line in ended.out.splitlines() if line.startswith("replay: "))
    line, place = command.removeprefix("replay: vmsmp replay ").replace("'", "").split()
    assert (1, lost) == (ended.code, place)
    again = vmsmp("replay", line, place)
    assert (1, True) == (again.code, again.out.splitlines()[-2] == command)


def test_a_free_run_names_the_file(vmsmp, write):
    ended = vmsmp("run", write("mine.py", "def it(m): pass\n"), "--engine", "free", "--time", 0.1)
    assert (0, "go on: vmsmp run mine.py --schedules 10000") == (ended.code, ended.out.splitlines()[-1])


def test_a_clean_search_goes_on_with_the_file(vmsmp, write):
    ended = vmsmp("run", write("mine.py", "def it(m): pass\n"), "--schedules", 3)
    assert (0, True) == (ended.code, "go on: vmsmp run mine.py --schedules" in ended.out)


def test_a_line_is_minimized_with_the_file(vmsmp, lost):
    ended = vmsmp("minimize", LINE, lost)
    assert (0, f"replay: vmsmp replay '{LINE}' lost.py") == (ended.code, ended.out.splitlines()[-1])


def test_the_debugger_stops_in_a_program_of_a_file(vmsmp, lost):
    ended = vmsmp("ddb", LINE, lost, "-c", "show cpus")
    assert (0, True) == (ended.code, "how every CPU stood:" in ended.out)


def test_a_pytest_file_beside_the_program_finds_it(vmsmp, lost):
    text = vmsmp("replay", LINE, lost, "--pytest", "-").out
    assert (True, True) == ('PROGRAM = "lost:lost_update"' in text, "resolve_name(PROGRAM)" in text)


def test_a_scenario_s_own_file_may_be_named(process):
    ended = process("run", scenario_folder() / "sync" / "storms.py::spin_storm", "--schedules", 2)
    assert (0, "") == (ended.code, ended.err)


def test_a_line_alone_loads_no_file(vmsmp, lost, write):
    write("spin_upgrade.py", "raise SystemExit('loaded')\n")
    assert (0, (2, "", 1)) == (
        vmsmp("replay", "v1:spin_upgrade+exact:0:").code,
        vmsmp("replay", LINE).complaint,
    )


def test_a_line_of_another_program_is_bad_input(vmsmp, lost):
    assert (2, "", 1) == vmsmp("replay", "v1:spin_upgrade:0:", lost).complaint


def test_what_is_no_file_is_bad_input(vmsmp, lost):
    assert (2, "", 1) == vmsmp("replay", LINE, "lost").complaint


def test_a_file_may_be_named_in_any_folder(vmsmp, lost, tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    assert 1 == vmsmp("replay", LINE, "../lost.py").code
