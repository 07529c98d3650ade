"""The recordings of tokens, stacked, swapped, lost in sleeps."""

from __future__ import annotations

from typing import Any

from follower import Family
from recording import Run
from vmsmp.machine import Machine

CALLS = {"tx": "acquire", "tsh": "acquire_shared", "ttry": "try_acquire", "trel": "release"}


class Tokens(Family):
    """`tx tsh` take a token, `ttry TOKEN SKIP` tries, `trel`, `tswap`; `sl0 CHANNEL TICKS` and `wk`.

    `SKIP` calls are left out if the try fails.
    """

    def __init__(self, machine: Machine, run: Run) -> None:
        super().__init__(machine, run)
        self.tokens = [machine.token(f"tk{n}") for n in range(run.number("tokens"))]
        for n, token in enumerate(self.tokens):
            self.words[f"tk{n}.count"] = (token.t_count, "{:x}".format)
            self.words[f"tk{n}.ref"] = (token.t_ref, _ref)
        for n in range(run.number("channels")):
            self.channels[f"ch{n}"] = f"ch{n}"

    def call(self, cpu: int, words: list[str]) -> tuple[int, int]:
        name, *numbers = words
        if name == "tswap":
            self.machine.token_swap()
            return 0, 0
        first = int(numbers[0])
        if name == "sl0":
            return self.machine.tsleep(f"ch{first}", 0, "", int(numbers[1])), 0
        if name == "wk":
            self.machine.wakeup(f"ch{first}")
            return 0, 0
        got = getattr(self.tokens[first], CALLS[name])()
        return int(bool(got)), int(numbers[1]) if len(numbers) > 1 and not got else 0

    def drawn(self, cpu: int, at: int) -> int | None:
        """The time window of a contested get: the same for a whole recording."""
        return 1 - self.run.number("tokwin")


def _ref(ref: Any) -> str:
    """A ref as a recording writes it: its CPU and its slot."""
    if ref is None:
        return "-"
    return f"cpu{ref.tr_owner.cpu.index}.{ref.tr_owner.td_toks_array.index(ref)}"
