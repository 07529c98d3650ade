"""What the checkers say of a program: it is found and comes back, or nobody says anything."""

import re

import vmsmp


def found(program, kind, message, *, whole=True, **options):
    """Search for the planted bug; see that its line brings back the very same run.

    `message` is how the failure's message begins, if it is not the `whole` of it.
    """
    failure = vmsmp.explore(program, **{"sched": "random", "schedules": 500, **options}).failure
    said = failure and (failure.message if whole else failure.message[: len(message)])
    assert (kind, message) == (failure and failure.kind, said)
    again = vmsmp.replay(program, failure.schedule)
    assert (failure.signature, failure.digest) == (again.failure.signature, again.digest)
    return failure


def silent(program, **options):
    """Nothing is wrong, and nobody says so."""
    result = vmsmp.explore(program, **{"sched": "random", "schedules": 150, **options})
    assert [] == [(f.signature, f.facts, f.schedule) for f in result.failures]


def entries(failure):
    """The ledger's lines in the report, without steps and numbers of lines."""
    return [re.sub(r"^step \d+: |:\d+(?= in )", "", fact) for fact in failure.facts if fact[:5] == "step "]
