"""Removals: every test, lock, wakeup and order of the model, taken away one at a time.

The written mutants are guards that somebody thought of.  A removal is derived from the source of a function
of `vmsmp.sync`, `vmsmp.mmu` or `vmsmp.vm`, and so is there for each of its lines:

  * `never`, `always`: the body of an `if` is never, or always, run;
  * `once`: a `while` that looks again looks once only;
  * `term1`, ...: one term of a condition of several is left out;
  * `gone`: a call that is a statement of its own (a lock, a release, a wakeup, a flush) is not made, a store
    (a flag, a count, a link) is left out, and a `continue` goes on below;
  * `open`: the body of a `with` runs without it;
  * `swap`: two neighbouring stores or calls change places;
  * `flag1`, ...: one of several flags that are or-ed together is left out;
  * `one1`, ...: a 1 that is added to a value, or taken from it, is not;
  * `edge1`, ...: a comparison holds at its edge, too, or does not any more: `<` is `<=`, `>=` is `>`.

A removal's id is the path of the function below `vmsmp`, the line within the function, and the word above:
`vm.vm_page.busy.vm_page_wakeup-7-never`.  It may be planted by that id wherever a mutant may.
Left alone: panics and assertions, which only speak; ghost state of checkers, and what they ask for the
letters of a legend; reports and counts that are only shown; pauses, which are hints to the scheduler; boot,
which is alone.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from types import FunctionType, ModuleType
from typing import ClassVar, Final, NamedTuple

from vmsmp.errors import UsageError
from vmsmp.patches.dispatch import original
from vmsmp.patches.patch import Patch, locate, resolve
from vmsmp.records.letters import Holds, Letter

#: What is searched for removals.
PACKAGES: Final = ("vmsmp.sync", "vmsmp.mmu", "vmsmp.vm")
#: Modules of them that no other CPU runs beside, or that only show.
_ALONE: Final = ("startup", "ddb", "system", "observer", "services", "machine")
#: Comparisons, and what they are with their edge on the other side.
_EDGES: Final[dict[type[ast.cmpop], tuple[str, str]]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
}
#: How the names of functions end that only show or check.
_SHOWS: Final = (
    *("state", "dump", "name", "klass", "statistics", "format", "next_number"),
    *("check_word", "check_rest", "holds_of", "text"),
    *("overdue", "due", "shared_admitted", "shared_granted", "missed", "has_units", "opened"),
)
#: How the names of functions begin that keep ghost state, check or assert.
_NOTES: Final = ("note_", "_check_", "ASSERT_")
#: Other calls that keep ghost state, may only stop the machine, or are hints to the scheduler.
_GHOST: Final = (
    *("took", "gave", "handed", "taken_over", "hook", "pause", "yield_", "failed"),
    *("panic", "fail", "forbid_hard_section", "_may_release", "check_use"),
    *("contents_dropped", "kprintf", "promise", "_settle", "_tables_changed", "_section_ends"),
)
#: Attributes that are ghost state, counts that are only shown, or what reports say a CPU waits for.
_GHOST_PARTS: Final = (
    *("inside", "queued", "asking", "asked", "holders", "granted", "grants", "refused", "probing"),
    *("leaving", "epoch", "contested", "t_collisions", "wants", "linked", "ended_at", "listed"),
    *("v_cow_faults", "v_intrans", "v_intrans_coll", "v_intrans_wait", "v_pfree", "v_ppwakeups"),
    *("v_reactivated", "v_tfree", "v_vm_faults", "v_zfod", "last_to_free", "outstanding", "transitions"),
)


@dataclass(frozen=True, slots=True)
class Removal(Patch):
    """A guard taken away.

    `text` is the line that it is taken from, `line` where the statement begins, in the function, from 1.
    """

    kind: ClassVar = "removal"

    line: int
    text: str


class _Cut(NamedTuple):
    """Replace what lies between two places of a source, (line, byte), by `new`.

    `within` is the statement that it is about; `second` the one to change places with, instead of `new`.
    `old` is what to replace of what lies there, if that is not all.
    """

    how: str
    start: tuple[int, int]
    end: tuple[int, int]
    new: str
    within: ast.stmt
    second: ast.stmt | None = None
    old: str = ""


def find_removal(ident: str) -> Removal | None:
    """Return the removal of that id, or None if there is none."""
    path, dash, _ = ident.partition("-")
    if not dash:
        return None
    function = next((one for one in _functions() if _short(one) == path), None)
    found = removals_of(function) if function is not None else ()
    return next((one for one in found if one.ident == ident), None)


def all_removals() -> Iterator[Removal]:
    """Yield every removal, by module and function, in the order of the source."""
    for function in _functions():
        yield from removals_of(function)


@cache
def _functions() -> tuple[str, ...]:
    """The functions with guards, as `module:qualified.name`."""
    found: list[str] = []
    for package in PACKAGES:
        root = importlib.import_module(package)
        for info in sorted(pkgutil.walk_packages(root.__path__, f"{package}."), key=lambda info: info.name):
            if info.name.rsplit(".", 1)[-1] not in _ALONE:
                found += _functions_in(info.name)
    return tuple(found)


def _functions_in(module: str) -> Iterator[str]:
    """The functions that a module defines, its classes' methods included."""
    loaded = importlib.import_module(module)
    asked = _asked_by_letters(loaded)
    for name, thing in vars(loaded).items():
        if getattr(thing, "__module__", None) != module or thing in asked:
            continue
        methods = vars(thing).items() if isinstance(thing, type) else ()
        candidates = [(name, thing), *((f"{name}.{own}", method) for own, method in methods)]
        for path, candidate in candidates:
            if isinstance(candidate, FunctionType | staticmethod):
                code = original(inspect.unwrap(getattr(candidate, "__func__", candidate))).__code__
                # one that is generated has no source, one that uses `super` cannot be compiled alone
                own = code.co_filename == loaded.__file__ and not code.co_freevars
                # one that has another name here is found where it has its own
                own = own and code.co_qualname == path
                if own and not code.co_name.startswith(("__", *_NOTES)) and not code.co_name.endswith(_SHOWS):
                    yield f"{module}:{path}"


def _asked_by_letters(module: ModuleType) -> list[Holds]:
    """What checkers ask to know whether the letters of the module's legends hold."""
    legends = [thing for thing in vars(module).values() if isinstance(thing, dict)]
    return [one.holds for legend in legends for one in legend.values() if isinstance(one, Letter)]


def _short(function: str) -> str:
    """The path of a function as it stands in an id."""
    return function.removeprefix("vmsmp.").replace(":", ".")


@cache
def removals_of(function: str) -> tuple[Removal, ...]:
    """Return the removals of the function at `module:qualified.name`, in the order of its source.

    Raises: UsageError if its source cannot be read.
    """
    target = original(resolve(function))
    try:
        source = textwrap.dedent(inspect.getsource(target))
    except OSError as error:
        raise UsageError(f"{function}: its source cannot be read: {error}") from None
    definition = ast.parse(source).body[0]
    assert isinstance(definition, ast.FunctionDef)
    parents = {child: node for node in ast.walk(definition) for child in ast.iter_child_nodes(node)}
    found: list[Removal] = []
    for cut in _cuts(definition.body):
        old, new = _edit(source, cut, parents)
        if old != new:
            text = source.splitlines()[cut.start[0] - 1].strip()
            ident = f"{_short(function)}-{cut.start[0]}-{cut.how}"
            found.append(Removal(ident, function, old, new, line=cut.within.lineno, text=text))
    return tuple(found)


# -- what can be taken away -----------------------------------------------------------------------


def _cuts(body: list[ast.stmt]) -> Iterator[_Cut]:
    """What can be taken away from a block, and from the blocks within it."""
    for statement in body:
        yield from _cuts_of(statement)
        yield from _flags(statement)
        yield from _steps(statement)
        yield from _edges(statement)
        for inner in ("body", "orelse", "finalbody"):
            if not _only_speaks(statement):
                yield from _cuts(getattr(statement, inner, []))
        for handler in getattr(statement, "handlers", []):
            yield from _cuts(handler.body)
    for first, second in pairwise(body):
        if _has_effect(first) and _has_effect(second) and ast.dump(first) != ast.dump(second):
            yield _Cut("swap", _start(first), _end(second), "", first, second)


def _cuts_of(statement: ast.stmt) -> Iterator[_Cut]:
    """What can be taken away from one statement, not from the blocks within it."""
    match statement:
        case ast.If(test=test) if not _only_speaks(statement):
            yield _Cut("never", _start(test), _end(test), "False", statement)
            yield _Cut("always", _start(test), _end(test), "True", statement)
            yield from _terms(test, statement)
        case ast.While(test=test, body=body):
            start = _start(statement)
            if not isinstance(test, ast.Constant) and not _leaves(body):
                yield _Cut("once", start, (start[0], start[1] + len("while")), "if", statement)
            yield from _terms(test, statement)
        case ast.Return(value=ast.expr() as value):
            yield from _terms(value, statement)
        case ast.With(items=items) if all(item.optional_vars is None for item in items):
            yield _Cut("open", _start(statement), _end(items[-1]), "if True", statement)
        case ast.Continue():
            yield _Cut("gone", _start(statement), _end(statement), "pass", statement)
        case _ if _has_effect(statement):
            yield _Cut("gone", _start(statement), _end(statement), "pass", statement)


def _terms(test: ast.expr, statement: ast.stmt) -> Iterator[_Cut]:
    """Each term of a condition of several, left out."""
    number = 0
    for node in ast.walk(test):
        if isinstance(node, ast.BoolOp):
            for term in node.values:
                number += 1
                new = "True" if isinstance(node.op, ast.And) else "False"
                yield _Cut(f"term{number}", _start(term), _end(term), new, statement)


def _flags(statement: ast.stmt) -> Iterator[_Cut]:
    """Each of several flags of a statement, not of the blocks within it, left out."""
    ored = [
        side
        for part in _own_parts(statement)
        if isinstance(part, ast.BinOp) and isinstance(part.op, ast.BitOr)
        for side in (part.left, part.right)
        if isinstance(side, ast.Name) and side.id.isupper()
    ]
    for number, flag in enumerate(ored, 1):
        yield _Cut(f"flag{number}", _start(flag), _end(flag), "0", statement)


def _steps(statement: ast.stmt) -> Iterator[_Cut]:
    """Each 1 that a statement, not the blocks within it, adds or takes away."""
    ones = [
        part.right
        for part in _own_parts(statement)
        if isinstance(part, ast.BinOp)
        and isinstance(part.op, ast.Add | ast.Sub)
        and isinstance(part.right, ast.Constant)
        and part.right.value == 1
    ]
    for number, one in enumerate(ones, 1):
        yield _Cut(f"one{number}", _start(one), _end(one), "0", statement)


def _edges(statement: ast.stmt) -> Iterator[_Cut]:
    """Each comparison of a statement, not of the blocks within it, with its edge on the other side."""
    number = 0
    for part in _own_parts(statement):
        if isinstance(part, ast.Compare):
            for left, op, right in zip(
                [part.left, *part.comparators], part.ops, part.comparators, strict=False
            ):
                if type(op) in _EDGES:
                    number += 1
                    old, new = _EDGES[type(op)]
                    yield _Cut(f"edge{number}", _end(left), _start(right), new, statement, old=old)


def _own_parts(statement: ast.stmt) -> Iterator[ast.AST]:
    """The expressions of a statement that could be seen, not those of the blocks within it."""
    silent = isinstance(statement, ast.Expr | ast.Assert) and not _has_effect(statement)
    if not (silent or _only_speaks(statement) or _is_ghost(statement)):
        for node in ast.iter_child_nodes(statement):
            if isinstance(node, ast.expr):
                yield from ast.walk(node)


def _leaves(body: list[ast.stmt]) -> bool:
    """Whether a loop's own body has a `break` or `continue` in it, so that it cannot be an `if`."""
    for statement in body:
        if isinstance(statement, ast.Break | ast.Continue):
            return True
        if not isinstance(statement, ast.For | ast.While | ast.FunctionDef):
            for inner in ("body", "orelse", "finalbody"):
                if _leaves(getattr(statement, inner, [])):
                    return True
    return False


def _only_speaks(statement: ast.stmt) -> bool:
    """Whether it is a test that only panics, raises or keeps ghost state, or a loop that tells observers."""
    match statement:
        case ast.If(body=[*body], orelse=[]) if all(map(_is_ghost, body)):
            return True
        case ast.If(body=[*_, ast.Raise()], orelse=[]):
            return True
        case ast.If(body=[*_, ast.Expr(value=call)], orelse=[]) if _called(call) in ("panic", "fail"):
            return True
        case ast.For(iter=ast.Attribute(value=ast.Attribute(attr="hooks"))):
            return True
    return False


def _has_effect(statement: ast.stmt) -> bool:
    """Whether it is a call or a store that something else could see."""
    match statement:
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Attribute(attr=part)))) if (
            part in _GHOST_PARTS
        ):
            return False
        case ast.Expr(value=ast.Call() as call):
            return _called(call) not in _GHOST and not _called(call).startswith(_NOTES)
        case ast.Assign(targets=[ast.Attribute(attr=part)]) | ast.AugAssign(target=ast.Attribute(attr=part)):
            return part not in _GHOST_PARTS
        case (
            ast.Assign(targets=[ast.Subscript(value=target)])
            | ast.Delete(targets=[ast.Subscript(value=target)])
        ):
            return not (isinstance(target, ast.Attribute) and target.attr in _GHOST_PARTS)
    return False


def _is_ghost(statement: ast.stmt) -> bool:
    """Whether it is a call or a store that nothing but checkers and reports can see."""
    match statement:
        case (
            ast.Expr(value=ast.Call())
            | ast.Assign(targets=[ast.Attribute() | ast.Subscript()])
            | ast.AugAssign(target=ast.Attribute())
        ):
            return not _has_effect(statement)
    return False


def _called(call: ast.expr) -> str:
    """The last name of what is called; empty if it has none."""
    if isinstance(call, ast.Call):
        if isinstance(call.func, ast.Attribute):
            return call.func.attr
        if isinstance(call.func, ast.Name):
            return call.func.id
    return ""


# -- as a snippet ---------------------------------------------------------------------------------


def _edit(source: str, cut: _Cut, parents: dict[ast.AST, ast.AST]) -> tuple[str, str]:
    """The smallest snippet around a cut that occurs once in the source, and what it becomes."""
    lines = source.splitlines()
    changed = _changed(source, cut)
    added = len(changed.splitlines()) - len(lines)
    if cut.start[0] == cut.end[0] and not added:
        old, new = (text.splitlines()[cut.start[0] - 1].strip() for text in (source, changed))
        if locate(source, old) is not None:
            return old, new
    node: ast.AST | None = cut.within
    while isinstance(node, ast.stmt) and not isinstance(node, ast.FunctionDef):
        first, last = node.lineno, max(node.end_lineno or node.lineno, cut.end[0])
        old = textwrap.dedent("\n".join(lines[first - 1 : last]))
        if "\n" in old and locate(source, old) is not None:
            return old, textwrap.dedent("\n".join(changed.splitlines()[first - 1 : last + added]))
        node = parents.get(node)
    return source, changed


def _changed(source: str, cut: _Cut) -> str:
    """The whole source with the cut made."""
    start, end = _offset(source, cut.start), _offset(source, cut.end)
    data = source.encode()
    new = data[start:end].replace(cut.old.encode(), cut.new.encode(), 1) if cut.old else cut.new.encode()
    if cut.second is not None:
        first_ends, second_starts = _offset(source, _end(cut.within)), _offset(source, _start(cut.second))
        new = data[second_starts:end] + data[first_ends:second_starts] + data[start:first_ends]
    return (data[:start] + new + data[end:]).decode()


def _offset(source: str, place: tuple[int, int]) -> int:
    """Where a place lies in the encoded source."""
    line, column = place
    return sum(len(text.encode()) for text in source.splitlines(keepends=True)[: line - 1]) + column


def _start(node: ast.AST) -> tuple[int, int]:
    assert isinstance(node, ast.expr | ast.stmt)
    return node.lineno, node.col_offset


def _end(node: ast.AST) -> tuple[int, int]:
    if isinstance(node, ast.withitem):
        node = node.context_expr
    assert isinstance(node, ast.expr | ast.stmt)
    return node.end_lineno or node.lineno, node.end_col_offset or 0
