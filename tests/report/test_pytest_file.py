"""A run as a pytest file: it passes as long as the run goes as it went, and says so when it does not."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import vmsmp
from vmsmp.errors import UsageError
from vmsmp.library import find_scenario
from vmsmp.report.pytest_file import WIDTH, pytest_file

ROOT = Path(__file__).resolve().parents[2]
FAILING = "v1:refcount_drains+exact+cpus=2+mutant=RC-01a:2dc6d3:1.2>2,2.4>1"
CLEAN = "v1:spin_upgrade+exact:0:1.3>2"
PROGRAM = """
def lost_update(m):
    word = m.cell(0, name="word")
    def incrementer():
        word.store(word.load() + 1)
    m.spawn(incrementer); m.spawn(incrementer)
    m.join()
    m.check(word.load() == 2, "both increments are counted")
"""


def replayed(line, **more):
    return vmsmp.replay(find_scenario(line.split(":")[1].split("+")[0]), line, **more)


@pytest.fixture(scope="module")
def failing():
    return replayed(FAILING)


@pytest.fixture(scope="module")
def clean():
    return replayed(CLEAN)


@pytest.fixture
def own():
    """A failure of a program that is no scenario."""
    names = {}
    exec(PROGRAM, names)
    return vmsmp.replay(names["lost_update"], "v1:lost_update:0:1.2>2")


@pytest.fixture
def passes(tmp_path):
    """Run a generated file in a pytest of its own: (its exit code, what it printed)."""

    def run(text):
        (tmp_path / "test_written.py").write_text(text, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "none.ini", "."],
            cwd=tmp_path,
            env={"PYTHONPATH": f"{ROOT}:{tmp_path}"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    (tmp_path / "none.ini").write_text("[pytest]\n")
    (tmp_path / "programs.py").write_text(PROGRAM)
    return run


def constants(text):
    return {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign)
    }


# -- it runs --------------------------------------------------------------------------------------


def test_the_file_of_a_failure_passes_while_it_fails(passes, failing):
    code, out = passes(pytest_file(failing))
    assert (0, True) == (code, "1 passed" in out)


def test_the_file_of_a_clean_run_passes_while_it_is_clean(passes, clean):
    code, out = passes(pytest_file(clean))
    assert (0, True) == (code, "1 passed" in out)


def test_the_file_of_a_program_of_one_s_own_passes(passes, own):
    code, out = passes(pytest_file(own, module="programs:lost_update"))
    assert (0, True) == (code, "1 passed" in out)


@pytest.mark.ci
def test_another_digest_fails_the_file(passes, failing):
    code, out = passes(pytest_file(failing).replace(failing.digest, "0123456789abcdef"))
    assert (1, True) == (code, "assert outcome.digest == DIGEST" in out)


@pytest.mark.ci
def test_another_verdict_fails_the_file(passes, failing):
    code, out = passes(pytest_file(failing).replace(failing.failure.signature, "check: another"))
    assert (1, True) == (code, "assert found == EXPECTED" in out)


@pytest.mark.ci
def test_a_bug_that_is_gone_fails_the_file(passes, failing):
    code, out = passes(pytest_file(failing).replace("+mutant=RC-01a", ""))
    assert (1, True) == (code, "assert 'clean' == 'lost-wakeup: pip: pip is N'" in out)


@pytest.mark.ci
def test_a_file_that_is_to_fail_until_the_bug_is_repaired_does_so_with_the_story(passes, failing):
    text = pytest_file(failing, until_repaired=True)
    code, out = passes(text)
    assert (1, True) == (code, "lost-wakeup: " in out)
    assert f"replay: vmsmp replay '{FAILING}" in out
    assert 0 == passes(text.replace("+mutant=RC-01a", ""))[0]


def test_a_run_without_checkers_is_run_without_checkers(own):
    assert "SCHEDULE, check=False)" in pytest_file(own, module="programs:lost_update", check=False)


# -- what stands in it ----------------------------------------------------------------------------


def test_the_file_holds_program_line_verdict_and_digest(failing):
    assert {
        "PROGRAM": "refcount_drains",
        "SCHEDULE": FAILING,
        "EXPECTED": "lost-wakeup: pip: pip is N",
        "DIGEST": failing.digest,
    } == constants(pytest_file(failing))


def test_a_clean_run_is_expected_to_be_clean(clean):
    assert "clean" == constants(pytest_file(clean))["EXPECTED"]


def test_the_docstring_says_where_it_comes_from_and_how_to_see_it(failing):
    told = ast.get_docstring(ast.parse(pytest_file(failing)))
    assert told.startswith(
        "A run of refcount_drains that fails.\n\nWritten by `vmsmp replay LINE --pytest FILE`"
    )
    assert told.endswith("To see the run: `vmsmp replay FILE`, where FILE is this file.")


def test_the_docstring_of_a_clean_run_does_not_speak_of_a_failure(clean):
    assert "fail" not in ast.get_docstring(ast.parse(pytest_file(clean)))


def test_two_files_of_one_line_are_equal(failing):
    assert pytest_file(failing) == pytest_file(replayed(FAILING))


@pytest.mark.parametrize(
    "signature",
    [
        "it's",
        'a "b"',
        "'a' \"b\" 'c'",
        '"a" \'b\' "c"',
        "back\\'slash\\",
        "café 🐉\n\x00\udcff",
        '"""',
        "{x}",
    ],
)
def test_any_signature_is_written_so_that_it_reads_back(failing, signature):
    text = pytest_file(replace(failing, failure=replace(failing.failure, signature=signature)))
    assert (signature, True) == (constants(text)["EXPECTED"], text.isascii())


@pytest.mark.parametrize("length", [*range(92, 110), 300])
def test_a_long_signature_is_broken_into_lines(failing, length):
    signature = ("it's so; " * length)[:length]
    text = pytest_file(replace(failing, failure=replace(failing.failure, signature=signature)))
    assert (signature, []) == (
        constants(text)["EXPECTED"],
        [line for line in text.splitlines() if len(line) > WIDTH],
    )


@pytest.mark.parametrize("length", [*range(92, 110), 300])
def test_a_long_schedule_stays_in_one_piece(failing, length):
    text = pytest_file(replace(failing, schedule="v" * length))
    assert ("v" * length, True) == (constants(text)["SCHEDULE"].strip(), "v" * length in text)


@pytest.mark.ci
def test_the_file_of_a_long_schedule_passes(passes, failing):
    line = FAILING + ",9.1>2" * 20  # nobody is CPU 9
    code, out = passes(pytest_file(replace(failing, schedule=line)))
    assert (0, True) == (code, "1 passed" in out)


def test_a_name_that_no_function_can_have_is_made_one(own):
    text = pytest_file(replace(own, program="My.lost-update" * 9), module="programs:lost_update")
    (test,) = [node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    assert ("test_my_lost_update", True) == (test[:19], len(test) < 90)


# -- what cannot be -------------------------------------------------------------------------------


def test_a_program_that_is_no_scenario_must_be_said_where(own):
    with pytest.raises(UsageError, match=r"^'lost_update' is no scenario: say where it is"):
        pytest_file(own)


@pytest.mark.parametrize("module", ["", "programs", "programs:", ":f", "a b:f", "a:f()", "a..b:f", "a:b:c"])
def test_a_module_that_is_none_is_named(own, module):
    with pytest.raises(UsageError, match="takes the form 'module:function'"):
        pytest_file(own, module=module)


def test_a_free_run_makes_no_test(failing):
    with pytest.raises(UsageError, match="a free run cannot be replayed"):
        pytest_file(replace(failing, schedule=""))
