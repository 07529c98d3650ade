"""A follower takes what is the same for the same, and nothing else."""

from dataclasses import replace

import pytest

from family_rf import Refcount
from follower import Difference, follow
from recording import Line, Run, _add, _begun
from vmsmp.engine.workers import WorkerPool

#: A wait for a count that another CPU takes to 0 while the waiter sleeps.
WAITS = """
run 0/1/0.5/0/1/0/0/0/0/0/1:1/0/0/rw 0;rr 0
1 start cpu - - -
1 load rf0.count 1 1 refcount_wait
1 load rf0.count 1 1 _refcount_wait
1 setbits mask.rf0 0 2 _tsleep_interlock
1 cmpset rf0.count 1 40000001 _refcount_wait
1 sleep rf0 - ilocked -
2 start cpu - - -
2 add rf0.count 40000001 40000000 refcount_release_wakeup
2 clearbits rf0.count 40000000 0 refcount_release_wakeup
2 load mask.rf0 2 2 _wakeup
2 ipi cpu1 - asleep -
2 ret 0 - 1 -
1 resume cpu - - -
1 clearbits mask.rf0 2 0 _tsleep_remove
1 cmpfail rf0.count 0 0 _refcount_wait
1 ret 0 - 0 -
fin ok 1
left mask.rf0 2
"""


def recorded(text=WAITS):
    first, *lines = text.strip().splitlines()
    run = _begun("rf", first.partition(" ")[2])
    for line in lines:
        word, _, rest = line.partition(" ")
        _add(run, word, rest)
    return run


def difference(run):
    """The kind of the first difference, or None."""
    with WorkerPool() as pool:
        try:
            follow(run, Refcount, pool)
        except Difference as found:
            return found.kind
    return None


def test_a_run_is_read():
    run = recorded()
    assert [["rw 0"], ["rr 0"]] == run.programs
    assert Line(1, "cmpset", "rf0.count", "1", "40000001", "_refcount_wait") == run.lines[4]
    assert ("ok", "1", {"mask.rf0": "2"}) == (run.outcome, run.message, run.left)


def test_a_line_changes_a_word_if_its_value_is_another_one():
    line = Line(1, "add", "w", "1", "2", "f")
    assert line.changes
    assert not replace(line, new="1").changes
    assert not replace(line, kind="cmpfail").changes


def test_a_recording_is_followed():
    assert None is difference(recorded())


def test_a_load_that_the_model_does_not_do_is_left_out():
    assert None is difference(
        recorded(WAITS.replace("1 sleep", "1 load rf0.count 40000001 40000001 f\n1 sleep"))
    )


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ("40000001 40000000", "40000001 40000003", "rf0.count 40000001 -> 40000000 for "),
        ("2 ret 0 - 1 -", "2 ret 0 - 0 -", "returns 1 for 0"),
        ("1 resume cpu - - -", "1 resume cpu - timeout -", "a wakeup ends the sleep"),
        ("fin ok", "fin deadlock", "ok for deadlock"),
        ("left mask", "left rf0.count 1\nleft mask", "rf0.count is left"),
        ("2 ipi cpu1 - asleep -", "2 ipi cpu1 - awake -", "the target of an IPI is asleep"),
        ("2 ipi cpu1 - asleep -\n", "", "an IPI more"),
        ("1 sleep", "1 store rf0.count 40000001 5 f\n1 sleep", "cannot run"),
    ],
)
def test_what_is_not_the_same_is_a_difference(old, new, kind):
    assert (difference(recorded(WAITS.replace(old, new))) or "none").startswith(kind)


def test_a_run_says_which_it_is():
    assert "rf run 0" == str(recorded())
    assert isinstance(recorded(), Run)
