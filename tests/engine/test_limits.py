"""The largest numbers that may be asked for: what the README says, and what refuses more."""

from __future__ import annotations

from pathlib import Path

import pytest

import vmsmp
from vmsmp.engine import limits
from vmsmp.engine.schedule import Schedule, program_name
from vmsmp.errors import UsageError
from vmsmp.vm.config import BootConfig

README = Path(__file__).parents[2] / "README.md"


@pytest.mark.parametrize(
    "words",
    [
        f"{limits.MOST_CPUS} CPUs",
        f"{limits.MOST_STEPS:,} steps",
        f"{limits.MOST_ROUNDS:,} rounds",
        f"{limits.MOST_PAGES:,} pages",
        f"{limits.LONGEST_LINE:,} characters",
    ],
)
def test_the_readme_says_the_limit(words):
    assert words in " ".join(README.read_text(encoding="utf-8").split())


@pytest.mark.parametrize(
    ("word", "most"),
    [("cpus", limits.MOST_CPUS), ("steps", limits.MOST_STEPS), ("rounds", limits.MOST_ROUNDS)],
)
def test_a_line_may_ask_for_the_most_and_no_more(word, most):
    assert f"{word}={most}" in Schedule.parse(f"v1:p+{word}={most}:0:").options.words()
    with pytest.raises(
        UsageError, match=f"^schedule [^\\n]* must be a number from 1 to {most:,}, not {most + 1}$"
    ):
        Schedule.parse(f"v1:p+{word}={most + 1}:0:")


@pytest.mark.parametrize("option", ["cpus", "rounds", "max_steps"])
def test_a_search_refuses_what_no_machine_gives(option):
    with pytest.raises(UsageError, match=f"^{option} must be a number from 1 to "):
        vmsmp.explore(lambda m: None, **{option: 999_999_999_999})


def test_a_machine_has_no_more_pages_than_the_limit():
    with pytest.raises(UsageError, match=r"^a machine has at most 1,048,576 pages, not 1048577$"):
        BootConfig(pages=limits.MOST_PAGES + 1)


def test_a_line_is_no_longer_than_the_limit():
    with pytest.raises(UsageError, match=r"^a schedule of 4,000,006 characters: the limit is 4,000,000$"):
        Schedule.parse("v1:p:0" + ":" * limits.LONGEST_LINE)


def test_a_program_s_name_fits_into_a_line():
    def program(m):
        pass

    program.__name__ = "p" * 10_000
    assert limits.LONGEST_NAME == len(Schedule.parse(f"v1:{program_name(program)}:0:").program)
