"""The services that primitives need of their machine: shared memory, sleeping, and the pool tokens.

The machine (`sync.machine`) makes the primitives and knows all of them; they know only this class of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from vmsmp.engine import ops
from vmsmp.engine.machine import Machine as BareMachine
from vmsmp.sync.atomic import Atomic, FreeAtomic
from vmsmp.sync.cell import Cell
from vmsmp.sync.thread import splz, take_latched, takes_ipis, thread_of

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu
    from vmsmp.engine.hooks import Hooks
    from vmsmp.engine.options import Options
    from vmsmp.engine.protocol import Engine
    from vmsmp.sync.thread import Switcher, Thread

#: How a report shows this module's frames (`engine.source`).
FRAMES = "machinery"
T = TypeVar("T")


class Services(BareMachine):
    """A machine with shared memory, and the services that locks and sleep queues need of each other."""

    def __init__(
        self,
        engine: Engine[Cpu],
        *,
        seed: int = 0,
        options: Options | None = None,
        hooks: Hooks | None = None,
    ) -> None:
        super().__init__(engine, seed=seed, options=options, hooks=hooks)
        #: Whether locks run the kernel's own algorithm on a word; else they take one step.
        self.exact = self.options.locks == "exact"
        self._atomic = FreeAtomic if engine.parallel else Atomic
        #: A host lock, held while a CPU makes a shared object that it is the first to need.
        self.making = engine.host_lock()
        # Identities are reserved for them, since any CPU may be the first to need another one's thread.
        self._threads = self.identities.reserve(ops.MAX_CPUS - 1, ops.MAX_CPUS, self._thread)
        self._token_gate: Any = None
        #: The handler of a latched interrupt (`ipiq.vector`).
        self.vector: Callable[[Thread], None] | None = None
        #: Switches the address space of a CPU that gives up its thread (`token.switch`).
        self.switcher: Switcher | None = None
        #: By index: what a CPU that has ended runs when it is `wanted`.
        self.afterlife: dict[int, Any] = {}

    def _thread(self, n: int) -> Any:
        return self.cpus[n].td if n < len(self.cpus) else None

    def arise(self, cpu: Cpu) -> None:
        if self.switcher is not None:
            self.switcher.arise(thread_of(self, cpu))

    def retire(self, cpu: Cpu) -> None:
        if self.switcher is not None:
            self.switcher.retire(thread_of(self, cpu))

    def take_interrupts(self, cpu: Cpu) -> None:
        if cpu.latched:
            take_latched(thread_of(self, cpu))
        if cpu.td is not None:
            splz(cpu.td)
        late = self.afterlife.get(cpu.index)
        if late is not None and late.wanted():
            late.run()

    def interrupts(self, cpu: Cpu) -> bool:
        late = self.afterlife.get(cpu.index)
        return (
            (cpu.latched and not cpu.closed)
            or (cpu.td is not None and takes_ipis(cpu.td))
            or (late is not None and late.wanted())
        )

    def yield_(self) -> None:
        """Give way to another runnable CPU, if there is one; then take IPIs."""
        self.engine.yield_()
        self.take_interrupts(self.engine.current)

    def pause(self) -> None:
        """One turn of a spin loop.

        The search may keep this CPU waiting until another one writes what it read.
        It takes IPIs, unless the CPU is in a critical section.
        """
        self.take_interrupts(self.engine.current)
        self.engine.pause()
        self.take_interrupts(self.engine.current)

    def thread_ident(self, cpu: Cpu) -> int:
        """The identity of the CPU's thread."""
        return self._threads + (cpu.index << ops.CPU_BITS)

    # -- shared memory --------------------------------------------------------------------------

    def cell(self, value: T, name: str | None = None, *, sloppy: str | None = None) -> Cell[T]:
        """Plain shared memory; two unordered accesses, one of them a store, are a data race.

        `sloppy` declares that they are not, and is the reason: why a lost store is harmless.
        """
        return Cell(self, value, name, sloppy=sloppy)

    def atomic(
        self,
        value: Any,
        name: str | None = None,
        format: Callable[[Any], str] = repr,
        *,
        ident: int | None = None,
    ) -> Atomic:
        """A word with atomic operations; `format` gives its value as a report shows it.

        `ident` is an identity that was reserved for it, here as for locks.
        """
        return self._atomic(self, value, name, format, ident)

    # -- locks ----------------------------------------------------------------------------------

    def spinlock(self, name: str | None = None, *, ident: int | None = None) -> Any:
        """A spinlock, exclusive and shared."""
        raise NotImplementedError

    # -- tokens ---------------------------------------------------------------------------------

    @property
    def token_gate(self) -> Any:
        """The gate at which CPUs wait for tokens of the atomic depth."""
        if self._token_gate is None:
            with self.making:
                self._token_gate = self._token_gate or self.engine.gate()
        return self._token_gate

    def pool_token_of(self, slot: int) -> Any:
        """The pool token in that slot of the hash, made when first asked for."""
        raise NotImplementedError

    # -- sleeping -------------------------------------------------------------------------------

    def tsleep_interlock(self, ident: Any, flags: int = 0) -> None:
        """Announce that this CPU may sleep on `ident`: a wakeup from now on is not lost."""
        raise NotImplementedError

    def tsleep(
        self,
        ident: Any,
        flags: int = 0,
        wmesg: str = "",
        timo: int = 0,
        *,
        overdue: Callable[[], str | None] | None = None,
    ) -> int:
        """Sleep on `ident` until a wakeup; 0, EWOULDBLOCK or EINTR.

        A blocking point: all tokens are lost and taken again.  `timo` in ticks, 0 for none.  Returns
        0 at once if PINTERLOCKED is set and a wakeup came since the interlock, and may return 0
        spuriously.  `overdue` returns, for a checker, why the sleep should be over, or None.
        """
        raise NotImplementedError

    def wakeup(self, ident: Any, domain: int = 0) -> None:
        """Wake every CPU that sleeps on `ident` in that domain (bits of PDOMAIN_MASK)."""
        raise NotImplementedError

    def wakeup_one(self, ident: Any, domain: int = 0) -> None:
        """Wake at least one CPU that sleeps on `ident`, if there is one."""
        raise NotImplementedError
