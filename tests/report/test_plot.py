"""The plot of page throughput: an SVG that stands alone, or one line that says why not."""

from __future__ import annotations

import subprocess
import sys
from xml.etree import ElementTree as ET

import pytest

from vmsmp.campaign.measure.pages import Throughput
from vmsmp.errors import UsageError
from vmsmp.report.plot import plot_colours

TWO = [(1, Throughput(12_000.0, 0.25)), (16, Throughput(22_000.4, 0.015)), (1024, Throughput(20_000.0, 0.0))]
ONE = [(colours, Throughput(11_000.0, 0.0)) for colours, _ in TWO]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def plotted():
    """Plot curves and return the root element."""

    def call(curves, title="Page throughput"):
        return ET.fromstring(plot_colours(curves, title))

    return call


def texts(root, tag="text"):
    return ["".join(element.itertext()) for element in root.iter(SVG + tag)]


def test_a_plot_is_an_svg(plotted):
    assert SVG + "svg" == plotted({"2 CPUs": TWO, "1 CPU": ONE}).tag


def test_a_plot_has_its_title_and_both_axes_in_words(plotted):
    words = texts(plotted({"2 CPUs": TWO}, title="Pages & <colours>"))
    wanted = ["Pages & <colours>", "colours of a queue type", "allocations and frees a second"]
    assert [] == [word for word in wanted if word not in words]


def test_the_colours_stand_below_in_their_order(plotted):
    words = texts(plotted({"2 CPUs": TWO, "1 CPU": ONE}))
    assert ["1", "16", "1024"] == [word for word in words if word in {"1", "16", "1024"}]


def test_every_curve_has_its_name_and_its_points(plotted):
    root = plotted({"2 CPUs": TWO, "1 CPU": ONE})
    values = [e.text for e in root.iter(SVG + "desc") if e.get("class") == "value"]
    assert ["12000", "22000", "20000", "11000", "11000", "11000"] == values
    assert ["2 CPUs", "1 CPU"] == [word for word in texts(root) if word.endswith((" CPU", " CPUs"))]


def test_a_point_says_how_much_was_contested(plotted):
    labels = [e.text for e in plotted({"2 CPUs": TWO}).iter(SVG + "desc") if e.get("class") == "label"]
    assert [f"{share} of queue grants contested" for share in ("25.0%", "1.5%", "0.0%")] == labels


def test_the_axis_begins_at_zero(plotted):
    assert "0" in texts(plotted({"2 CPUs": TWO}))


def test_points_without_a_single_operation_can_be_plotted(plotted):
    idle = [(colours, Throughput(0.0, 0.0)) for colours in (1, 4)]
    assert SVG + "svg" == plotted({"2 CPUs": idle}).tag


def test_a_plot_loads_nothing_from_elsewhere(plotted):
    root = plotted({"2 CPUs": TWO})
    outside = [value for e in root.iter() for name, value in e.items() if name.endswith(("href", "src"))]
    assert [] == [value for value in outside if not value.startswith("#")]
    assert b"@import" not in plot_colours({"2 CPUs": TWO}, "t")


def test_a_plot_says_near_its_beginning_who_wrote_it():
    assert b"Written by `vmsmp bench`" in plot_colours({"2 CPUs": TWO}, "t")[:200]


def test_without_pygal_a_plot_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pygal", None)
    with pytest.raises(UsageError, match=r"^--plot needs pygal: pip install 'vmsmp\[report\]'$"):
        plot_colours({"2 CPUs": TWO}, "t")


def test_pygal_is_loaded_by_a_plot_alone():
    loaded = "vmsmp.cli.command_line, vmsmp.report.plot"
    asked = f"import sys, {loaded}; print([n for n in sys.modules if n == 'pygal'])"
    done = subprocess.run(
        [sys.executable, "-c", asked], capture_output=True, text=True, timeout=60, check=True
    )
    assert "[]\n" == done.stdout
