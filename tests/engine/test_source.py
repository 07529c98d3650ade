"""Where a step stands: roles of frames, places, and what other threads stand in."""

from __future__ import annotations

import gc
import sys
import threading
import types
from importlib import import_module
from pathlib import Path

import pytest

from vmsmp.engine import source
from vmsmp.engine.source import Place, Role, current_frames
from vmsmp.library import scenario_folder

# -- roles -----------------------------------------------------------------------------------------


@pytest.fixture
def frame_in(monkeypatch):
    """A frame of a function of that module, called by this test."""

    def make(name, called="step", filename="a/b/model.py", **said):
        module = types.ModuleType(name)
        vars(module).update(said)
        monkeypatch.setitem(sys.modules, name, module)
        exec(compile(f"import sys\ndef {called}(): return sys._getframe()", filename, "exec"), vars(module))
        return vars(module)[called]()

    return make


@pytest.mark.parametrize(
    ("module", "role"),
    [
        ("vmsmp.engine.controlled", Role.MACHINERY),
        ("vmsmp.check.ledger", Role.MACHINERY),
        ("vmsmp.machine", Role.MACHINERY),
        ("vmsmp.sync.atomic", Role.MACHINERY),
        ("vmsmp.sync.token", Role.PRIMITIVE),
        ("vmsmp.vm.vm_object", Role.PROGRAM),
        ("threading", Role.MACHINERY),
    ],
)
def test_a_module_has_its_own_role_or_its_package_s(module, role):
    import_module(module)
    assert role == source.role_in(module)


def test_a_module_that_says_nothing_is_the_program_s(frame_in):
    assert Role.PROGRAM == source.role_of(frame_in("nobody_s"))


def test_a_module_may_say_what_it_is(frame_in):
    assert Role.PRIMITIVE == source.role_of(frame_in("somebody_s", FRAMES="primitive"))


def test_a_module_is_what_the_nearest_package_says(frame_in):
    frame_in("outer_room", FRAMES="machinery")
    frame_in("outer_room.inner", FRAMES="program")
    assert Role.PROGRAM == source.role_of(frame_in("outer_room.inner.leaf"))


def test_a_constant_of_the_same_name_that_is_no_role_says_nothing(frame_in):
    assert Role.PROGRAM == source.role_of(frame_in("of_a_film", FRAMES=24))


def test_a_mutated_function_has_the_role_of_its_module(frame_in):
    frame = frame_in("primitives_room", filename="<mutant of step>", FRAMES="primitive")
    assert Role.PRIMITIVE == source.role_of(frame)


def test_the_caller_is_the_first_frame_that_is_no_machinery():
    assert "test_the_caller_is_the_first_frame_that_is_no_machinery" == source.caller().f_code.co_name


def test_a_caller_further_out_is_counted_from_there():
    def inner():
        return source.caller(1)

    assert "test_a_caller_further_out_is_counted_from_there" == inner().f_code.co_name


# -- places ----------------------------------------------------------------------------------------


def test_a_place_is_told_with_file_line_and_function():
    assert "vm/vm_page.py:12 in vm_page_wire" == str(Place("vm/vm_page.py", 12, "vm_page_wire"))


def test_the_spot_of_a_place_leaves_the_function_out():
    assert "vm/vm_page.py:12" == Place("vm/vm_page.py", 12, "vm_page_wire").spot


def test_the_short_form_of_a_place_leaves_the_folder_out():
    assert "vm_page.py:12" == Place("vm/vm_page.py", 12, "vm_page_wire").short


def test_the_short_form_of_a_mutated_function_s_place_says_that_it_is_one():
    assert "mutant:3" == Place("<mutant of step>", 3, "step").short


def test_the_short_form_of_a_scenario_s_place_keeps_its_folders():
    place = Place("scenarios/vm_page/busy.py", 12, "busy_handoff")
    assert "scenarios/vm_page/busy.py:12" == place.short


def test_a_scenario_and_a_kernel_file_of_one_name_are_told_apart():
    kernel = Path(source.__file__).parents[1] / "vm" / "vm_page" / "busy.py"
    scenario = scenario_folder() / "vm_page" / "busy.py"
    assert ("vm/vm_page/busy.py", "scenarios/vm_page/busy.py") == (
        source.short_path(str(kernel)),
        source.short_path(str(scenario)),
    )


def test_a_scenario_in_an_installed_package_is_called_as_in_a_checkout():
    packed = Path(source.__file__).parents[1] / "scenarios" / "vm_page" / "busy.py"
    assert "scenarios/vm_page/busy.py" == source.short_path(str(packed))


@pytest.mark.parametrize("path", ["/src/vmsmp/vm/vm_page.py", r"C:\vmsmp\vm\vm_page.py", "vm/vm_page.py"])
def test_a_path_is_cut_to_its_last_two_parts(path):
    assert "vm/vm_page.py" == source.short_path(path)


def test_where_a_cpu_stands_begins_with_the_one_who_asks():
    (here,) = source.standing(limit=1)
    assert "test_where_a_cpu_stands_begins_with_the_one_who_asks" == here.function


def test_a_primitive_is_shown_as_the_innermost_place_only(frame_in):
    name = "primitive_called_twice"
    module = types.ModuleType(name)
    module.FRAMES = "primitive"
    module.standing = source.standing
    exec("def inner(): return standing(limit=2)\ndef outer(): return inner()", vars(module))
    sys.modules[name] = module
    try:
        functions = [place.function for place in module.outer()]
    finally:
        del sys.modules[name]
    assert ["inner", "test_a_primitive_is_shown_as_the_innermost_place_only"] == functions


def test_no_more_places_are_looked_for_than_asked():
    def deep(n):
        return deep(n - 1) if n else source.standing(limit=3)

    assert ["deep"] * 3 == [place.function for place in deep(9)]


def test_an_exception_s_places_come_with_their_text():
    def failing():
        raise KeyError("page 7")

    with pytest.raises(KeyError) as caught:
        failing()
    places = [(place.function, text) for place, text in source.raised_at(caught.value.__traceback__)]
    assert ("failing", 'raise KeyError("page 7")') == places[-1]


# -- frames of other threads -----------------------------------------------------------------------


@pytest.fixture
def collecting(monkeypatch):
    """Whether the collector was on while the interpreter was asked, and switches it back after."""
    before, seen, real = gc.isenabled(), [], sys._current_frames

    def asked():
        seen.append(gc.isenabled())
        return real()

    monkeypatch.setattr(sys, "_current_frames", asked)
    yield seen
    (gc.enable if before else gc.disable)()


@pytest.mark.parametrize("switch", [gc.enable, gc.disable], ids=["on", "off"])
def test_no_collection_begins_while_frames_are_read_and_its_switch_stays(collecting, switch):
    switch()
    before = gc.isenabled()
    current_frames()
    assert [False] == collecting
    assert before == gc.isenabled()


def test_every_thread_s_frame_is_found_by_its_identity():
    assert sys._getframe() is current_frames()[threading.get_ident()].f_back


def test_a_frame_that_is_at_no_line_stands_where_its_function_begins():
    def step():
        return sys._getframe()

    step.__code__ = step.__code__.replace(co_linetable=b"")
    frame = step()
    assert frame.f_lineno is None
    assert step.__code__.co_firstlineno == source.line_at(frame)
