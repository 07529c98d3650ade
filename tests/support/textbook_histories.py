"""Small histories that are linearizable or not, as textbooks show them."""

from vmsmp.check.linearize import Operation
from vmsmp.check.specs import Queue, Register


def history(*lines):
    """Operations from (cpu, name, args, result, call, ret)."""
    return [Operation(*line) for line in lines]


LEGAL = {
    "nothing": (Queue(), []),
    "one after another": (
        Queue(),
        history((1, "put", (1,), None, 0, 1), (1, "put", (2,), None, 2, 3), (2, "get", (), 1, 4, 5)),
    ),
    "two puts that overlap come out either way": (
        Queue(),
        history((1, "put", (1,), None, 0, 9), (2, "put", (2,), None, 1, 3), (2, "get", (), 2, 4, 5)),
    ),
    "a get that overlaps a put may come before it": (
        Queue(),
        history((1, "put", (1,), None, 0, 3), (2, "get", (), None, 1, 2), (2, "get", (), 1, 4, 5)),
    ),
    "a store seen before it returns": (
        Register(),
        history((1, "store", (1,), None, 0, 9), (2, "load", (), 1, 1, 2), (3, "load", (), 1, 3, 4)),
    ),
    "equal stamps overlap": (
        Register(),
        history((1, "load", (), 1, 0, 1), (2, "store", (1,), None, 1, 2)),
    ),
}


ILLEGAL = {
    "a queue that is last in, first out": (
        Queue(),
        history((1, "put", (1,), None, 0, 1), (1, "put", (2,), None, 2, 3), (2, "get", (), 2, 4, 5)),
    ),
    "a value that comes out twice": (
        Queue(),
        history((1, "put", (1,), None, 0, 1), (1, "get", (), 1, 2, 5), (2, "get", (), 1, 3, 4)),
    ),
    "a value that is lost": (
        Queue(),
        history((1, "put", (1,), None, 0, 1), (2, "get", (), None, 2, 3)),
    ),
    "a load of what was before a store that is over": (
        Register(),
        history((1, "store", (1,), None, 0, 1), (2, "load", (), 0, 2, 3)),
    ),
    "new and then old during one store": (
        Register(),
        history((1, "store", (1,), None, 0, 9), (2, "load", (), 1, 1, 2), (3, "load", (), 0, 3, 4)),
    ),
    "two that both win one cmpset": (
        Register(),
        history((1, "cmpset", (0, 1), True, 0, 2), (2, "cmpset", (0, 2), True, 1, 3)),
    ),
}


def crowd(n):
    """`n` puts at once, then one get that nobody's put explains."""
    puts = [Operation(k, "put", (k,), None, 0, 1) for k in range(n)]
    return [*puts, Operation(0, "get", (), -1, 2, 3)]
