"""The recorded histories: their specifications speak where the answers are wrong, and alone."""

import pytest

import vmsmp
from vmsmp.library import all_scenarios, find_scenario
from vmsmp.patches.catalogue import REPAIR_BY_NAME
from vmsmp.sync.token import AtomicToken
from vmsmp.vm.vm_page import PAGE_SIZE

HISTORIES = [name for name, program in all_scenarios().items() if "history" in program.tags]


def told(name, **options):
    """The failure that is found with no checker on, if there is one; its line brings it back."""
    program = find_scenario(name)
    failure = vmsmp.explore(program, **{"schedules": 2_000, "check": False, "stop": "never", **options})
    failures = [f for f in failure.failures if f.kind == "linearizability"]
    for found in failures:
        again = vmsmp.replay(program, found.schedule, check=False).failure
        assert found.signature == again.signature
        assert found.digest == again.digest
    return failures[0] if failures else None


@pytest.mark.ci
@pytest.mark.parametrize(
    ("mutant", "name", "specification"),
    [
        ("SP-05", "spinlock_history", "RwLock"),
        ("LK-17", "lockmgr_history", "RwLock"),
        ("QU-06", "free_queue_history", "PageQueue"),
    ],
)
def test_a_removed_guard_gives_answers_that_no_order_explains(mutant, name, specification):
    failure = told(name, mutants=[mutant], locks="exact", max_steps=4_000, schedules=1_000)
    assert failure.message == f"{specification}: no order of the operations explains their results"


@pytest.mark.ci
def test_rights_that_change_a_page_too_few_are_no_map_s(monkeypatch):
    program = find_scenario("map_history")
    protect = program.__globals__["vm_map_protect"]

    def short(map, start, end, *rest):
        return protect(map, start, max(start + PAGE_SIZE, end - PAGE_SIZE), *rest)

    monkeypatch.setitem(program.__globals__, "vm_map_protect", short)
    failure = told("map_history", repairs=REPAIR_BY_NAME, schedules=400)
    assert "AddressMap: no order of the operations explains their results" == failure.message


def test_a_token_that_lets_writers_in_together_is_no_readers_writer_lock(monkeypatch):
    monkeypatch.setattr(AtomicToken, "acquire", AtomicToken.acquire_shared)
    assert "RwLock" in told("token_history").message


def test_a_page_given_out_twice_is_no_allocation(monkeypatch):
    program = find_scenario("allocation_history")
    alloc = program.__globals__["vm_page_alloc"]
    given = []

    def again(vm, *args):
        if not given or given[-1].vm is not vm:
            given.append(alloc(vm, *args))
        return given[-1]

    monkeypatch.setitem(program.__globals__, "vm_page_alloc", again)
    monkeypatch.setitem(program.__globals__, "vm_page_free", lambda page: None)
    assert "Allocator" in told("allocation_history", schedules=5).message


@pytest.mark.ci
def test_a_lookup_that_misses_a_page_is_no_residency(monkeypatch):
    program = find_scenario("residency_history")
    monkeypatch.setitem(program.__globals__, "vm_page_lookup", lambda obj, pindex: None)
    failure = told("residency_history")
    assert "Residency" in failure.message
    assert any("lookup('obj', 0) -> None" in fact for fact in failure.facts)


@pytest.mark.parametrize("sched", ["portfolio", pytest.param("dfs:1", marks=pytest.mark.ci)])
@pytest.mark.parametrize("locks", ["atomic", pytest.param("exact", marks=pytest.mark.ci)])
@pytest.mark.parametrize("name", HISTORIES)
def test_as_the_kernel_has_it_some_order_explains_every_answer(name, locks, sched):
    program = find_scenario(name)
    repairs = REPAIR_BY_NAME if "map" in program.tags else ()
    result = vmsmp.explore(program, sched=sched, locks=locks, schedules=100, repairs=repairs)
    assert result.failure is None
    assert result.executions == 100 or result.exhausted
