"""The pictures of a site."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from boards import board, points, signature
from vmsmp.campaign.kill_table import Verdict
from vmsmp.campaign.store.measured import Colours
from vmsmp.report.dashboard.charts import charts

CURVE = points("run0", (100, 50), (200, 80))


def words(drawing):
    return [
        "".join(one.itertext()) for one in ET.fromstring(drawing).iter("{http://www.w3.org/2000/svg}text")
    ]


def test_where_there_is_nothing_to_draw_there_is_no_picture():
    assert {} == charts(board(signature(), discovery=CURVE[:1]))


def test_discovery_is_drawn_as_traces_and_as_bugs():
    drawn = charts(board(signature(), discovery=CURVE))
    assert ["traces", "bugs"] == [*drawn]
    assert {"Distinct traces", "schedules", "100", "200"} <= {*words(drawn["traces"])}


def test_the_kill_curve_says_of_how_many():
    drawn = charts(board(verdicts=(Verdict("a", "found", schedules=3), Verdict("b", "survived"))))
    assert "Guard removals noticed, of 2" in words(drawn["kills"])


def test_contention_is_drawn_in_percent():
    drawn = charts(board(colours=(Colours(1, 9.0, 0.5), Colours(16, 20.0, 0.031))))
    assert {"1", "16", "% contested"} <= {*words(drawn["contention"])}


def test_a_curve_of_nothing_but_zeros_is_drawn():
    assert {"traces", "bugs"} == {*charts(board(discovery=points("run0", (0, 0), (0, 0))))}


def test_a_picture_follows_the_page_into_the_dark_and_loads_nothing():
    drawing = charts(board(signature(), discovery=CURVE))["bugs"]
    assert b"prefers-color-scheme:dark" in drawing.replace(b" ", b"")
    assert b"@import" not in drawing
    assert b"<script" not in drawing
