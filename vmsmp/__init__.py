"""vmsmp: a concurrency stress harness for a model of DragonFly BSD's virtual memory.

    import vmsmp

    def lost_update(m):
        word = m.cell(0, name="word")
        def incrementer():
            word.store(word.load() + 1)
        m.spawn(incrementer); m.spawn(incrementer)
        m.join()
        m.check(word.load() == 2, "both increments are counted")

    result = vmsmp.explore(lost_update, sched="pct:3", schedules=1000, seed=1)
    print(result.failure.report())

Names are loaded when first used, so that importing the package stays cheap.  README.md lists the rooms of
the package and says how to add to them.
"""

from __future__ import annotations

__version__ = "0.1.0"

TYPE_CHECKING = False  # as in `typing`, which takes longer to load than all the rest of this

if TYPE_CHECKING:
    from typing import Any

    from vmsmp.campaign.free_run import run as run
    from vmsmp.campaign.minimize import minimize as minimize
    from vmsmp.campaign.outcome import Failure as Failure
    from vmsmp.campaign.outcome import Outcome as Outcome
    from vmsmp.campaign.outcome import Result as Result
    from vmsmp.campaign.replay import replay as replay
    from vmsmp.campaign.search import explore as explore
    from vmsmp.engine.cpu import Cpu as Cpu
    from vmsmp.engine.schedule import Schedule as Schedule
    from vmsmp.library import scenario as scenario
    from vmsmp.machine import Machine as Machine
    from vmsmp.report.text import failure_text as failure_text

_ERRNO = (
    *("EAGAIN", "EBUSY", "EINTR", "ENOLCK", "ERESTART", "EWOULDBLOCK"),
    *("LK_SHARED", "LK_EXCLUSIVE", "LK_UPGRADE", "LK_EXCLUPGRADE", "LK_DOWNGRADE", "LK_RELEASE"),
    *("LK_CANCEL_BEG", "LK_CANCEL_END", "LK_EXCLOTHER"),
    *("LK_NOWAIT", "LK_SLEEPFAIL", "LK_CANRECURSE", "LK_TIMELOCK", "LK_PCATCH", "LK_CANCELABLE"),
    *("PCATCH", "PINTERLOCKED"),
)
_HOME = {
    "run": "vmsmp.campaign.free_run",
    "explore": "vmsmp.campaign.search",
    "replay": "vmsmp.campaign.replay",
    "minimize": "vmsmp.campaign.minimize",
    "Failure": "vmsmp.campaign.outcome",
    "Outcome": "vmsmp.campaign.outcome",
    "Result": "vmsmp.campaign.outcome",
    "failure_text": "vmsmp.report.text",
    "Machine": "vmsmp.machine",
    "Cpu": "vmsmp.engine.cpu",
    "Schedule": "vmsmp.engine.schedule",
    "scenario": "vmsmp.library",
    "UsageError": "vmsmp.errors",
    "VmsmpError": "vmsmp.errors",
    **dict.fromkeys(_ERRNO, "vmsmp.sync.errno"),
}

__all__ = ["__version__", *_HOME]  # noqa: PLE0604 - the keys are strings


def __getattr__(name: str) -> Any:
    import importlib  # here, since a command needs it later than it needs a handler of Ctrl-C

    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'vmsmp' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
