"""Plain tables."""

from __future__ import annotations

from vmsmp.report.table import table


def test_columns_are_as_wide_as_they_must_be():
    assert ["a   name", "--  ------", "1   one", "22  twenty"] == table(
        ["a", "name"], [["1", "one"], ["22", "twenty"]]
    )


def test_numbers_are_set_flush_right():
    assert ["n     count", "----  -----", "one       1", "many     22"] == table(
        ["n", "count"], [["one", "1"], ["many", "22"]], right={1}
    )


def test_a_table_without_rows_has_its_head():
    assert ["a  bb", "-  --"] == table(["a", "bb"], [])


def test_no_line_ends_in_blanks():
    assert "x" == table(["name", "note"], [["x", ""]])[2]
