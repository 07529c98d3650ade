"""One run as a pytest file: one that passes while it repeats, or one that fails until its bug is repaired.

The first holds the program's name, the schedule line, the verdict and the digest, the second no verdict;
neither has anything that depends on the machine or the day.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from vmsmp.errors import UsageError, quoted
from vmsmp.library import all_scenarios

if TYPE_CHECKING:
    from vmsmp.campaign.outcome import Outcome

#: The longest line of the file, except for a longer schedule.
WIDTH = 110

_TEMPLATE = '''\
"""{headline}

Written by {writer}.  The test follows one schedule line and {meaning}
To see the run: {seeing}.
"""

from __future__ import annotations

{imports}

{constants}


def test_{name}() -> None:
    outcome = replay({find}(PROGRAM), SCHEDULE{options})
    {judged}
'''

_REPEATS = """\
found = outcome.failure.signature if outcome.failure is not None else "clean"
    assert found == EXPECTED
    assert outcome.digest == DIGEST"""
_REPAIRED = "assert outcome.failure is None, outcome.failure.report()"
_UNTIL_REPAIRED = """\
fails, with
the story of the run, until its bug is repaired.  A schedule is no proof of a repair, so search again, too."""
_FAILING = """\
passes while
the failure is there to be reproduced, bit for bit.  Once it is repaired the test fails; a schedule is
no proof of a repair, so search again before the file goes."""
_CLEAN = """\
passes while
the schedule is clean and goes the way it went, bit for bit."""
#: The parts of the template that depend on where the program is.
_OF_SCENARIO = {
    "writer": "`vmsmp replay LINE --pytest FILE`",
    "imports": "from vmsmp import replay\nfrom vmsmp.library import find_scenario",
    "seeing": "`vmsmp replay FILE`, where FILE is this file",
    "find": "find_scenario",
}


def pytest_file(
    outcome: Outcome, *, module: str | None = None, check: bool = True, until_repaired: bool = False
) -> str:
    """Return the text of a pytest file that runs `outcome` again, and passes if it goes as it went.

    `until_repaired`: it fails as long as the run does.  `module` locates a program that is no scenario, as
    "module:function".  `check=False` if the run was made without the checkers.

    Raises: UsageError for a free run, for an invalid `module`, and for a program that is no scenario
    if there is no `module`.
    """
    if not outcome.schedule:
        raise UsageError("a free run cannot be replayed, so there is no test to write")
    program = _program(outcome, module)
    failure = outcome.failure
    name = re.sub(r"\W+", "_", outcome.program).lower()[:60].strip("_")
    constants = {"PROGRAM": program, "SCHEDULE": outcome.schedule}
    verdict = "is_clean" if failure is None else "is_repaired" if until_repaired else "still_fails"
    if not until_repaired:
        constants["EXPECTED"] = failure.signature if failure is not None else "clean"
        constants["DIGEST"] = outcome.digest
    return _TEMPLATE.format(
        headline=f"A run of {outcome.program[:60]} that {'fails' if failure is not None else 'is clean'}.",
        meaning=_UNTIL_REPAIRED if until_repaired else _CLEAN if failure is None else _FAILING,
        constants="\n".join(_constant(constant, text) for constant, text in constants.items()),
        name=f"{name}_{verdict}",
        judged=_REPAIRED if until_repaired else _REPEATS,
        options="" if check else ", check=False",
        **(_OF_SCENARIO if module is None else _of_program(fails=failure is not None)),
    )


def _of_program(*, fails: bool) -> dict[str, str]:
    """Return the same parts for a program that is no scenario."""
    report = "print `outcome.failure.report()`"
    return {
        "writer": "`vmsmp.report.pytest_file`",
        "imports": "from pkgutil import resolve_name\n\nfrom vmsmp import replay",
        "seeing": report if fails else "print the story of what `replay` returns",
        "find": "resolve_name",
    }


def _program(outcome: Outcome, module: str | None) -> str:
    if module is None:
        if outcome.program not in all_scenarios():
            name = quoted(outcome.program)
            raise UsageError(f"{name} is no scenario: say where it is, as 'module:function'")
        return outcome.program
    where, colon, function = module.partition(":")
    if not (colon and all(part.isidentifier() for part in (*where.split("."), *function.split(".")))):
        raise UsageError(f"{quoted(module)} names no program: it takes the form 'module:function'")
    return module


def _constant(name: str, text: str) -> str:
    """Return an assignment, laid out as a formatter would."""
    line = f"{name} = {_literal(text)}"
    if len(line) <= WIDTH:
        return line
    if name == "SCHEDULE" and len(_literal(text)) + 4 > WIDTH:
        # In one piece, so that it can be copied and `vmsmp replay` finds it; blanks around it are ignored.
        return f'{name} = """\n{text}\n"""'
    pieces = [""]
    for char in text:
        if len(_literal(pieces[-1] + char)) + 4 > WIDTH:
            pieces.append("")
        pieces[-1] += char
    return "\n".join([f"{name} = (", *(f"    {_literal(piece)}" for piece in pieces), ")"])


def _literal(text: str) -> str:
    """Return a string as Python source: ASCII, in double quotes unless single ones need fewer escapes."""
    body = "".join(char if char in "'\"" else ascii(char)[1:-1] for char in text)
    quote = "'" if text.count('"') > text.count("'") else '"'
    return quote + body.replace(quote, f"\\{quote}") + quote
