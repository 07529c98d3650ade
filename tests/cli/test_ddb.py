"""`vmsmp ddb`: commands given with -c or typed, at any step of a replayed run."""

from __future__ import annotations

import io
import re
import subprocess
import sys

import pytest

import vmsmp
from vmsmp.campaign.debugger import stop_at
from vmsmp.cli.ddb import HELP
from vmsmp.mmu.space import AddressSpace
from vmsmp.report.text import scene_lines
from vmsmp.vm.vm_object import show_object, vm_object_allocate, vm_object_drop, vm_object_hold
from vmsmp.vm.vm_page import (
    VM_ALLOC_NORMAL,
    show_page,
    show_pageq,
    vm_page_activate,
    vm_page_alloc,
    vm_page_busy_wait,
    vm_page_wakeup,
    vm_page_zero_invalid,
)

CLEAN = "v1:tour:0:"
BROKEN = "v1:tour:0:1.2>2"
BARE = "v1:bare:0:"
HARDWARE = "v1:hardware:0:"
#: A line of a scenario of the library.
LIBRARY = "v1:busy_handoff:0:"


def tour(m):
    """One page of a file is active; two CPUs count without a lock, and one of them busies the page."""
    vm = m.boot(pages=8, l2_size=2)
    obj = vm_object_allocate(vm, 4, "file")
    vm_object_hold(obj)
    page = vm_page_alloc(vm, obj, 3, VM_ALLOC_NORMAL)
    vm_page_zero_invalid(page)
    vm_page_activate(page)
    vm_page_wakeup(page)
    vm_object_drop(obj)
    turns = m.cell(0, name="turns")

    def worker():
        turns.store(turns.load() + 1)

    def owner():
        vm_page_busy_wait(page, True)
        worker()
        vm_page_wakeup(page)

    m.spawn(worker)
    m.spawn(owner)
    m.join()
    m.check(turns.load() == 2, "both are counted")


def hardware(m):
    """A page of the only address space has been stored to; no memory is booted."""
    mmu = m.mmu(frames=8)
    space = AddressSpace(mmu, "process")
    space.enter(0x1000, mmu.memory.take("process"))
    space.activate()
    m.curcpu.store(0x1000, 1)
    m.choose(2)


def bare(m):
    """No memory is booted."""
    m.spawn(m.choose, 2)
    m.join()


PROGRAMS = {"tour": tour, "bare": bare, "hardware": hardware}


def told(line):
    return vmsmp.replay(PROGRAMS[line.split(":")[1]], line).story.rows


def step_of(text, line=CLEAN, cpu=2):
    """The first step of that CPU called so in the story."""
    step, *_ = [row.step for row in told(line) if (row.cpu, row.text) == (cpu, text)]
    return step


def shown(line, step, view):
    """What `view(vm, scene)` gives where the run stands."""
    seen = []

    def visit(machine, _step, scene):
        seen.append(view(machine.vm, scene))

    stop_at(tour, line, step, visit)
    return seen[0].splitlines()


@pytest.fixture
def programs(monkeypatch):
    """The library has the programs of this file."""
    monkeypatch.setattr("vmsmp.cli.lines.find_scenario", lambda name, _: PROGRAMS[name])


@pytest.fixture
def given(vmsmp, programs):
    """Stop before a step and run commands given with -c."""

    def call(line, step, *commands):
        words = [] if step is None else ["--step", step]
        return vmsmp("ddb", line, *words, *(word for command in commands for word in ("-c", command)))

    return call


@pytest.fixture
def typed(vmsmp, programs, monkeypatch):
    """The same with commands typed, one a line."""

    def call(line, step, *commands, tty=False):
        typing = io.StringIO("".join(f"{command}\n" for command in commands))
        typing.isatty = lambda: tty
        monkeypatch.setattr("sys.stdin", typing)
        return vmsmp("ddb", line, *([] if step is None else ["--step", step]))

    return call


@pytest.fixture(params=["given", "typed"])
def either(request):
    """Both ways of giving commands."""
    return request.getfixturevalue(request.param)


def stops(out):
    """The steps at which it stopped, "" for the end."""
    return re.findall(r"^stopped (?:before step (\d+)|where the run ends)", out, re.MULTILINE)


# -- where it stops -------------------------------------------------------------------------------


@pytest.mark.parametrize("line", [CLEAN, BROKEN])
def test_every_step_is_called_as_in_the_story(typed, line):
    rows = [row for row in told(line) if not row.text.startswith("spawn ")]
    ended = typed(line, 0, *["step"] * len(told(line)))
    stood = [words for words in ended.out.splitlines() if not words.endswith(", spawn")]
    stood = stood[: len(rows)]
    assert [f"stopped before step {row.step}: cpu{row.cpu}, {row.text}" for row in rows] == stood


def test_without_a_step_it_stops_where_the_run_ends(given):
    assert ["stopped where the run ends", *scene_lines(vmsmp.replay(tour, CLEAN).story.scene)] == given(
        CLEAN, None, "show cpus"
    ).out.splitlines()


def test_a_step_after_the_end_is_the_end(either):
    assert "stopped where the run ends" == either(CLEAN, 10_000, "help").out.splitlines()[0]


def test_a_step_may_be_given_by_the_environment(typed, monkeypatch):
    monkeypatch.setenv("VMSMP_STEP", "4")
    assert ["4"] == stops(typed(CLEAN, None, "quit").out)


def test_commands_may_be_given_by_the_environment(vmsmp, programs, monkeypatch):
    monkeypatch.setenv("VMSMP_COMMAND", "show pageq cache,step")
    ended = vmsmp("ddb", CLEAN, "--step", 4)
    assert (0, ["4", "5"], 2) == (ended.code, stops(ended.out), ended.out.count("pq.cache["))


@pytest.mark.parametrize("words", ["x", "-1", "1.5", ""])
def test_a_step_that_is_no_number_is_bad_input(vmsmp, words):
    assert (2, "", 1) == vmsmp("ddb", CLEAN, f"--step={words}", "-c", "quit").complaint


# -- show -----------------------------------------------------------------------------------------

VIEWS = [
    ("show page", lambda vm, _: show_page(vm)),
    ("show page 0", lambda vm, _: show_page(vm, 0)),
    ("show page 7", lambda vm, _: show_page(vm, 7)),
    ("show page pg[7]", lambda vm, _: show_page(vm, 7)),
    ("show pageq", lambda vm, _: show_pageq(vm)),
    ("show pageq active", lambda vm, _: show_pageq(vm, "active")),
    ("show pageq hold", lambda vm, _: show_pageq(vm, "hold")),
    ("show object", lambda vm, _: show_object(vm)),
    ("show object file", lambda vm, _: show_object(vm, "file")),
    ("show cpus", lambda _, scene: "\n".join(scene_lines(scene))),
]


@pytest.mark.parametrize(("command", "view"), VIEWS, ids=[command for command, _ in VIEWS])
@pytest.mark.parametrize("place", ["load turns", "the end"])
def test_a_view_is_the_machine_s_own_where_it_stands(either, command, view, place):
    step = None if place == "the end" else step_of(place)
    ended = either(CLEAN, step, command)
    assert (0, shown(CLEAN, step, view), "") == (ended.code, ended.out.splitlines()[1:], ended.err)


def test_a_page_is_shown_as_it_is_before_the_step_and_after_it(given):
    step = step_of("cmpset pg[7].busy_count", BROKEN)
    out = given(BROKEN, step, "show page 7", "step", "show page 7").out
    assert ["0", "LOCKED|0"] == re.findall(r"busy_count  (\S+)", out)
    assert ["nobody", "hard busy by cpu2"] == re.findall(r"in hands of (.+)", out)


def test_a_known_machine_is_shown_as_it_is(given):
    page, queue, obj = (
        given(CLEAN, step_of("store turns"), command).out.splitlines()[1:]
        for command in ("show page pg[7]", "show pageq active", "show object file")
    )
    assert ["pg[7]", "  queue       pq.active[1], colour 1"] == page[:2]
    assert ["  object      file, pindex 3", "  busy_count  LOCKED|0"] == page[3:5]
    assert ["pq.active[0]       lcnt    0", "pq.active[1]       lcnt    1"] == [line[:28] for line in queue]
    assert "Object file: type=0, size=0x4, res=1, ref=1, flags=0x2000" == obj[0]
    assert "  holds 0, token free, baclk free, pip 0, backings 0, swap 0" == obj[1]
    assert "     3: pg[7], pq.active[1], file:3" == obj[2][:35]


def test_the_cpus_of_a_program_without_memory_are_shown(given):
    ended = given(BARE, 0, "show cpus")
    assert (0, "how every CPU stood:") == (ended.code, ended.out.splitlines()[1])


# -- going on -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("commands", "wanted"),
    [
        (["step"], ["4", "5"]),
        (["s"], ["4", "5"]),
        (["step 3"], ["4", "7"]),
        (["s", "goto 5", "s"], ["4", "5", "6"]),
        (["step", "step 2", "goto 9", "goto 12"], ["4", "5", "7", "9", "12"]),
        (["help"], ["4"]),
    ],
)
def test_it_goes_on_as_far_as_it_is_told(typed, commands, wanted):
    assert wanted == stops(typed(CLEAN, 4, *commands).out)


def test_commands_given_after_a_step_are_run_there(given):
    ended = given(CLEAN, 4, "show pageq hold", "goto 9", "show pageq cache")
    kinds = re.findall(r"^(?:stopped before step (\d+)|pq\.(\w+)\[0\])", ended.out, re.MULTILINE)
    assert [("4", ""), ("", "hold"), ("9", ""), ("", "cache")] == kinds


@pytest.mark.parametrize("name", ["continue", "c"])
def test_continue_goes_to_the_end(given, typed, name):
    first, last = "stopped before step 4", "the run ends: clean"
    assert [first, last] == [line.split(": cpu")[0] for line in given(CLEAN, 4, name).out.splitlines()]
    assert ["4", ""] == stops(typed(CLEAN, 4, name).out)


def test_continue_where_the_run_has_ended_says_how(typed):
    assert "the run ends: clean" == typed(CLEAN, 4, "continue", "continue").out.splitlines()[-1]


@pytest.mark.parametrize("last", ["continue", "goto 10000"])
def test_commands_typed_after_the_last_stop_are_run_where_the_run_ends(typed, last):
    ended = typed(CLEAN, 4, last, "show pageq active")
    assert ["stopped where the run ends", *shown(CLEAN, None, VIEWS[5][1])] == ended.out.splitlines()[1:]


@pytest.mark.parametrize("last", ["continue", "goto 10000"])
def test_commands_given_after_the_last_stop_are_run_where_the_run_ends(given, last):
    ended = given(CLEAN, 4, last, "show pageq active")
    assert ["stopped where the run ends", *shown(CLEAN, None, VIEWS[5][1])] == ended.out.splitlines()[1:]


@pytest.mark.parametrize("name", ["quit", "q"])
def test_quit_ends_the_session_and_says_no_more(either, name):
    ended = either(CLEAN, 4, name, "show page")
    assert (0, 1, "") == (ended.code, ended.out.count("\n"), ended.err)


def test_a_session_without_commands_left_ends(given):
    ended = given(CLEAN, 4, "show pageq hold")
    assert (0, ["4"], False) == (ended.code, stops(ended.out), "the run ends" in ended.out)


def test_the_end_of_input_is_as_quit(typed):
    assert typed(CLEAN, 4, "quit") == typed(CLEAN, 4)


def test_help_lists_the_commands(either):
    assert HELP.splitlines() == either(CLEAN, 4, "help").out.splitlines()[1:]


def test_the_command_line_s_help_lists_the_commands_too(vmsmp):
    ended = vmsmp("ddb", "--help")
    assert (0, True) == (ended.code, HELP in ended.out)


def test_a_command_that_is_empty_does_nothing(typed):
    assert ["4", "5"] == stops(typed(CLEAN, 4, "", "   ", "step").out)


def test_words_of_a_command_may_be_quoted(given):
    assert given(CLEAN, 4, "show object file").out == given(CLEAN, 4, "show 'object'  \"file\"").out


# -- the prompt -----------------------------------------------------------------------------------


def test_a_terminal_is_asked_before_every_command(typed):
    out = typed(CLEAN, 4, "step", "quit", tty=True).out
    assert ["db> stopped before step 5", "db> "] == [line.split(":")[0] for line in out.splitlines()[1:]]


def test_a_pipe_is_not_asked(typed):
    assert "db>" not in typed(CLEAN, 4, "step", "quit").out


# -- a run that fails -----------------------------------------------------------------------------


def test_a_run_that_fails_is_no_failure_of_the_debugger(either):
    ended = either(BROKEN, 4, "continue", "continue")
    assert (0, "the run ends: check: both are counted", "") == (
        ended.code,
        ended.out.splitlines()[-1],
        ended.err,
    )


def test_a_run_that_fails_is_shown_where_it_failed(given):
    scene = scene_lines(vmsmp.replay(tour, BROKEN).story.scene)
    assert scene == given(BROKEN, None, "show cpus").out.splitlines()[2:]


def test_a_run_is_looked_at_up_to_the_step_that_fails(typed):
    last = told(BROKEN)[-1]
    out = typed(BROKEN, last.step, "step", "continue").out.splitlines()
    assert [
        f"stopped before step {last.step}: cpu0, load turns",
        "stopped where the run ends",
        "(it failed, and the CPUs have let go of what `show cpus` says they held)",
        "the run ends: check: both are counted",
    ] == out


# -- errors ---------------------------------------------------------------------------------------

ERRORS = [
    ("bogus", "unknown command 'bogus'"),
    ("show", "unknown command 'show'"),
    ("SHOW page", "unknown command 'SHOW page'"),
    ("step 1 2", "unknown command 'step 1 2'"),
    ("goto", "unknown command 'goto'"),
    ("show nothing", "cannot show 'nothing'"),
    ("show page 1 2", "cannot show 'page 1 2'"),
    ("show cpus 1", "cannot show 'cpus 1'"),
    ("show page x", "'x' is not a number"),
    ("show page -1", "'-1' is not a number"),
    ("show page ''", "'' is not a number"),
    ("show page 8", "there is no page 8: this machine has 8"),
    ("show page " + "9" * 5000, ""),
    ("show page ²", ""),
    ("show pageq full", "there is no queue type 'full'"),
    ("show object none", "there is no object 'none': there are file"),
    ("show object 'file", "No closing quotation"),
    ("step x", "'x' is not a number"),
    ("step 0", "this is step 17"),
    ("goto 3", "step 3 is behind, start again with --step 3"),
    ("goto 17", "this is step 17"),
]


@pytest.mark.parametrize(("command", "words"), ERRORS, ids=[command[:24] for command, _ in ERRORS])
def test_a_command_given_that_cannot_be_done_is_one_line_and_exit_code_2(given, command, words):
    ended = given(CLEAN, 17, command, "show pageq hold")
    assert (2, 1, 1) == (ended.code, ended.out.count("\n"), ended.err.count("\n"))
    assert ("vmsmp: ", True) == (ended.err[:7], words in ended.err)


@pytest.mark.parametrize(("command", "words"), ERRORS, ids=[command[:24] for command, _ in ERRORS])
def test_a_command_typed_that_cannot_be_done_is_one_line_and_one_goes_on(typed, command, words):
    ended = typed(CLEAN, 17, command, "step")
    lines = ended.out.splitlines()
    assert (0, 3, "") == (ended.code, len(lines), ended.err)
    assert (True, "stopped before step 18") == (words in lines[1], lines[2].split(":")[0])


@pytest.mark.parametrize("command", ["step", "s 2", "goto 99"])
def test_a_run_that_is_over_does_not_go_on(given, typed, command):
    ended = given(CLEAN, None, command)
    assert (2, "vmsmp: ddb: the run is over\n") == (ended.code, ended.err)
    lines = typed(CLEAN, None, command, "continue").out.splitlines()
    assert ["ddb: the run is over", "the run ends: clean"] == lines[1:]


@pytest.mark.parametrize("command", ["show page", "show page 0", "show pageq", "show object"])
def test_a_machine_without_memory_has_none_to_show(given, typed, command):
    words = "ddb: this machine has not booted a VM"
    ended = given(BARE, 2, command)
    assert (2, f"vmsmp: {words}\n") == (ended.code, ended.err)
    assert [words, "the run ends: clean"] == typed(BARE, None, command, "continue").out.splitlines()[1:]


def test_before_it_has_booted_a_machine_has_no_memory_to_show(given, monkeypatch):
    def late(m):
        m.choose(2)
        m.boot(pages=2)
        m.choose(2)

    monkeypatch.setattr("vmsmp.cli.lines.find_scenario", lambda *_: late)
    assert [2, 0] == [given("v1:late:0:", step, "show page 0").code for step in (0, 1)]


@pytest.mark.parametrize(
    "line",
    [
        "v1:tour:0",
        "v1:tour:zz:",
        "v1:tour:0:1.2",
        "v1:tour:0:1.2>64",
        "v1:tour+fast:0:",
        "v1:tour+mutant=XX-99:0:",
        "v2:tour:0:",
        "neither a line nor a file",
        "",
    ],
)
def test_a_line_that_cannot_be_is_bad_input(given, line):
    assert (2, "", 1) == given(line, 3, "show page").complaint


def test_an_unknown_scenario_is_bad_input(vmsmp):
    ended = vmsmp("ddb", "v1:busy_handof:0:", "-c", "show page")
    assert ((2, "", 1), True) == (ended.complaint, "did you mean busy_handoff" in ended.err)


# -- with the library, and in a process of its own ------------------------------------------------


def test_a_line_is_read_from_a_file(given, tmp_path):
    (tmp_path / "line").write_text(f"replay: vmsmp replay '{BROKEN}'\n")
    assert given(BROKEN, 9, "show cpus") == given(tmp_path / "line", 9, "show cpus")


def test_a_process_reads_its_commands_from_a_pipe():
    commands = ["show page", "goto 12", "show cpus", "show pageq", "step 2", "continue", "show object", "c"]
    ended = subprocess.run(
        [sys.executable, "-m", "vmsmp", "ddb", LIBRARY, "--step", "9"],
        input="\n".join(commands),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (0, ["9", "12", "14", ""], "") == (ended.returncode, stops(ended.stdout), ended.stderr)
    assert "the run ends: clean" == ended.stdout.splitlines()[-1]


# -- as one object --------------------------------------------------------------------------------


def test_the_json_has_every_stop_with_its_commands(vmsmp, programs):
    told = vmsmp(
        "ddb", CLEAN, "--step", 3, "-c", "show cpus", "-c", "step 2", "-c", "show cpus", "--json"
    ).json
    assert [(3, ["show cpus", "step 2"]), (5, ["show cpus"])] == [
        (stop["step"], [one["command"] for one in stop["commands"]]) for stop in told["stops"]
    ]


def test_the_json_says_what_the_text_says(vmsmp, programs):
    told = vmsmp("ddb", CLEAN, "--step", 3, "-c", "show cpus", "--json").json
    text = vmsmp("ddb", CLEAN, "--step", 3, "-c", "show cpus").out
    assert text.partition("\n")[2].rstrip("\n") == told["stops"][0]["commands"][0]["says"]


def test_the_json_names_the_cpu_and_its_step(vmsmp, programs):
    (stop,) = vmsmp("ddb", CLEAN, "--step", 0, "-c", "show cpus", "--json").json["stops"]
    assert (0, True) == (stop["cpu"], bool(stop["before"]))


@pytest.mark.parametrize(("line", "end"), [(CLEAN, "clean"), (BROKEN, "check: both are counted")])
def test_the_json_says_how_the_run_ends(vmsmp, programs, line, end):
    assert end == vmsmp("ddb", line, "--step", 0, "-c", "continue", "--json").json["ends"]


def test_the_json_of_a_session_that_stopped_early_has_no_end(vmsmp, programs):
    assert None is vmsmp("ddb", CLEAN, "--step", 0, "-c", "show cpus", "-c", "quit", "--json").json["ends"]


def test_a_typed_command_that_cannot_be_is_answered_in_the_json(vmsmp, programs, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("show 'x\nshow nothing\nquit\n"))
    (stop,) = vmsmp("ddb", CLEAN, "--step", 0, "--json").json["stops"]
    assert [True, True, False] == [bool(one["says"]) for one in stop["commands"]]


def test_a_given_command_that_cannot_be_is_bad_input_in_the_json_too(vmsmp, programs):
    assert (2, "", 1) == vmsmp("ddb", CLEAN, "--step", 0, "-c", "show nothing", "--json").complaint


# -- sysctls --------------------------------------------------------------------------------------


def test_sysctl_shows_all_numbers_or_one(given):
    every = given(CLEAN, 4, "sysctl").out.splitlines()[1:]
    assert "vm.dma_free_pages: 0" in every
    assert ["vm.v_free_min: 1"] == given(CLEAN, 4, "sysctl vm.v_free_min").out.splitlines()[1:]


def test_a_sysctl_that_there_is_not_is_refused_in_one_line(given):
    ended = given(CLEAN, 4, "sysctl vm.nothing")
    assert (2, 1) == (ended.code, ended.err.count("\n"))
    assert "unknown sysctl 'vm.nothing': there are kern.maxdsiz, " in ended.err


def test_a_machine_without_memory_has_no_sysctls(given):
    assert "this machine has not booted a VM" in given(BARE, None, "sysctl").err


def test_tlbs_and_entries_are_shown_without_a_booted_memory(either):
    ended = either(HARDWARE, None, "show tlb", "show tlb 0", "show pte 0x1000", "quit")
    lines = ended.out.splitlines()[1:]
    assert "     0  0x1000 -> frame[1] rwx user dirty" == lines[1] == lines[3]
    assert "  PT   frame[4][1]  0x0000000000001067  frame 1 rwuAM" == lines[8]


@pytest.mark.parametrize("command", ["show tlb", "show pte 0x1000"])
def test_a_machine_without_an_mmu_has_no_tlb(given, command):
    assert "this machine has no MMU" in given(BARE, None, command).err


def test_hardware_is_no_booted_memory(given):
    assert "this machine has not booted a VM" in given(HARDWARE, None, "show page").err
