"""The interface of specifications: what the search asks of them, and what is optional."""

from vmsmp.check.linearize import check
from vmsmp.check.linearize.operation import Operation
from vmsmp.check.linearize.specification import KnowsResults
from vmsmp.check.specs import Queue


class Bare:
    """A counter's specification without the optional part."""

    def initial(self):
        return 0

    def step(self, state, name, args, result):
        return [state + 1] if result == state + 1 else []

    def key(self, name, args):
        return None


def test_a_specification_needs_no_base_class():
    counts = [Operation(1, "count", (), n, 2 * n, 2 * n + 1) for n in (1, 2)]
    assert check(counts, Bare()).ok


def test_a_specification_that_lists_results_is_told_from_one_that_does_not():
    assert isinstance(Queue(), KnowsResults)
    assert not isinstance(Bare(), KnowsResults)
