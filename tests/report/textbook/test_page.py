"""Pages: text that is wrapped, tables whose numbers are flush right, values for JSON."""

from __future__ import annotations

import pytest

from vmsmp.errors import InternalError
from vmsmp.report.textbook.page import Page, Plot, Table, computed, searched, size

TABLE = Table("Counts", ("what", "count", "share"), [("one", 1, 0.5), ("many", 12345, "-")])


def test_a_table_is_set_under_its_caption_with_numbers_flush_right():
    assert [
        "Counts:",
        "",
        "  what   count  share",
        "  ----  ------  -----",
        "  one        1   0.50",
        "  many  12,345      -",
    ] == TABLE.lines()


def test_a_table_s_values_are_not_rounded_for_json():
    assert {
        "table": "Counts",
        "rows": [
            {"what": "one", "count": 1, "share": 0.5},
            {"what": "many", "count": 12345, "share": "-"},
        ],
    } == TABLE.as_dict()


def test_a_page_s_parts_stand_apart_and_text_is_wrapped():
    lines = Page(("word " * 30, TABLE)).lines()
    assert ["", 99, 49, "", "Counts:"] == [lines[0], len(lines[1]), len(lines[2]), *lines[3:5]]


def test_a_page_for_json_has_its_parts_in_order_and_its_picture():
    plot = Plot("t", "x", "y", ["1"], {"c": [2]})
    assert {
        "parts": [{"text": "words"}, TABLE.as_dict()],
        "plot": {"title": "t", "x_title": "x", "y_title": "y", "labels": ["1"], "curves": {"c": [2]}},
    } == Page(("words", TABLE), plot).as_dict()
    assert Page(("words",)).as_dict()["plot"] is None


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 bytes"),
        (1000, "1000 bytes"),
        (4096, "4 KiB"),
        (4100 * 1024, "4100 KiB"),
        (1 << 40, "1 TiB"),
        (1 << 50, "1024 TiB"),
    ],
)
def test_a_size_has_the_largest_unit_that_divides_it(count, words):
    assert words == size(count)


def test_what_a_machine_computes_comes_back():
    assert 0 == computed(lambda m: m.curcpu.index)


def test_an_example_that_fails_is_a_mistake_of_the_textbook():
    with pytest.raises(InternalError, match="the textbook's own example fails: no"):
        computed(lambda m: m.check(False, "no"))


def test_a_search_says_what_it_found_and_when():
    assert (5, "nothing", ()) == searched("buddy_zones_fall_back", 5)
    assert (1, "the zone asked for is the highest", ()) == searched("buddy_zones_fall_back", 5, "BD-05")
