"""What all commands have in common: help, one line for bad input, the environment, plain text."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from vmsmp.cli.command_line import parser

COMMANDS = {
    "list": ["--tags", "--json"],
    "run": [
        *("--engine", "--sched", "--seed", "--schedules", "--cpus", "--time", "--locks", "--json"),
        *(
            "--timeouts",
            "--spurious",
            "--repair",
            "--mutant",
            "--max-steps",
            "--all",
            "--no-check",
            "--story",
        ),
    ],
    "replay": ["--all", "--digest", "--no-check", "--json", "--scenarios", "--store"],
    "ddb": ["--command", "--step", "--json"],
    "mutants": ["--removals", "--json"],
    "minimize": ["--json"],
    "report": [
        "--store",
        "--html",
        "--junit",
        "--sarif",
        "--github",
        "--kills",
        "--bench",
        "--replays",
        "--force",
    ],
    "stress": [
        *("--minutes", "--workers", "--scenarios", "--seed", "--repair", "--mutant", "--log", "--json"),
        *("--schedules", "--profile", "--store", "--freethreaded", "--cluster", "--verbose"),
    ],
    "merge": ["--store", "--json"],
    "bench": ["--seconds", "--json"],
    "doctor": ["--json"],
}
LINE = "v1:spin_upgrade+exact:0:"


# -- help -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_is_no_error(vmsmp, command):
    ended = vmsmp(command, "--help")
    assert (0, "") == (ended.code, ended.err)


@pytest.mark.parametrize(("command", "option"), [(c, o) for c, options in COMMANDS.items() for o in options])
def test_help_names_every_option(vmsmp, command, option):
    assert option in vmsmp(command, "--help").out.split("options:")[1]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_top_help_names_every_command(vmsmp, command):
    assert f"\n    {command} " in vmsmp("--help").out


def test_help_promises_no_command_that_there_is_not(vmsmp):
    shown = {line.split()[0] for line in vmsmp("--help").out.splitlines() if line.startswith("    ")}
    assert set(COMMANDS) == shown & {*COMMANDS, "report", "mutants"}


def test_the_version_is_the_package_s(vmsmp):
    import vmsmp as package

    assert f"vmsmp {package.__version__}\n" == vmsmp("--version").out


# -- bad input ------------------------------------------------------------------------------------

BAD = {
    "no command": [],
    "unknown command": ["frobnicate"],
    "unknown option": ["list", "--frobnicate"],
    "unknown tag": ["list", "--tags", "no_such_tag"],
    "no scenario": ["run"],
    "unknown scenario": ["run", "no_such_scenario"],
    "unknown scheduler": ["run", "spin_upgrade", "--sched", "best"],
    "scheduler with a bad depth": ["run", "spin_upgrade", "--sched", "pct:x"],
    "scheduler with depth zero": ["run", "spin_upgrade", "--sched", "pct:0"],
    "scheduler with a negative bound": ["run", "spin_upgrade", "--sched", "dfs:-1"],
    "unknown engine": ["run", "spin_upgrade", "--engine", "diesel"],
    "unknown depth": ["run", "spin_upgrade", "--locks", "deep"],
    "unknown timeouts": ["run", "spin_upgrade", "--timeouts", "never"],
    "too many CPUs": ["run", "spin_upgrade", "--cpus", "64"],
    "no CPU": ["run", "spin_upgrade", "--cpus", "0"],
    "CPUs that are no number": ["run", "spin_upgrade", "--cpus", "two"],
    "CPUs that are no integer": ["run", "spin_upgrade", "--cpus", "2.5"],
    "negative seed": ["run", "spin_upgrade", "--seed", "-1"],
    "no schedules": ["run", "spin_upgrade", "--schedules", "0"],
    "no time": ["run", "spin_upgrade", "--time", "0"],
    "time that is no number": ["run", "spin_upgrade", "--time", "nan"],
    "endless time": ["run", "spin_upgrade", "--time", "inf"],
    "unknown repair": ["run", "spin_upgrade", "--repair", "everything"],
    "repair that is no name": ["run", "spin_upgrade", "--repair", "a b"],
    "unknown mutant": ["run", "spin_upgrade", "--mutant", "SP-99"],
    "unknown mutant in the free engine": [
        *("run", "spin_upgrade", "--engine", "free", "--mutant", "SP-99", "--time", "0.1")
    ],
    **{
        f"{words[0]} in the free engine": ["run", "spin_upgrade", "--engine", "free", *words]
        for words in (
            ["--sched", "pct:3"],
            ["--schedules", "10"],
            ["--races"],
            ["--timeouts", "any"],
            ["--max-steps", "500"],
            ["--story"],
        )
    },
    "a program's file that is not there": ["run", "no_such_file.py"],
    "replay with an empty digest": ["replay", LINE, "--digest", ""],
    "replay with a digest that is none": ["replay", LINE, "--digest", "zz"],
    "replay with a digest too long": ["replay", LINE, "--digest", "0" * 17],
    "stress with a log without a name": ["stress", "--log", ""],
    "replay of nothing": ["replay"],
    "replay of a malformed line": ["replay", "v1:spin_upgrade:0"],
    "replay of a malformed preemption": ["replay", "v1:spin_upgrade:0:1.x>2"],
    "replay of a bad seed": ["replay", "v1:spin_upgrade:xyz:"],
    "replay of a bad option": ["replay", "v1:spin_upgrade+deep:0:"],
    "replay of a CPU that cannot be": ["replay", "v1:spin_upgrade:0:1.1>99"],
    "replay of another version": ["replay", "v2:spin_upgrade:0:"],
    "replay of an unknown scenario": ["replay", "v1:no_such_scenario:0:"],
    "replay of an unknown mutant": ["replay", "v1:spin_upgrade+mutant=SP-99:0:"],
    "replay of an unknown repair": ["replay", "v1:spin_upgrade+repair=everything:0:"],
    "replay of too many CPUs": ["replay", "v1:spin_upgrade+cpus=99:0:"],
    "replay of neither line nor file": ["replay", "no_such_file"],
    "replay of a folder": ["replay", "/"],
    "replay of an empty word": ["replay", ""],
    "replay of a very long word": ["replay", "x" * 5000],
    "minimize of a malformed line": ["minimize", "v1:spin_upgrade:0"],
    "minimize of a clean line": ["minimize", LINE],
    "minimize of an unknown repair": ["minimize", "v1:spin_upgrade+repair=everything:0:"],
    "stress of no scenario": ["stress", "--scenarios", "no_such_*"],
    "stress for too short": ["stress", "--minutes", "0"],
    "stress without workers": ["stress", "--workers", "0"],
    "stress with an unknown repair": ["stress", "--repair", "everything"],
    "bench for too short": ["bench", "--seconds", "0"],
    "doctor of something": ["doctor", "me"],
}


@pytest.mark.parametrize("words", BAD.values(), ids=BAD)
def test_bad_input_ends_in_one_line_and_exit_code_2(vmsmp, words):
    assert (2, "", 1) == vmsmp(*words).complaint


@pytest.mark.parametrize("words", BAD.values(), ids=BAD)
def test_a_complaint_says_who_complains(vmsmp, words):
    assert "vmsmp" == vmsmp(*words).err[:5]


#: What each option refuses, by its name.  Numbers have the same everywhere.
NUMBERS = ["", "x", "-1", "1e400", "9" * 400]
CHOICES = ["", "diesel"]
NAMES = ["", "x", "a b"]
PLACES = ["", ".", "/dev/null", "no/such/file"]
REFUSED = {
    **dict.fromkeys(("--engine", "--locks", "--timeouts"), CHOICES),
    **dict.fromkeys(("--repair", "--mutant"), NAMES),
    **dict.fromkeys(("--trace", "--pytest", "--plot", "--store", "--html", "--junit", "--sarif"), PLACES),
    "--profile": CHOICES,
    "--freethreaded": ["", "/no/such/python"],
    "--cluster": [""],
    "--tags": ["no_such_tag", "spin,no_such_tag"],
    "--sched": ["", "best", "pct:", "dfs:x"],
    "--digest": ["", "zz", "0123456789ABCDEF"],
    "--watch": ["", "no such thing"],
    "--command": ["frobnicate", "show", "step x", "'"],
    "--scenarios": ["", "no_such_*"],
    **dict.fromkeys(("--kills", "--bench"), PLACES),
    "--log": ["", ".", "/no/such/log"],
}
#: What a command needs beside its options.
NEEDS = {
    "run": ["spin_upgrade"],
    "mutants": ["SP-05"],
    "merge": ["no_such_store"],
    **{command: [LINE] for command in ("replay", "minimize", "ddb")},
}


def with_values():
    """Every option with a value of every command, and each value that it must refuse."""
    commands = next(action for action in parser()._actions if action.dest == "command").choices
    for command, its in commands.items():
        for action in its._actions:
            if action.option_strings and action.nargs is None:
                option = action.option_strings[-1]
                for value in REFUSED.get(option, NUMBERS):
                    yield pytest.param(command, option, value, id=f"{command} {option} {value[:20]!r}")


@pytest.mark.parametrize(("command", "option", "value"), [*with_values()])
def test_every_option_refuses_what_it_cannot_be_in_one_line(vmsmp, command, option, value):
    ended = vmsmp(command, *NEEDS.get(command, ()), f"{option}={value}")
    assert (2, 1, True) == (ended.code, ended.err.count("\n"), len(ended.err) < 1100)


def test_an_unknown_scenario_is_told_its_near_miss(vmsmp):
    assert (
        "vmsmp: unknown scenario 'spin_upgrad': did you mean spin_upgrade?\n"
        == vmsmp("run", "spin_upgrad").err
    )


def test_a_scenario_far_from_all_is_told_where_they_are(vmsmp):
    assert "vmsmp: unknown scenario 'zzz': `vmsmp list` shows them\n" == vmsmp("run", "zzz").err


def test_a_number_out_of_range_is_told_the_range(vmsmp):
    assert "64 is not from 1 to 63" in vmsmp("run", "spin_upgrade", "--cpus", "64").err


def test_an_unknown_repair_is_told_those_there_are(vmsmp):
    assert "undo-grant-clears-shared" in vmsmp("run", "spin_upgrade", "--repair", "x").err


def test_an_unknown_mutant_is_told_those_there_are(vmsmp):
    assert "SP-05" in vmsmp("run", "spin_upgrade", "--mutant", "x").err


# -- the environment ------------------------------------------------------------------------------


def test_the_environment_mirrors_a_number(vmsmp, monkeypatch):
    monkeypatch.setenv("VMSMP_SCHEDULES", "7")
    assert 7 == vmsmp("run", "spin_upgrade", "--json").json["executions"]


def test_the_environment_mirrors_a_hexadecimal_number(vmsmp, monkeypatch):
    monkeypatch.setenv("VMSMP_SCHEDULES", "0x0b")
    assert 11 == vmsmp("run", "spin_upgrade", "--json").json["executions"]


def test_the_environment_mirrors_a_word(vmsmp, monkeypatch):
    monkeypatch.setenv("VMSMP_SCHED", "rr")
    assert "rr" == vmsmp("run", "spin_upgrade", "--schedules", 3, "--json").json["scheduler"]


def test_the_environment_mirrors_a_choice(vmsmp, monkeypatch):
    monkeypatch.setenv("VMSMP_ENGINE", "free")
    assert "free" == vmsmp("run", "spin_upgrade", "--time", 0.1, "--json").json["engine"]


@pytest.mark.parametrize("value", ["1", "yes", "true", "ON"])
def test_the_environment_mirrors_a_switch(vmsmp, monkeypatch, value):
    monkeypatch.setenv("VMSMP_JSON", value)
    assert {"facts", "advice"} == set(vmsmp("doctor").json)


@pytest.mark.parametrize("value", ["0", "no", "false", "False", "off", ""])
def test_the_environment_leaves_a_switch_off(vmsmp, monkeypatch, value):
    monkeypatch.setenv("VMSMP_JSON", value)
    assert "vmsmp " == vmsmp("doctor").out[:6]


def test_the_environment_mirrors_a_list(vmsmp, monkeypatch):
    monkeypatch.setenv("VMSMP_MUTANT", "SP-05,SP-07")
    assert "(exact mutant=SP-05 mutant=SP-07)" in vmsmp("run", "token_chain_walk", "--schedules", 2).out


def test_the_environment_mirrors_an_option_of_two_words(vmsmp, monkeypatch):
    monkeypatch.setenv("VMSMP_MAX_STEPS", "12")
    assert ["livelock"] == [
        failure["kind"] for failure in vmsmp("run", "spin_upgrade", "--json").json["failures"]
    ]


def test_the_command_line_wins_over_the_environment(vmsmp, monkeypatch):
    monkeypatch.setenv("VMSMP_SCHEDULES", "7")
    assert 5 == vmsmp("run", "spin_upgrade", "--schedules", 5, "--json").json["executions"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VMSMP_CPUS", "two"),
        ("VMSMP_CPUS", "64"),
        ("VMSMP_SEED", "-1"),
        ("VMSMP_SCHEDULES", "0"),
        ("VMSMP_TIME", "nan"),
        ("VMSMP_ENGINE", "diesel"),
        ("VMSMP_LOCKS", "deep"),
        ("VMSMP_SCHED", "best"),
        ("VMSMP_REPAIR", "everything"),
        ("VMSMP_MUTANT", "SP-05,SP-99"),
        ("VMSMP_RACES", "maybe"),
        ("VMSMP_SPURIOUS", "2"),
        ("VMSMP_JSON", "yes please"),
        ("VMSMP_CORE", "first"),
        ("VMSMP_CORE", "-1"),
        ("VMSMP_CORE", "\N{SUPERSCRIPT TWO}"),
        ("VMSMP_CORE", "9" * 5000),
    ],
)
def test_a_bad_value_in_the_environment_is_bad_input(vmsmp, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert (2, "", 1) == vmsmp("run", "spin_upgrade").complaint


@pytest.mark.parametrize(
    ("name", "value"), [("VMSMP_ENGINE", "diesel"), ("VMSMP_LOCKS", "deep"), ("VMSMP_RACES", "maybe")]
)
def test_a_bad_value_for_one_command_does_not_stop_another(vmsmp, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert 0 == vmsmp("doctor").code


@pytest.mark.parametrize(
    ("name", "value"), [("VMSMP_SEED", "x"), ("VMSMP_RACES", "x"), ("VMSMP_ENGINE", "x")]
)
def test_a_complaint_about_the_environment_names_the_variable(vmsmp, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert f"(from {name})" in vmsmp("run", "spin_upgrade").err


def test_a_complaint_about_the_command_line_names_no_variable(vmsmp, monkeypatch):
    monkeypatch.setenv("VMSMP_SEED", "5")
    assert "VMSMP" not in vmsmp("run", "spin_upgrade", "--seed", "x").err


def test_a_core_may_be_named_by_the_environment(vmsmp, monkeypatch):
    monkeypatch.setenv("VMSMP_CORE", "1")
    assert 0 == vmsmp("run", "spin_upgrade", "--schedules", 2).code


@pytest.mark.parametrize("name", ["VMSMP_REPAIR", "VMSMP_MUTANT", "VMSMP_SEED", "VMSMP_ENGINE", "VMSMP_CORE"])
def test_an_empty_variable_says_nothing(vmsmp, monkeypatch, name):
    monkeypatch.setenv(name, "")
    assert 0 == vmsmp("run", "spin_upgrade", "--schedules", 2).code


# -- output ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ["list"],
        ["doctor"],
        ["run", "spin_upgrade", "--schedules", "5"],
        ["run", "spin_writers_queue", "--mutant", "SP-05"],
        ["replay", LINE],
        ["--help"],
    ],
)
def test_no_output_has_colour_codes(vmsmp, words):
    assert "\x1b" not in vmsmp(*words).out


def test_a_reader_that_goes_away_is_no_error():
    pipe = subprocess.Popen(
        [sys.executable, "-m", "vmsmp", "replay", "--all", "v1:lockmgr_storm+exact:0:"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    pipe.stdout.close()
    complaint = pipe.stderr.read()
    pipe.stderr.close()
    assert (0, "") == (pipe.wait(timeout=60), complaint)


def test_an_error_inside_is_told_as_one(vmsmp, monkeypatch):
    def broken(**_):
        raise RuntimeError("the harness broke")

    monkeypatch.setattr("vmsmp.cli.doctor.diagnose", broken)
    ended = vmsmp("doctor")
    assert (3, "vmsmp: internal error; please file a bug with the lines above") == (
        ended.code,
        ended.err.splitlines()[-1],
    )


@pytest.mark.parametrize("option", ["--cpus", "--rounds", "--max-steps"])
def test_an_option_beyond_its_limit_is_refused_in_one_line(vmsmp, option):
    ended = vmsmp("run", "spin_upgrade", option, "999999999999")
    assert (2, "") == (ended.code, ended.out)
    assert re.fullmatch(rf"[^\n]*{option}[^\n]* is not from 1 to [^\n]*\n", ended.err)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("spin_upgrade", "--pages", "3"), "scenario 'spin_upgrade' takes no option 'pages'"),
        (("spin_upgrade", "--pressure"), "scenario 'spin_upgrade' takes no option 'pressure'"),
        (("kernel_pages", "--pages", "0"), "scenario 'kernel_pages' needs 1 free pages as its CPUs start"),
        (("page_storm", "--pages", "65537"), "is not from 0 to 65,536"),
    ],
)
def test_memory_that_a_scenario_does_not_run_with_is_refused_in_one_line(vmsmp, words, said):
    ended = vmsmp("run", *words)
    assert (2, "") == (ended.code, ended.out)
    assert re.fullmatch(rf"[^\n]*{re.escape(said)}[^\n]*\n", ended.err)


def test_a_line_beyond_its_limit_is_refused_in_one_line(vmsmp):
    ended = vmsmp("replay", "v1:spin_upgrade+exact+steps=999999999999:0:")
    assert (2, "") == (ended.code, ended.out)
    assert re.fullmatch(r"[^\n]* must be a number from 1 to 10,000,000, not 999999999999[^\n]*\n", ended.err)
