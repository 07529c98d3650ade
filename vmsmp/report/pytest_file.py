"""One run as a pytest file: a regression test that passes while the run goes as it went.

The file holds the program's name, the schedule line, the verdict and the digest, and nothing that
differs from one machine or day to the next.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from vmsmp.errors import UsageError
from vmsmp.library import all_scenarios

if TYPE_CHECKING:
    from vmsmp.campaign.outcome import Outcome

#: The longest line of the file, but for a schedule that is longer.
WIDTH = 110

_TEMPLATE = '''\
"""{headline}

Written by {writer}.  The test follows one schedule line and passes while
{meaning}
To see the run: {seeing}.
"""

from __future__ import annotations

{imports}

{constants}


def test_{name}() -> None:
    outcome = replay({find}(PROGRAM), SCHEDULE{options})
    found = outcome.failure.signature if outcome.failure is not None else "clean"
    assert found == EXPECTED
    assert outcome.digest == DIGEST
'''

_FAILING = """\
the failure is there to be reproduced, bit for bit.  Once it is repaired the test fails; a schedule is
no proof of a repair, so search again before the file goes."""
_CLEAN = """\
the schedule is clean and goes the way it went, bit for bit."""


def pytest_file(outcome: Outcome, *, module: str | None = None, check: bool = True) -> str:
    """The text of a pytest file that runs `outcome` again.

    `module` says where a program is that is no scenario, as "module:function".  `check=False` if the
    run was made without the checkers.

    Raises: UsageError for a free run, for a `module` that is none, and without one for a program that
    is no scenario.
    """
    if not outcome.schedule:
        raise UsageError("a free run cannot be replayed, so there is no test to write")
    program = _program(outcome, module)
    name = re.sub(r"\W+", "_", outcome.program).lower()[:60].strip("_")
    failure = outcome.failure
    if module is None:
        writer = "`vmsmp replay LINE --pytest FILE`"
        imports = "from vmsmp import replay\nfrom vmsmp.library import find_scenario"
        seeing = "`vmsmp replay FILE`, where FILE is this file"
    else:
        writer = "`vmsmp.report.pytest_file`"
        imports = "from pkgutil import resolve_name\n\nfrom vmsmp import replay"
        seeing = "print the story of what `replay` returns"
        if failure is not None:
            seeing = "print `outcome.failure.report()`"
    constants = {
        "PROGRAM": program,
        "SCHEDULE": outcome.schedule,
        "EXPECTED": failure.signature if failure is not None else "clean",
        "DIGEST": outcome.digest,
    }
    return _TEMPLATE.format(
        headline=f"A run of {outcome.program[:60]} that {'fails' if failure is not None else 'is clean'}.",
        writer=writer,
        meaning=_CLEAN if failure is None else _FAILING,
        seeing=seeing,
        imports=imports,
        constants="\n".join(_constant(constant, text) for constant, text in constants.items()),
        name=f"{name}_{'is_clean' if failure is None else 'still_fails'}",
        find="find_scenario" if module is None else "resolve_name",
        options="" if check else ", check=False",
    )


def _program(outcome: Outcome, module: str | None) -> str:
    if module is None:
        if outcome.program not in all_scenarios():
            raise UsageError(f"{outcome.program!r} is no scenario: say where it is, as 'module:function'")
        return outcome.program
    where, colon, function = module.partition(":")
    if not (colon and all(part.isidentifier() for part in (*where.split("."), *function.split(".")))):
        raise UsageError(f"{module!r} names no program: it takes the form 'module:function'")
    return module


def _constant(name: str, text: str) -> str:
    """An assignment, laid out as a formatter would."""
    line = f"{name} = {_literal(text)}"
    if len(line) <= WIDTH:
        return line
    if name == "SCHEDULE" and len(_literal(text)) + 4 > WIDTH:
        # In one piece, so that it can be copied and `vmsmp replay` finds it; a schedule is read without
        # the blanks around it.
        return f'{name} = """\n{text}\n"""'
    pieces = [""]
    for char in text:
        if len(_literal(pieces[-1] + char)) + 4 > WIDTH:
            pieces.append("")
        pieces[-1] += char
    return "\n".join([f"{name} = (", *(f"    {_literal(piece)}" for piece in pieces), ")"])


def _literal(text: str) -> str:
    """Python source of a string, in ASCII and in double quotes wherever they need no more escapes."""
    body = "".join(char if char in "'\"" else ascii(char)[1:-1] for char in text)
    quote = "'" if text.count('"') > text.count("'") else '"'
    return quote + body.replace(quote, f"\\{quote}") + quote
