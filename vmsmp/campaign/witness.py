"""From a prediction to a witness: bring the CPUs to where they would meet, and see what happens.

A data race or a cycle of lock order is seen in a run in which it did no harm.  A few runs that hold
the CPUs at the places in question (`sched.rendezvous`) either show it, side by side or as a real
deadlock, or leave it a prediction, and the report says which.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from vmsmp.campaign.outcome import Failure, signature_of
from vmsmp.engine.schedule import Schedule, program_name
from vmsmp.sched.rendezvous import Rendezvous
from vmsmp.sched.replay import OpCounter, Preempting, Recorder

if TYPE_CHECKING:
    from vmsmp.campaign.search import Bench
    from vmsmp.engine.machine import Trouble

#: Runs that a prediction is worth.
TARGETED_RUNS: Final = 64

SIDE_BY_SIDE: Final = "confirmed: on this schedule both stand before their accesses at once"
NOT_MET: Final = (
    f"not confirmed: in {TARGETED_RUNS} targeted runs the CPUs did not meet there; "
    "something that is no lock may keep them apart"
)


def witnessed(bench: Bench, failure: Failure, trouble: Trouble, seed: int) -> Failure:
    """The failure with what targeted runs had to say; one that is no prediction stays as it is."""
    if not trouble.places or failure.kind == "nondeterminism":
        return failure
    if failure.kind == "lock-order":
        bench = bench.unchecked()
    rendezvous = Rendezvous(trouble.places, seed)
    for _ in range(TARGETED_RUNS):
        rendezvous.begin()
        recorder = Recorder(rendezvous)
        machine = bench.run(recorder, seed, (OpCounter(),))
        found = machine.trouble
        machine.close()
        if bench.engine.interrupted:
            return failure
        if found is None:
            continue
        steps = tuple(recorder.preemptions)
        if failure.kind == "lock-order" and found.kind == "deadlock":
            line = Schedule(program_name(bench.program), seed, steps, bench.options)
            return replace(failure, witness=f"confirmed, it deadlocks: vmsmp replay --no-check '{line}'")
        if rendezvous.met and signature_of(found) == failure.signature:
            told = bench.tell(Preempting(steps), seed)[0].failure
            if told is not None and told.signature == failure.signature:
                return replace(told, witness=SIDE_BY_SIDE)
    return replace(failure, witness=NOT_MET)
