"""What a verdict says, and why an operation was refused."""

from textbook_histories import ILLEGAL, LEGAL, history
from vmsmp.check.linearize import Operation, Verdict, check
from vmsmp.check.specs import Allocator, PageQueue, Queue


def test_an_illegal_verdict_tells_the_longest_order_and_what_could_not_come_next():
    verdict = check(ILLEGAL["a queue that is last in, first out"][1], Queue())
    assert [
        "not linearizable: at most 2 of 3 operations can be put in order",
        "  cpu1 put(1) -> None  [0..1]",
        "  cpu1 put(2) -> None  [2..3]",
        "state then: (1, 2); none of these can be next:",
        "  cpu2 get() -> 2  [4..5]: it would give 1",
    ] == verdict.explain()


def test_a_long_order_is_cut_to_its_end():
    puts = [Operation(1, "put", (n,), None, 2 * n, 2 * n + 1) for n in range(20)]
    lines = check([*puts, Operation(2, "get", (), 7, 50, 51)], Queue()).explain()
    assert "  ... 8 before these" == lines[1]
    assert "  cpu1 put(8) -> None  [16..17]" == lines[2]


def test_an_operation_that_cannot_be_done_at_all_is_called_so():
    verdict = check(history((1, "free", ("p",), None, 0, 1)), Allocator("pq"))
    assert ("not possible at all",) == verdict.reasons


def test_a_specification_that_does_not_tell_gives_no_reason():
    class Never:
        def initial(self):
            return 0

        def step(self, state, name, args, result):
            return ()

        def key(self, name, args):
            return None

    assert ("not possible",) == check(history((1, "x", (), None, 0, 1)), Never()).reasons


def test_the_part_of_an_illegal_history_is_named():
    operations = history(
        (1, "insert_tail", ("a", 1), None, 0, 1),
        (1, "insert_tail", ("b", 2), None, 2, 3),
        (2, "take_first", ("b",), None, 4, 5),
    )
    verdict = check(operations, PageQueue())
    assert ("b",) == verdict.key
    assert "not linearizable: at most 1 of 2 operations of ('b',) can be put in order" == verdict.explain()[0]


def test_a_verdict_is_a_value():
    operations = LEGAL["one after another"][1]
    assert check(operations, Queue()) == check(operations, Queue())
    assert isinstance(check(operations, Queue()), Verdict)
