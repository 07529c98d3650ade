"""The library of scenarios: what is in it, how it is looked up, what a mark must say."""

from __future__ import annotations

import re
import sys
from types import ModuleType

import pytest

from vmsmp import library, scenario
from vmsmp.errors import UsageError
from vmsmp.library import all_scenarios, fewest_pages, find_scenario, is_scenario, matching

EVERY = list(all_scenarios().values())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A library of its own in an empty folder; `write(name, text)` adds a file."""
    monkeypatch.setattr(library, "scenario_folder", lambda: tmp_path)
    for name in [name for name in sys.modules if f"{name}.".startswith("vmsmp.scenarios.")]:
        monkeypatch.delitem(sys.modules, name)
    all_scenarios.cache_clear()

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("from vmsmp import scenario\n" + text)

    yield write
    for name in [name for name in sys.modules if f"{name}.".startswith("vmsmp.scenarios.")]:
        del sys.modules[name]
    monkeypatch.undo()
    all_scenarios.cache_clear()


def program(name, mark="cpus=1"):
    return f"@scenario({mark})\ndef {name}(m):\n    '''A story.'''\n"


# -- what is there --------------------------------------------------------------------------------


def test_a_scenario_tells_its_story():
    first = {marked: marked.__doc__.strip().splitlines()[0] for marked in EVERY}
    assert [] == [marked for marked, line in first.items() if not re.match(r"[A-Z].*[.?!]$", line)]


def test_a_scenario_has_cpus():
    assert [] == [marked for marked in EVERY if marked.cpus not in range(1, 64)]


def test_a_scenario_has_tags_in_small_letters():
    assert [] == [marked for marked in EVERY if not marked.tags]
    assert set() == {tag for marked in EVERY for tag in marked.tags if not re.fullmatch("[a-z]+", tag)}


def test_a_scenario_is_found_by_its_name():
    assert [] == [marked for marked in EVERY if marked is not find_scenario(marked.__name__)]


def test_scenarios_are_in_order_of_name():
    assert sorted(all_scenarios()) == list(all_scenarios())


def test_a_scenario_stays_an_ordinary_function():
    def mine(m):
        return m

    assert 7 == scenario(cpus=1)(mine)(7)


# -- looked up ------------------------------------------------------------------------------------


def test_a_typing_slip_is_told_what_was_meant():
    with pytest.raises(UsageError, match="unknown scenario 'spin_strom': did you mean spin_storm"):
        find_scenario("spin_strom")


def test_a_pattern_gives_the_scenarios_that_match():
    assert {name for name in all_scenarios() if name.startswith("spin_")} == {
        marked.__name__ for marked in matching("spin_*")
    }


def test_a_pattern_without_a_match_is_an_error():
    with pytest.raises(UsageError, match=r"no scenario matches 'nothing_\*'"):
        matching("nothing_*")


def test_capital_letters_count_in_a_pattern():
    with pytest.raises(UsageError):
        matching("SPIN_*")


# -- a mark ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("cpus", [0, -1, 64])
def test_a_number_of_cpus_that_cannot_be_is_an_error(cpus):
    with pytest.raises(UsageError, match=f"from 1 to 63 CPUs, not {cpus}"):
        scenario(cpus=cpus)


def test_a_mark_says_what_was_said():
    @scenario(cpus=3, tags={"a", "b"}, locks="exact", timeouts="any", spurious=True, schedule="v1:x:0:")
    def mine(m):
        pass

    assert 3 == mine.cpus
    assert {"a", "b"} == mine.tags
    assert "exact" == mine.locks
    assert "any" == mine.timeouts
    assert mine.spurious
    assert "v1:x:0:" == mine.schedule


def test_a_mark_says_how_little_memory_will_do():
    made = [scenario(cpus=1, pages=pages)(lambda m: None) for pages in (0, 3, None)]
    assert [0, 3, None] == [one.pages for one in made]
    assert 0 == scenario(cpus=1)(lambda m: None).pages


@pytest.mark.parametrize(
    ("name", "fewest"),
    [("page_storm", 0), ("kernel_pages", 1), ("stats_rollup", None), ("spin_upgrade", None)],
)
def test_a_scenario_copes_with_so_few_free_pages_or_has_its_own_or_none(name, fewest):
    assert fewest == fewest_pages(find_scenario(name))


def test_a_finding_is_told_with_its_own_memory():
    assert None is fewest_pages(find_scenario("vm_wait_misses_a_free"))


def test_a_program_that_is_no_scenario_may_get_any_memory():
    assert 0 == fewest_pages(lambda m: None)


def test_a_mark_that_says_little_means_the_usual():
    @scenario(cpus=1)
    def mine(m):
        pass

    assert frozenset() == mine.tags
    assert "atomic" == mine.locks
    assert "idle" == mine.timeouts
    assert not mine.spurious
    assert mine.schedule is None


# -- a folder -------------------------------------------------------------------------------------


def test_a_file_may_hold_several_scenarios(folder):
    folder("one.py", program("b") + program("a"))
    assert ["a", "b"] == list(all_scenarios())


def test_scenarios_are_found_in_folders_below(folder):
    folder("deep/one.py", program("a"))
    assert ["a"] == list(all_scenarios())


def test_a_file_that_begins_with_an_underscore_holds_none(folder):
    folder("_one.py", program("a"))
    assert {} == all_scenarios()


def test_a_function_without_a_mark_is_no_scenario(folder):
    folder("one.py", program("a") + "def helper(m):\n    pass\n")
    assert ["a"] == list(all_scenarios())


def test_two_scenarios_of_one_name_are_an_error(folder):
    folder("one.py", program("twin"))
    folder("two.py", program("twin"))
    with pytest.raises(UsageError, match="two scenarios are called 'twin'"):
        all_scenarios()


def test_files_of_a_folder_share_what_an_underscored_file_holds(folder):
    folder("_kit.py", "CPUS = 5\n")
    folder("deep/one.py", "from vmsmp.scenarios._kit import CPUS\n" + program("a", "cpus=CPUS"))
    assert 5 == all_scenarios()["a"].cpus


def test_a_user_s_own_package_called_scenarios_is_left_alone(folder, monkeypatch):
    theirs = ModuleType("scenarios")
    monkeypatch.setitem(sys.modules, "scenarios", theirs)
    folder("one.py", program("a"))
    all_scenarios()
    assert theirs is sys.modules["scenarios"]


def test_a_program_of_a_user_s_package_called_scenarios_is_not_ours():
    def mine(m):
        pass

    mine.__module__ = "scenarios.mine"
    assert not is_scenario(mine)


def test_a_scenario_is_ours():
    assert is_scenario(find_scenario("spin_storm"))


def test_a_folder_beside_the_package_that_is_no_checkout_is_not_ours(monkeypatch, tmp_path):
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "theirs"\n')
    monkeypatch.setattr(library, "__file__", str(tmp_path / "vmsmp" / "library.py"))
    with pytest.raises(UsageError, match="this installation has no scenarios"):
        library.scenario_folder()


def test_a_folder_beside_the_package_in_a_checkout_is_ours(monkeypatch, tmp_path):
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "vmsmp"\n')
    monkeypatch.setattr(library, "__file__", str(tmp_path / "vmsmp" / "library.py"))
    assert tmp_path / "scenarios" == library.scenario_folder()


def test_a_folder_in_the_package_comes_first(monkeypatch, tmp_path):
    (tmp_path / "vmsmp" / "scenarios").mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "vmsmp"\n')
    monkeypatch.setattr(library, "__file__", str(tmp_path / "vmsmp" / "library.py"))
    assert tmp_path / "vmsmp" / "scenarios" == library.scenario_folder()


def test_a_module_that_somebody_has_loaded_stays_the_one(folder, tmp_path):
    folder("one.py", program("a"))
    all_scenarios()
    loaded = sys.modules["vmsmp.scenarios.one"]
    all_scenarios.cache_clear()
    assert loaded.a is all_scenarios()["a"]
    assert loaded is sys.modules["vmsmp.scenarios.one"]


def test_a_module_of_that_name_that_is_not_ours_is_not_replaced(folder, monkeypatch):
    theirs = ModuleType("vmsmp.scenarios")
    monkeypatch.setitem(sys.modules, "vmsmp.scenarios", theirs)
    with pytest.raises(UsageError, match="somebody else's module"):
        all_scenarios()
    assert theirs is sys.modules["vmsmp.scenarios"]
