"""A campaign: every scenario in both engines and at both depths, batch by batch, on every core.

What runs is the plan's (`campaign.plan`), who runs it is a fleet's (`campaign.crew`), what came of it is
counted here and kept in a store.  A campaign on a store that has seen some of its batches does not run these
again: it goes on behind them.
"""

from __future__ import annotations

import math
import platform
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vmsmp import __version__
from vmsmp.campaign.batch import Report
from vmsmp.campaign.code import code_name, own_code
from vmsmp.campaign.conductor import Conductor
from vmsmp.campaign.crew import Crew, Fleet, check_free_threaded
from vmsmp.campaign.plan import Plan
from vmsmp.campaign.store.schema import StoreError
from vmsmp.campaign.store.write import Store
from vmsmp.campaign.tally import Campaign, Row
from vmsmp.campaign.way import PLENTY, Scarcity
from vmsmp.engine.workers import gil_enabled
from vmsmp.errors import UsageError, quoted
from vmsmp.library import Scenario, fewest_pages, matching
from vmsmp.patches.catalogue import check_mutants, check_repairs
from vmsmp.program_files import is_place

#: Seconds that a campaign takes where nobody says otherwise.
USUAL_S: Final = 60.0
#: Cores for each run of the free engine that go on at once.
CORES_A_RUN: Final = 8


@dataclass(frozen=True, slots=True)
class Means:
    """What a campaign is run with.

    `store`: the file that keeps it (None: nothing does).  `freethreaded`: another interpreter for the free
    engine.  `cluster`: the address of a scheduler of dask.distributed, which runs the batches instead of
    processes of this machine.
    """

    workers: int
    store: Path | None = None
    freethreaded: str | None = None
    cluster: str | None = None
    profile: str = ""
    arguments: Sequence[str] = ()


def run_campaign(
    glob: str,
    means: Means,
    *,
    seconds: float | None = USUAL_S,
    schedules: int | None = None,
    seed: int = 0,
    mutants: Collection[str] = (),
    repairs: Collection[str] = (),
    scarcity: Scarcity = PLENTY,
    hang_s: float | None = None,
    progress: Callable[[Campaign], None] = lambda _campaign: None,
    on_report: Callable[[Report], None] = lambda _report: None,
) -> Campaign:
    """Stress the scenarios that match `glob` for that long, or until so many controlled schedules are run.

    None is no bound.  Where memory is to be scarce, only those that cope with it, with the repairs of all
    known findings.  `hang_s` is when a run hangs, as the engines take it; None: what is usual there.
    Raises: UsageError if none matches, a mutant or repair is unknown, or the store is none.
    """
    start = time.monotonic()
    scenarios = _coping(glob) if scarcity else matching(glob)
    patches = {"repairs": check_repairs(repairs), "mutants": check_mutants(mutants)}
    campaign = Campaign(
        rows={scenario.__name__: Row() for scenario in scenarios},
        workers=means.workers,
        store=means.store,
        scarcity=scarcity,
        chosen=_chosen(glob, means, **patches),
    )

    def shown() -> None:
        campaign.seconds = time.monotonic() - start
        progress(campaign)

    with Store(means.store, code_name() + own_code(scenarios)) as store:
        plan = Plan(
            scenarios,
            seed,
            scarcity=scarcity,
            hang_s=hang_s,
            schedules=schedules,
            fresh=store.fresh,
            **patches,
        )
        campaign.planned = plan.first_round
        with _fleets(means, campaign) as (fleet, free):
            until = math.inf if seconds is None else start + seconds
            conductor = Conductor(
                *(plan, store, campaign, fleet, free), until=until, progress=shown, on_report=on_report
            )
            try:
                store.begin(
                    version=__version__,
                    python=platform.python_version(),
                    workers=means.workers,
                    arguments=means.arguments,
                    profile=means.profile,
                )
                conductor.run()
            except KeyboardInterrupt:
                campaign.interrupted = True
            except StoreError as error:
                campaign.errors.append(str(error))
        try:
            store.end(campaign.outcome)
        except StoreError as error:
            campaign.errors += [] if str(error) in campaign.errors else [str(error)]
    campaign.seconds = time.monotonic() - start
    return campaign


def _chosen(
    glob: str, means: Means, *, repairs: Collection[str], mutants: Collection[str]
) -> tuple[str, ...]:
    """What to tell the command line, so that another campaign runs the same.

    Without a store there is nothing to go on with, and a pattern of names is left out.
    """
    named = glob != "*" and (means.store is not None or is_place(glob))
    words = ["--scenarios", glob] if named else []
    words += [word for name in sorted(repairs) for word in ("--repair", name)]
    return (*words, *(word for name in sorted(mutants) for word in ("--mutant", name)))


@contextmanager
def _fleets(means: Means, campaign: Campaign) -> Iterator[tuple[Fleet, Fleet]]:
    """Who runs the controlled batches, and who the free ones; all end with the campaign.

    Where threads run in parallel a free run has the machine to itself; else it is one process among others.
    Raises: UsageError for an interpreter or a cluster that cannot be used.
    """
    interpreter = means.freethreaded
    if interpreter is not None:
        check_free_threaded(interpreter)
    elif not gil_enabled():
        interpreter = sys.executable
    campaign.parallel = interpreter is not None
    fleet = _fleet(means)
    free = fleet
    if interpreter is not None and means.cluster is None:
        free = Crew(max(1, means.workers // CORES_A_RUN), interpreter=interpreter, pinned=False)
    try:
        yield fleet, free
    finally:
        fleet.stop()
        if free is not fleet:
            free.stop()


def _fleet(means: Means) -> Fleet:
    if means.cluster is None:
        return Crew(means.workers)
    from vmsmp.campaign.cluster import Cluster

    return Cluster(means.cluster, free=means.freethreaded)


def _coping(glob: str) -> list[Scenario]:
    """The scenarios that match and run with other memory than their own.

    Raises: UsageError if there is none.
    """
    found = [scenario for scenario in matching(glob) if fewest_pages(scenario) is not None]
    if not found:
        raise UsageError(f"no scenario that matches {quoted(glob)} runs with other memory than its own")
    return found
