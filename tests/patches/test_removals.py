"""Removals: what is taken away from which line, and that each can be planted."""

from __future__ import annotations

import re
import sys
import textwrap

import pytest

import vmsmp
from vmsmp.errors import UsageError
from vmsmp.library import find_scenario
from vmsmp.patches import removals
from vmsmp.patches.dispatch import in_place
from vmsmp.patches.patch import plant, resolve
from vmsmp.patches.removals import all_removals, find_removal, removals_of

FUNCTION = "vmsmp.vm.vm_page.busy:vm_page_wakeup"


@pytest.fixture
def taken_away(tmp_path, monkeypatch):
    """The removals of a function `guarded` with that source: how, and the line or lines they leave."""

    def found(source):
        (tmp_path / "subject.py").write_text(textwrap.dedent(source), encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "subject", raising=False)
        return [(one.ident.rsplit("-", 2)[1:], one.new) for one in removals_of("subject:guarded")]

    removals_of.cache_clear()
    yield found
    removals_of.cache_clear()


# -- what is taken away ---------------------------------------------------------------------------


def test_the_body_of_a_test_is_run_never_or_always(taken_away):
    source = """
    def guarded(lock):
        if lock.free:
            return 1
    """
    assert [(["2", "never"], "if False:"), (["2", "always"], "if True:")] == taken_away(source)


def test_each_term_of_a_condition_is_left_out(taken_away):
    source = """
    def guarded(m, n):
        return m.idle and not (n or m.queue)
    """
    assert [
        (["2", "term1"], "return True and not (n or m.queue)"),
        (["2", "term2"], "return m.idle and True"),
        (["2", "term3"], "return m.idle and not (False or m.queue)"),
        (["2", "term4"], "return m.idle and not (n or False)"),
    ] == taken_away(source)


def test_a_loop_that_looks_again_looks_once(taken_away):
    source = """
    def guarded(m):
        while m.busy:
            m.sleep()
    """
    assert [
        (["2", "once"], "if m.busy:"),
        (["3", "gone"], "pass"),
    ] == taken_away(source)


def test_a_loop_with_a_break_stays_a_loop(taken_away):
    source = """
    def guarded(m):
        while m.busy:
            break
    """
    assert [] == taken_away(source)


def test_a_call_of_its_own_is_not_made(taken_away):
    source = """
    def guarded(m):
        m.lock.acquire()
        return m.value
    """
    assert [(["2", "gone"], "pass")] == taken_away(source)


def test_a_store_is_left_out(taken_away):
    source = """
    def guarded(m):
        m.count += 1
        value = m.count
        m.owners[value] = m
        del m.waiters[m]
    """
    gone = [where for (where, how), new in taken_away(source) if (how, new) == ("gone", "pass")]
    assert ["2", "4", "5"] == gone


def test_a_continue_goes_on_below(taken_away):
    source = """
    def guarded(pages):
        for m in pages:
            if m.busy:
                continue
            m.free()
    """
    assert (["4", "gone"], "pass") in taken_away(source)


def test_what_keeps_ghost_state_is_left_alone(taken_away):
    source = """
    def guarded(lock, td):
        lock.note_contest(td)
        lock.inside.add(td)
        lock.contested += 1
        lock.word.store(1)
    """
    assert [(["5", "gone"], "pass")] == taken_away(source)


def test_a_function_that_has_another_name_as_well_is_found_once():
    assert [] == [one.ident for one in all_removals() if one.ident.startswith("sync.spinlock.ExactSpinlock.")]


@pytest.mark.parametrize("name", [r"\.note_", r"\._check_", "_format-"])
def test_a_function_that_only_notes_or_shows_has_no_removals(name):
    assert [] == [one.ident for one in all_removals() if re.search(name, one.ident)]


def test_a_block_under_a_lock_runs_without_it(taken_away):
    source = """
    def guarded(m):
        with m.lock:
            return m.value
    """
    assert [(["2", "open"], "if True:")] == taken_away(source)


def test_neighbours_change_places(taken_away):
    source = """
    def guarded(m):
        m.value = 1  # first
        m.ready = 2
    """
    swaps = [found for found in taken_away(source) if found[0][1] == "swap"]
    assert [(["2", "swap"], "m.ready = 2  # first\nm.value = 1")] == swaps


def test_one_of_several_flags_is_left_out(taken_away):
    source = """
    def guarded(m):
        m.panic(PG_BUSY | PG_WANTED)
        return m.clear(PG_MAPPED | PG_WRITEABLE, m.left | m.right)
    """
    assert [
        (["3", "flag1"], "return m.clear(0 | PG_WRITEABLE, m.left | m.right)"),
        (["3", "flag2"], "return m.clear(PG_MAPPED | 0, m.left | m.right)"),
    ] == taken_away(source)


def test_a_1_is_neither_added_nor_taken_away(taken_away):
    source = """
    def guarded(m, n):
        last = (n | m.first) - 1 & m.mask
        m.panic(n + 1)
        return range(last + 1, n - 2, 1 + n)
    """
    assert [
        (["2", "one1"], "last = (n | m.first) - 0 & m.mask"),
        (["4", "one1"], "return range(last + 0, n - 2, 1 + n)"),
    ] == taken_away(source)


def test_the_edge_of_a_comparison_is_on_the_other_side(taken_away):
    source = """
    def guarded(m, n):
        return 0 <= (n) < m.size and m.first > n >= m.last != n
    """
    edges = [found for found in taken_away(source) if found[0][1].startswith("edge")]
    assert [
        (["2", "edge1"], "return 0 < (n) < m.size and m.first > n >= m.last != n"),
        (["2", "edge2"], "return 0 <= (n) <= m.size and m.first > n >= m.last != n"),
        (["2", "edge3"], "return 0 <= (n) < m.size and m.first >= n >= m.last != n"),
        (["2", "edge4"], "return 0 <= (n) < m.size and m.first > n > m.last != n"),
    ] == edges


def test_the_edge_of_an_assertion_is_left_alone(taken_away):
    source = """
    def guarded(m, n):
        assert n < m.size
        if n > m.size - 1:
            m.panic("no such page")
    """
    assert [] == taken_away(source)


def test_a_line_that_comes_twice_is_changed_with_what_is_around_it(taken_away):
    source = """
    def guarded(m):
        if m.one:
            m.wakeup()
        else:
            m.wakeup()
    """
    gone = [new for (_, how), new in taken_away(source) if how == "gone"]
    assert [
        "if m.one:\n    pass\nelse:\n    m.wakeup()",
        "if m.one:\n    m.wakeup()\nelse:\n    pass",
    ] == gone


@pytest.mark.parametrize("line", ["m.vm.panic('no')", "raise ValueError", "m.contested += 1"])
def test_an_assertion_is_left_alone(taken_away, line):
    assert [] == taken_away(f"def guarded(m):\n    if m.bad:\n        {line}\n")


@pytest.mark.parametrize(
    "line",
    [
        *("m.took(HARD)", "m.gave(HARD)", "m.handed(SOFT)", "m.taken_over(SOFT)", "local = m.value"),
        *("m.pause()", "forbid_hard_section(td, 'told')", "lock.refused[td] = 1"),
    ],
)
def test_what_no_other_cpu_sees_is_left_alone(taken_away, line):
    assert [] == taken_away(f"def guarded(m):\n    {line}\n")


def test_observers_are_told_in_any_case(taken_away):
    source = """
    def guarded(vm):
        for hook in vm.hooks.freed:
            hook(vm)
    """
    assert [] == taken_away(source)


# -- the whole model ------------------------------------------------------------------------------


def test_ids_are_unique():
    idents = [removal.ident for removal in all_removals()]
    assert len(idents) == len(set(idents))


@pytest.mark.parametrize(
    "part",
    [
        "sync.spinlock",
        "sync.token",
        "sync.lockmgr",
        "sync.sleepq",
        "sync.refcount",
        "vm.vm_page",
        "vm.vm_object",
    ],
)
def test_every_part_of_the_model_has_removals(part):
    assert any(removal.ident.startswith(f"{part}.") for removal in all_removals())


@pytest.mark.ci
def test_every_removal_can_be_planted():
    before = {removal.function: resolve(removal.function).__code__ for removal in all_removals()}
    for removal in all_removals():
        with plant([removal]):
            assert before[removal.function] is not in_place(resolve(removal.function)).__code__, removal.ident
    assert before == {function: resolve(function).__code__ for function in before}


def test_a_removal_is_found_by_its_id():
    removal = removals_of(FUNCTION)[0]
    assert removal == find_removal(removal.ident)


@pytest.mark.parametrize(
    "ident", ["SP-01", "nothing", "vm.vm_page.busy.vm_page_wakeup-999-never", "vm.no-1-gone"]
)
def test_another_id_is_no_removal_s(ident):
    assert None is find_removal(ident)


def test_a_function_without_a_file_is_an_error(monkeypatch):
    monkeypatch.setattr(removals.inspect, "getsource", no_source)
    removals_of.cache_clear()
    with pytest.raises(UsageError, match=f"{FUNCTION}: its source cannot be read: no file"):
        removals_of(FUNCTION)


def no_source(_target):
    raise OSError("no file")


def test_a_run_with_a_removal_is_brought_back_by_its_line():
    ident = next(one.ident for one in removals_of(FUNCTION) if one.ident.endswith("-gone"))
    program = find_scenario("busy_handoff")
    failure = vmsmp.explore(program, mutants=[ident], schedules=100).failure
    assert (f"mutant={ident}" in failure.schedule, failure.signature) == (
        True,
        vmsmp.replay(program, failure.schedule).failure.signature,
    )


def test_what_checkers_ask_for_the_letters_of_a_legend_is_no_guard():
    asked = {"_pv_locked", "_tree_spin_shared", "_fictitious_and_idle", "_holds_bucket"}
    assert set() == asked & {removal.ident.rsplit("-", 2)[0].rsplit(".", 1)[-1] for removal in all_removals()}
