"""How the CPUs of a free execution stood as it failed."""

from __future__ import annotations

import pytest

import vmsmp
from vmsmp.engine import scene, timing
from vmsmp.engine.machine import CpuSnapshot
from vmsmp.engine.source import Place, left_at
from vmsmp.errors import Halt

HERE = Place("engine/test_scene.py", 1, "turn")


@pytest.fixture(params=[True, False], ids=["as with the GIL", "as without it"])
def gil(request, monkeypatch):
    """The engine takes the interpreter for one with the GIL, or for one without it."""
    if request.param and not timing.GIL:
        pytest.skip("without the GIL nobody may look")
    monkeypatch.setattr(scene, "GIL", request.param)
    return request.param


def fails_beside(m):
    asleep = m.cell(0)

    def sleeper():
        asleep.store(1)
        m.tsleep("channel")

    def failing():
        while not asleep.load():
            pass
        m.check(False, "it fails")

    m.spawn(sleeper, name="sleeper")
    m.spawn(failing, name="failing")
    m.join()


def functions(outcome):
    return {one.name: [place.function for place in one.frames] for one in outcome.failure.history.scene}


def test_every_cpu_is_told_where_it_stands(gil):
    stood = functions(vmsmp.run(fails_beside, engine="free", time_s=20.0))
    assert ["failing", "sleeper", "fails_beside"] == [
        stood[name][-1] for name in ("failing", "sleeper", "cpu0")
    ]


def test_only_own_frames_are_in_sight_without_the_gil(monkeypatch):
    monkeypatch.setattr(scene, "GIL", False)
    assert ["test_only_own_frames_are_in_sight_without_the_gil"] == [
        frame.f_code.co_name for frame in (scene.in_sight() or {}).values()
    ]


def snapshot(cpu, *, done=False, frames=()):
    return CpuSnapshot(cpu, f"cpu{cpu}", (), "", "", done, frames)


class Stood:
    stood = (HERE,)


@pytest.mark.parametrize(
    ("told", "frames"),
    [
        (snapshot(0), (HERE,)),
        (snapshot(0, done=True), ()),
        (snapshot(0, frames=(Place("other.py", 2, "other"),)), (Place("other.py", 2, "other"),)),
    ],
    ids=["what nobody saw it says", "what has ended stands nowhere", "what was seen stays"],
)
def test_a_scene_is_completed(told, frames):
    assert [frames] == [one.frames for one in scene.completed([told], [Stood()])]


def test_where_an_exception_left_a_program_is_told_innermost_first():
    def inner():
        raise Halt

    def outer():
        inner()

    try:
        outer()
    except Halt as halt:
        places = left_at(halt.__traceback__)
    assert ["inner", "outer"] == [place.function for place in places][:2]
