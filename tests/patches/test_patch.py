"""Planting: one snippet of one function is replaced while a run lasts, and put back whatever happens."""

from __future__ import annotations

import pytest

from vmsmp.errors import UsageError
from vmsmp.patches.dispatch import in_place
from vmsmp.patches.patch import Edit, Mutant, Repair, plant


def price(count):
    if count > 10:
        return count * 2
    total = 0
    for _ in range(count):
        total += 3
    return total


def steps(count):
    done = []
    done.append("in")
    if count:
        done.append("deep")
        done.append("deeper")
    done.append("out")
    return done


def twins(one, other):
    if one:
        return "same"
    if other:
        return "same"
    return "none"


class Shop:
    def price(self, count):
        return count * 5


def outer():
    base = 7

    def inner(count):
        return count + base

    return inner


closed_over = outer()


def mutant(old, new, name="price", also=()):
    return Mutant("TEST", f"{__name__}:{name}", old, new, "INV", "a test", also=also)


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    """Under importlib mode this module has no name that `import_module` finds; give it one."""
    import sys

    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or _me())


def _me():
    import types

    module = types.ModuleType(__name__)
    module.__dict__.update(globals())
    return module


# -- in place -------------------------------------------------------------------------------------


def test_a_planted_mutant_changes_the_function():
    with mutant("count > 10", "count > 0").plant():
        assert 2 == price(1)


def test_a_reference_taken_before_is_changed_too():
    held = price
    with mutant("count > 10", "count > 0").plant():
        assert 2 == held(1)


def test_a_method_is_changed():
    with mutant("count * 5", "count * 6", "Shop.price").plant():
        assert 6 == Shop().price(1)


def test_several_lines_are_replaced_by_several():
    old = """
    done.append("deep")
    done.append("deeper")
    """
    new = """
    done.append("shallow")
    done.append("shallower")
    """
    with mutant(old, new, "steps").plant():
        assert ["in", "shallow", "shallower", "out"] == steps(1)


def test_several_lines_are_replaced_by_nothing():
    with mutant('done.append("deep")\ndone.append("deeper")', "", "steps").plant():
        assert ["in", "out"] == steps(1)


def test_part_of_a_line_is_replaced_by_several_lines():
    with mutant('done.append("in")', 'done.append("a")\ndone.append("b")', "steps").plant():
        assert ["a", "b", "out"] == steps(0)


def test_the_only_line_of_a_block_may_go():
    with mutant("total += 3", "", "price").plant():
        assert 0 == price(3)


def test_further_functions_belong_to_a_mutant():
    also = (Edit(f"{__name__}:Shop.price", "count * 5", "count * 6"),)
    with mutant("count > 10", "count > 0", also=also).plant():
        assert (2, 6) == (price(1), Shop().price(1))


def test_a_frame_in_a_planted_function_says_so():
    with mutant("count > 10", "count > 0").plant():
        assert "<mutant of price>" == in_place(price).__code__.co_filename


# -- put back -------------------------------------------------------------------------------------


def test_the_function_is_itself_again_afterwards():
    before = price.__code__
    with mutant("count > 10", "count > 0").plant():
        pass
    assert before is price.__code__


def test_the_function_is_itself_again_after_an_exception():
    before = price.__code__
    with pytest.raises(ZeroDivisionError), mutant("count > 10", "count > 1 / 0").plant():
        price(1)
    assert before is price.__code__


def test_the_function_is_itself_again_after_an_interrupt():
    before = price.__code__
    with pytest.raises(KeyboardInterrupt), mutant("count > 10", "count > 0").plant():
        raise KeyboardInterrupt
    assert before is price.__code__


def test_the_first_function_is_itself_again_when_the_second_has_no_such_snippet():
    before = price.__code__
    also = (Edit(f"{__name__}:Shop.price", "not there", "x"),)
    with pytest.raises(UsageError), mutant("count > 10", "count > 0", also=also).plant():
        pass
    assert before is price.__code__


# -- refused --------------------------------------------------------------------------------------


def test_a_snippet_that_is_not_there_is_an_error():
    with (
        pytest.raises(UsageError, match="mutant TEST: its snippet is not, or not once, in"),
        mutant("count > 11", "x").plant(),
    ):
        pass


def test_a_snippet_that_is_there_twice_is_an_error():
    with (
        pytest.raises(UsageError, match="its snippet is not, or not once"),
        mutant('return "same"', "x", "twins").plant(),
    ):
        pass


def test_several_lines_that_are_not_there_are_an_error():
    with (
        pytest.raises(UsageError, match="its snippet is not, or not once"),
        mutant('done.append("deep")\ndone.append("out")', "", "steps").plant(),
    ):
        pass


def test_a_function_that_closes_over_something_is_an_error():
    with (
        pytest.raises(UsageError, match="closes over"),
        mutant("count + base", "count - base", "closed_over").plant(),
    ):
        pass


def test_a_repair_whose_snippet_is_gone_is_an_error():
    repair = Repair("mend", f"{__name__}:price", "count > 11", "x", "a test")
    with (
        pytest.raises(UsageError, match=r"repair mend: .* the code has changed, so must the repair"),
        repair.plant(),
    ):
        pass


# -- several --------------------------------------------------------------------------------------


def test_no_patch_is_no_change():
    before = price.__code__
    with plant(()):
        assert before is price.__code__


def test_two_patches_of_two_functions_are_planted_together():
    with plant((mutant("count > 10", "count > 0"), mutant("count * 5", "count * 6", "Shop.price"))):
        assert (2, 6) == (price(1), Shop().price(1))


def test_two_patches_of_one_function_are_planted_together():
    with plant((mutant("count > 10", "count > 0"), mutant("count * 2", "count * 3"))):
        assert 3 == price(1)


def test_the_function_is_itself_again_after_two_patches_of_it():
    before = price.__code__
    with plant((mutant("count > 10", "count > 0"), mutant("count * 2", "count * 3"))):
        pass
    assert before is price.__code__


# -- repairs --------------------------------------------------------------------------------------


def test_a_frame_in_a_repaired_function_names_its_own_file():
    before = price.__code__.co_filename
    with Repair("mend", f"{__name__}:price", "count > 10", "count > 0", "a test").plant():
        assert before == in_place(price).__code__.co_filename


# -- arguments ------------------------------------------------------------------------------------


def test_a_patch_that_changes_the_arguments_is_refused():
    with (
        pytest.raises(UsageError, match="price must keep its arguments"),
        mutant("def price(count):", "def price(count, more):").plant(),
    ):
        pass
