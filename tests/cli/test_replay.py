"""`vmsmp replay`: bit for bit, in any process."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from commands import FAILING
from vmsmp.errors import HostHang

BROKEN = ("run", "spin_writers_queue", "--mutant", "SP-05")
CLEAN = "v1:spin_upgrade+exact:0:1.3>2"


@pytest.fixture
def found(vmsmp):
    """A failure that a search found."""
    return vmsmp(*BROKEN, "--json").json["failures"][0]


def test_a_clean_line_ends_with_0(vmsmp):
    assert (0, "") == (vmsmp("replay", CLEAN).code, vmsmp("replay", CLEAN).err)


def test_a_clean_line_shows_the_run_and_its_digest(vmsmp):
    out = vmsmp("replay", CLEAN).out.splitlines()
    digest = vmsmp("replay", CLEAN, "--json").json["digest"]
    assert ("clean: spin_upgrade, ", f"digest: {digest}") == (out[0][:21], out[-1])


def test_a_failing_line_ends_with_1(vmsmp, found):
    assert (1, "") == (vmsmp("replay", found["schedule"]).code, vmsmp("replay", found["schedule"]).err)


def test_a_failing_line_fails_the_same_way(vmsmp, found):
    again = vmsmp("replay", found["schedule"], "--json").json["failure"]
    assert {**found, "execution": 0} == again


def test_a_failing_line_gives_the_report_of_the_search(vmsmp, found):
    report = vmsmp(*BROKEN).out.replace(f"execution {found['execution']}, on", "on")
    assert report.startswith(vmsmp("replay", found["schedule"]).out)


def test_the_json_of_a_replay_has_its_keys(vmsmp):
    promised = {"program", "schedule", "digest", "steps", "failure"}
    assert promised == promised & set(vmsmp("replay", CLEAN, "--json").json)


def test_the_json_of_a_clean_replay_has_no_failure(vmsmp):
    assert None is vmsmp("replay", CLEAN, "--json").json["failure"]


def test_the_line_comes_back_as_it_was_given(vmsmp):
    assert CLEAN == vmsmp("replay", CLEAN, "--json").json["schedule"]


@pytest.mark.parametrize("seed", ["0", "1", "4711"])
def test_another_process_with_other_hashes_gives_the_same_report(vmsmp, process, found, seed):
    here = vmsmp("replay", found["schedule"])
    there = process("replay", found["schedule"], PYTHONHASHSEED=seed)
    assert (here.code, here.out, here.err) == (there.code, there.out, there.err)


@pytest.mark.parametrize("words", [("-O",), ("-X", "dev"), ("-B",)])
def test_a_mode_of_the_interpreter_changes_no_run(vmsmp, words):
    there = subprocess.run(
        [sys.executable, *words, "-m", "vmsmp", "replay", CLEAN],
        capture_output=True,
        text=True,
        check=True,
    )
    assert vmsmp("replay", CLEAN).out == there.stdout


def test_the_right_digest_is_no_divergence(vmsmp, found):
    assert 1 == vmsmp("replay", found["schedule"], "--digest", found["digest"]).code


def test_a_wrong_digest_is_a_divergence(vmsmp):
    digest = vmsmp("replay", CLEAN, "--json").json["digest"]
    ended = vmsmp("replay", CLEAN, "--digest", "0123456789abcdef")
    assert (3, "", f"vmsmp: the replay diverged: its digest is {digest}, not 0123456789abcdef\n") == (
        ended.code,
        ended.out,
        ended.err,
    )


def test_a_line_is_read_from_a_file_that_holds_a_report(vmsmp, tmp_path, found):
    report = tmp_path / "report.txt"
    report.write_text(vmsmp(*BROKEN).out)
    assert vmsmp("replay", found["schedule"]).out == vmsmp("replay", report).out


def test_a_line_is_read_from_a_file_that_holds_it_alone(vmsmp, tmp_path):
    (tmp_path / "line").write_text(CLEAN + "\n")
    assert vmsmp("replay", CLEAN).out == vmsmp("replay", tmp_path / "line").out


def test_a_line_is_read_from_the_json_of_a_search(vmsmp, tmp_path, found):
    (tmp_path / "found.json").write_text(vmsmp(*BROKEN, "--json").out)
    assert vmsmp("replay", found["schedule"]).out == vmsmp("replay", tmp_path / "found.json").out


def test_a_file_without_a_line_is_bad_input(vmsmp, tmp_path):
    (tmp_path / "empty").write_text("nothing here")
    assert (2, "", 1) == vmsmp("replay", tmp_path / "empty").complaint


def test_a_binary_file_is_bad_input(vmsmp, tmp_path):
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    assert (2, "", 1) == vmsmp("replay", tmp_path / "binary").complaint


def test_a_file_with_a_malformed_line_is_bad_input(vmsmp, tmp_path):
    (tmp_path / "bad").write_text("replay: vmsmp replay 'v1:spin_upgrade:0'")
    assert (2, "", 1) == vmsmp("replay", tmp_path / "bad").complaint


def test_an_unreadable_file_is_bad_input(vmsmp, tmp_path, monkeypatch):
    # Root reads everything, so the refusal is played.
    (tmp_path / "secret").write_text(CLEAN)

    def refuse(path, _mode):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("vmsmp.cli.lines.open", refuse, raising=False)
    assert (2, "", 1) == vmsmp("replay", tmp_path / "secret").complaint


def test_a_preemption_that_does_not_apply_is_ignored(vmsmp):
    plain = vmsmp("replay", "v1:spin_upgrade+exact:0:", "--json").json
    assert plain["digest"] == vmsmp("replay", "v1:spin_upgrade+exact:0:9.999>1", "--json").json["digest"]


def test_a_clean_run_along_a_line_that_does_not_fit_ends_with_3(vmsmp):
    ended = vmsmp("replay", "v1:spin_upgrade+exact:0:9.999>1")
    assert (3, "clean: ", "vmsmp: the replay diverged: the line does not fit this program: ") == (
        ended.code,
        ended.out[:7],
        ended.err.partition("1 of its")[0],
    )


def test_a_failing_run_along_a_line_that_does_not_fit_says_so(vmsmp, found):
    ended = vmsmp("replay", f"{found['schedule']},9.999>1")
    assert (1, True) == (ended.code, "\nnote: the line does not fit this program: " in ended.out)


def test_a_line_with_its_digest_fits(vmsmp, found):
    assert vmsmp("replay", found["schedule"]) == vmsmp("replay", f"{found['schedule']}:{found['digest']}")


def test_a_clean_run_along_a_line_with_another_digest_ends_with_3(vmsmp):
    ended = vmsmp("replay", f"{CLEAN}:0123456789abcdef")
    assert (3, True) == (ended.code, "it is of a run with digest 0123456789abcdef" in ended.err)


def test_the_json_says_what_does_not_fit(vmsmp):
    assert "" == vmsmp("replay", CLEAN, "--json").json["misfit"]
    assert "digest" in vmsmp("replay", f"{CLEAN}:0123456789abcdef", "--json").json["misfit"]


def test_without_checkers_a_clean_run_is_the_same_run(vmsmp):
    assert vmsmp("replay", CLEAN).out == vmsmp("replay", CLEAN, "--no-check").out


def test_a_long_run_is_shown_in_part(vmsmp):
    assert "rows left out; `vmsmp replay --all` shows them" in vmsmp("replay", "v1:stats_rollup+exact:0:").out


def test_all_shows_every_row(vmsmp):
    line = "v1:lockmgr_storm+exact:0:"
    steps = vmsmp("replay", line, "--json").json["steps"]
    rows = [row[:6].strip() for row in vmsmp("replay", line, "--all").out.splitlines()]
    assert str(steps - 1) in rows


KNOWN = "v1:abandoned_upgrade_admits_writer+exact+any:2b:1.3>2,2.13>3,3.10>2"
REASON = (
    "known finding abandoned-upgrade-admits-writer: undo_upreq grants EXREQ without asking whether other "
    "shared holders are left\n"
    "  what lies behind it: vmsmp run abandoned_upgrade_admits_writer --repair undo-upreq-spares-readers\n"
    "  its story: vmsmp replay abandoned-upgrade-admits-writer; its entry is in stress/known.toml\n"
)


@pytest.mark.parametrize("words", [(), ("--all",)])
def test_a_known_finding_is_named_with_its_reason_and_its_repair(vmsmp, words):
    assert vmsmp("replay", KNOWN, *words).out.endswith(REASON)


def test_what_the_known_finding_leads_to_is_a_command(vmsmp):
    behind, story = (line.partition("vmsmp ")[2] for line in vmsmp("replay", KNOWN).out.splitlines()[-2:])
    assert 0 == vmsmp(*behind.split(), "--schedules", "20").code
    assert 1 == vmsmp(*story.partition(";")[0].split()).code


def test_a_failure_that_is_not_known_names_no_finding(vmsmp):
    assert "known finding" not in vmsmp("replay", FAILING).out


def test_a_run_that_hangs_in_the_host_ends_with_1(vmsmp, monkeypatch):
    def hang(*_, **__):
        raise HostHang("cpu2 waits in the host")

    monkeypatch.setattr("vmsmp.cli.replay.follow", hang)
    ended = vmsmp("replay", CLEAN)
    assert (1, "", "vmsmp: the run hangs: cpu2 waits in the host\n") == (ended.code, ended.out, ended.err)


# -- files ----------------------------------------------------------------------------------------


def test_the_help_names_both_kinds_of_file(vmsmp):
    told = vmsmp("replay", "--help").out
    assert ("--trace FILE" in told, "--pytest FILE" in told) == (True, True)


def test_a_trace_is_written_beside_the_report(vmsmp, tmp_path, found):
    ended = vmsmp("replay", found["schedule"], "--trace", tmp_path / "run.json")
    assert vmsmp("replay", found["schedule"]) == ended
    assert found["digest"] == json.loads((tmp_path / "run.json").read_text())["otherData"]["digest"]


def test_a_trace_goes_to_standard_output_instead_of_the_report(vmsmp, tmp_path):
    vmsmp("replay", CLEAN, "--trace", tmp_path / "run.json")
    assert (tmp_path / "run.json").read_text() == vmsmp("replay", CLEAN, "--trace", "-").out


def test_another_process_with_other_hashes_writes_the_same_trace(vmsmp, process):
    assert vmsmp("replay", CLEAN, "--trace", "-").out == (
        process("replay", CLEAN, "--trace", "-", PYTHONHASHSEED="4711").out
    )


def test_a_pytest_file_is_written_beside_the_report(vmsmp, tmp_path, found):
    ended = vmsmp("replay", found["schedule"], "--pytest", tmp_path / "test_it.py")
    assert vmsmp("replay", found["schedule"]) == ended
    assert f'DIGEST = "{found["digest"]}"\n' in (tmp_path / "test_it.py").read_text()


def test_a_pytest_file_goes_to_standard_output_instead_of_the_report(vmsmp, tmp_path, found):
    vmsmp("replay", found["schedule"], "--pytest", tmp_path / "test_it.py")
    ended = vmsmp("replay", found["schedule"], "--pytest", "-")
    assert (1, (tmp_path / "test_it.py").read_text()) == (ended.code, ended.out)


def test_a_pytest_file_can_be_replayed(vmsmp, tmp_path, found):
    vmsmp("replay", found["schedule"], "--pytest", tmp_path / "test_it.py")
    assert vmsmp("replay", found["schedule"]).out == vmsmp("replay", tmp_path / "test_it.py").out


def test_a_pytest_file_of_a_run_without_checkers_leaves_them_out(vmsmp):
    assert "SCHEDULE, check=False)" in vmsmp("replay", CLEAN, "--no-check", "--pytest", "-").out


def test_files_do_not_change_the_json(vmsmp, tmp_path):
    ended = vmsmp("replay", CLEAN, "--json", "--trace", tmp_path / "t", "--pytest", tmp_path / "p")
    assert (vmsmp("replay", CLEAN, "--json"), 2) == (ended, len([*tmp_path.iterdir()]))


@pytest.mark.parametrize("option", ["--trace", "--pytest"])
@pytest.mark.parametrize("place", [".", "none/file"])
def test_a_file_that_cannot_be_written_is_bad_input(vmsmp, tmp_path, option, place):
    ended = vmsmp("replay", CLEAN, option, tmp_path / place)
    assert ((2, "", 1), True) == (ended.complaint, f"cannot write {str(tmp_path / place)!r}: " in ended.err)


@pytest.mark.parametrize(
    "words",
    [
        ("--trace", "-", "--pytest", "-"),
        ("--trace", "-", "--json"),
        ("--pytest", "-", "--json"),
        ("--trace", "same", "--pytest", "same"),
    ],
)
def test_two_things_in_one_place_are_bad_input(vmsmp, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    assert ((2, "", 1), []) == (vmsmp("replay", CLEAN, *words).complaint, [*tmp_path.iterdir()])


def test_a_run_that_diverged_writes_no_file(vmsmp, tmp_path):
    ended = vmsmp("replay", CLEAN, "--digest", "0123456789abcdef", "--trace", tmp_path / "run.json")
    assert (3, []) == (ended.code, [*tmp_path.iterdir()])


# -- a part of it -----------------------------------------------------------------------------------


def test_a_story_is_told_up_to_a_step(vmsmp):
    rows = [
        line for line in vmsmp("replay", CLEAN, "--to", "4").out.splitlines() if line[:5].strip().isdigit()
    ]
    assert ["0", "1", "2", "3", "4"] == [row.split()[0] for row in rows]


def test_a_watched_object_is_shown_with_who_changed_it_last(vmsmp):
    name = vmsmp("replay", CLEAN, "--watch", "none").err.rpartition(" there are ")[2].split(", ")[0].strip()
    told = vmsmp("replay", CLEAN, "--watch", name).out
    assert told.startswith(f"{name}:\n")
    assert "last changed by " in told


def test_an_object_that_nothing_is_about_is_a_usage_error(vmsmp):
    refused = vmsmp("replay", CLEAN, "--watch", "nothing")
    assert (2, 1) == (refused.code, len(refused.err.splitlines()))


@pytest.mark.parametrize("step", ["-1", "x"])
def test_a_step_that_cannot_be_is_a_usage_error(vmsmp, step):
    assert 2 == vmsmp("replay", CLEAN, f"--to={step}").code
