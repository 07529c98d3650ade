"""`vmsmp minimize`."""

from __future__ import annotations

import pytest

from vmsmp.engine.schedule import Schedule

RUN = ("run", "spin_writers_queue", "--mutant", "SP-05", "--sched", "random", "--json")


@pytest.fixture
def found(vmsmp):
    return vmsmp(*RUN).json["failures"][0]


def test_a_minimized_line_fails_the_same_way(vmsmp, found):
    small = vmsmp("minimize", found["schedule"], "--json").json["schedule"]
    assert found["signature"] == vmsmp("replay", small, "--json").json["failure"]["signature"]


def test_a_minimized_line_has_no_more_preemptions(vmsmp, found):
    ended = vmsmp("minimize", found["schedule"], "--json").json
    assert (len(Schedule.parse(found["schedule"])), True) == (
        ended["before"],
        ended["after"] < ended["before"],
    )


def test_no_preemption_of_a_minimized_line_can_go(vmsmp, found):
    small = Schedule.parse(vmsmp("minimize", found["schedule"], "--json").json["schedule"])
    shorter = [
        small.with_steps(small.preemptions[:n] + small.preemptions[n + 1 :]) for n in range(len(small))
    ]
    ended = [vmsmp("replay", line, "--json").json["failure"] for line in shorter]
    assert found["signature"] not in [failure and failure["signature"] for failure in ended]


def test_a_minimized_line_stays_as_it_is(vmsmp, found):
    small = vmsmp("minimize", found["schedule"], "--json").json["schedule"]
    assert small == vmsmp("minimize", small, "--json").json["schedule"]


def test_the_text_of_a_minimization_is_three_lines(vmsmp, found):
    told = vmsmp("minimize", found["schedule"], "--json").json
    assert [
        told["schedule"],
        f"{told['before']} preemptions before, {told['after']} after",
        f"replay: vmsmp replay '{told['schedule']}'",
    ] == vmsmp("minimize", found["schedule"]).out.splitlines()


def test_a_minimization_ends_with_0(vmsmp, found):
    assert (0, "") == (vmsmp("minimize", found["schedule"]).code, vmsmp("minimize", found["schedule"]).err)


def test_the_json_of_a_minimization_has_its_keys(vmsmp, found):
    assert {"schedule", "before", "after"} == set(vmsmp("minimize", found["schedule"], "--json").json)


def test_a_line_to_minimize_is_read_from_a_file(vmsmp, found, tmp_path):
    (tmp_path / "line").write_text(found["schedule"])
    assert vmsmp("minimize", found["schedule"]).out == vmsmp("minimize", tmp_path / "line").out


def test_a_line_that_does_not_fail_cannot_be_minimized(vmsmp):
    ended = vmsmp("minimize", "v1:spin_upgrade+exact:0:")
    assert (2, "vmsmp: this schedule does not fail, so there is nothing to minimize\n") == (
        ended.code,
        ended.err,
    )


def test_an_interrupted_minimization_gives_the_shortest_so_far(vmsmp, found, monkeypatch):
    minimized = Schedule.parse(vmsmp("minimize", found["schedule"], "--json").json["schedule"])

    def stopped(program, schedule, *, progress, **_options):
        progress(1, schedule)
        progress(2, minimized)
        raise KeyboardInterrupt

    monkeypatch.setattr("vmsmp.cli.minimize.minimize", stopped)
    ended = vmsmp("minimize", found["schedule"])
    assert (4, str(minimized)) == (ended.code, ended.out.splitlines()[0])
    assert ended.out.splitlines()[1].endswith("after, interrupted")
