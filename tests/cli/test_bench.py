"""`vmsmp bench`: the shape of its output; what it measures is in tests/campaign/measure."""

from __future__ import annotations

import errno
import sys

import pytest

from vmsmp.campaign.measure.figure import Figure
from vmsmp.campaign.measure.pages import Throughput

CONTROLLED = [
    Figure("bare step loop, 3 CPUs", 200_000.0, "steps/s", note="the bound"),
    Figure("cells", 150_000.0, "steps/s", 0.75, 0.5),
    Figure("slow cells", 20_000.0, "steps/s", 0.1, 0.25),
    Figure("no goal", 20_000.0, "steps/s", 0.1),
]
FREE = [Figure("free, exact, 2 CPUs, disjoint spinlocks", 20_000.0, "grants/s", 0.98, 1.5, "0.0% contested")]
PAGES = [Figure("free, pages, 2 CPUs, 64 colours", 9_000.0, "alloc+free/s", 1.6, 1.5, "0.0% contested")]
SIZES = [Figure("memory of 1,000,000 pages", 512.0, "bytes/page", note="growth of the process")]
MMU = [Figure("loads that walk", 20_000.0, "loads/s", 0.125, note="to a hit")]
FAULTS = [Figure("fault of a resident page", 50, "steps", 1.2, 1.0, "of 60 that it may take")]
TWO = [(1, Throughput(12_345.6, 0.25)), (1024, Throughput(20_000.0, 0.0))]
ONE = [(1, Throughput(11_000.0, 0.0)), (1024, Throughput(10_000.0, 0.0))]
OBJECTS = [Figure("scan of an object of 1,000,000 pages", 500_000.0, "pages/s", 0.8, 0.5, "to one of 1,000")]
MAPS = [Figure("lookup in a map of 100,000 entries", 400_000.0, "calls/s", 0.8, 0.5, "to one of 1,000")]
FIGURES = CONTROLLED + FREE + PAGES + SIZES + OBJECTS + MAPS + MMU + FAULTS


@pytest.fixture
def asked(monkeypatch):
    """What was measured and for how many seconds, in order; every measurement returns at once."""
    calls = []

    def playing(name, value, one_cpu=None):
        def played(*seconds, **options):
            calls.append((name, *seconds, *options.items()))
            return one_cpu if options == {"cpus": 1} else value

        monkeypatch.setattr(f"vmsmp.cli.bench.{name}", played)

    playing("controlled_figures", CONTROLLED)
    playing("free_figures", FREE)
    playing("page_figures", PAGES)
    playing("size_figures", SIZES)
    playing("object_figures", OBJECTS)
    playing("map_figures", MAPS)
    playing("mmu_figures", MMU)
    playing("fault_figures", FAULTS)
    playing("colour_curve", TWO, ONE)
    return calls


def row(out, name):
    return next(line for line in out.splitlines() if line.startswith(name))


# -- the figures ----------------------------------------------------------------------------------


def test_a_measurement_is_clean(vmsmp, asked):
    assert (0, "") == (vmsmp("bench").code, vmsmp("bench").err)


def test_the_time_is_shared_by_the_kinds_of_measurement(vmsmp, asked):
    vmsmp("bench", "--seconds", "6")
    assert [
        ("controlled_figures", 2.0),
        ("free_figures", 2.0),
        ("page_figures", 2.0),
        ("size_figures",),
        ("object_figures",),
        ("map_figures",),
        ("mmu_figures",),
        ("fault_figures",),
    ] == asked


def test_every_figure_has_its_row_in_order(vmsmp, asked):
    rows = vmsmp("bench").out.splitlines()
    names = [figure.name for figure in FIGURES]
    assert names == [name for line in rows for name in names if line.startswith(f"{name}  ")]


def test_a_goal_that_was_met_says_so(vmsmp, asked):
    assert ">= 0.5 met" in row(vmsmp("bench").out, "cells")


def test_a_goal_that_was_missed_says_so(vmsmp, asked):
    assert ">= 0.25 MISSED" in row(vmsmp("bench").out, "slow cells")


@pytest.mark.parametrize("name", ["no goal", "bare step loop", "memory of"])
def test_a_figure_without_a_goal_claims_none(vmsmp, asked, name):
    assert ">=" not in row(vmsmp("bench").out, name)


@pytest.mark.parametrize(
    ("name", "words"), [("bare step loop", "200,000 steps/s"), ("memory of", "512 bytes/page")]
)
def test_a_rate_is_shown_with_its_unit(vmsmp, asked, name, words):
    assert words in row(vmsmp("bench").out, name)


@pytest.mark.parametrize("name", ["free, exact", "free, pages"])
def test_the_goal_of_the_free_engine_is_not_judged_under_the_gil(vmsmp, asked, monkeypatch, name):
    monkeypatch.setattr("sys._is_gil_enabled", lambda: True, raising=False)
    assert ">= 1.5 without the GIL" in row(vmsmp("bench").out, name)


@pytest.mark.parametrize(("name", "words"), [("free, exact", "MISSED"), ("free, pages", "met")])
def test_the_goal_of_the_free_engine_is_judged_without_the_gil(vmsmp, asked, monkeypatch, name, words):
    monkeypatch.setattr("sys._is_gil_enabled", lambda: False, raising=False)
    assert f">= 1.5 {words}" in row(vmsmp("bench").out, name)


def test_without_a_plot_no_curve_is_shown(vmsmp, asked):
    out = vmsmp("bench").out
    assert (False, False) == ("\ncolours" in out, "plot:" in out)


def test_the_help_says_what_the_seconds_bound(vmsmp):
    told = " ".join(vmsmp("bench", "--help").out.split())
    assert "seconds of measuring, shared by all rates (default 20); what is measured once" in told


# -- json -----------------------------------------------------------------------------------------


def test_the_json_of_a_measurement_has_its_keys(vmsmp, asked):
    assert {"python", "gil", "figures", "colours"} == set(vmsmp("bench", "--json").json)


def test_the_json_of_a_figure_has_its_keys(vmsmp, asked):
    assert {("goal", "name", "note", "rate", "ratio", "unit")} == {
        tuple(sorted(figure)) for figure in vmsmp("bench", "--json").json["figures"]
    }


def test_the_json_has_all_figures_in_order(vmsmp, asked):
    figures = vmsmp("bench", "--json").json["figures"]
    assert [(f.name, f.rate, f.ratio) for f in FIGURES] == [
        (f["name"], f["rate"], f["ratio"]) for f in figures
    ]


def test_without_a_plot_the_json_has_no_colours(vmsmp, asked):
    assert [] == vmsmp("bench", "--json").json["colours"]


def test_with_a_plot_the_json_has_the_curve_of_two_cpus_and_the_file_is_there(vmsmp, asked, tmp_path):
    path = tmp_path / "curve.svg"
    assert [
        {"colours": 1, "rate": 12_345.6, "contested": 0.25},
        {"colours": 1024, "rate": 20_000.0, "contested": 0.0},
    ] == vmsmp("bench", "--json", "--plot", path).json["colours"]
    assert b"<svg" in path.read_bytes()


# -- the plot -------------------------------------------------------------------------------------


def test_a_plot_measures_the_curves_of_two_cpus_and_of_one(vmsmp, asked, tmp_path):
    vmsmp("bench", "--seconds", "6", "--plot", tmp_path / "curve.svg")
    assert [("colour_curve", 1.0), ("colour_curve", 1.0, ("cpus", 1))] == asked[8:]


def test_a_plot_is_written_and_named(vmsmp, asked, tmp_path):
    path = tmp_path / "curve.svg"
    ended = vmsmp("bench", "--plot", path)
    assert (0, "", f"plot: {path}") == (ended.code, ended.err, ended.out.splitlines()[-1])
    assert b"<svg" in path.read_bytes()


def test_the_curve_is_shown_as_a_table_too(vmsmp, asked, tmp_path):
    lines = vmsmp("bench", "--plot", tmp_path / "curve.svg").out.splitlines()
    head = next(n for n, line in enumerate(lines) if line.split()[:1] == ["colours"])
    assert ["colours", "alloc+free/s", "contested"] == lines[head].split()
    points = [words for words in map(str.split, lines[head + 1 :]) if words and words[0].isdigit()]
    assert [["1", "12,346", "25.0%"], ["1024", "20,000", "0.0%"]] == points


@pytest.mark.parametrize(("gil", "words"), [(True, ""), (False, " without the GIL")])
def test_a_plot_s_title_says_which_python_and_whether_it_has_the_gil(
    vmsmp, asked, monkeypatch, tmp_path, gil, words
):
    drawn = []
    monkeypatch.setattr("sys._is_gil_enabled", lambda: gil, raising=False)
    monkeypatch.setattr(
        "vmsmp.cli.bench.plot_colours", lambda curves, title: drawn.append((title, curves)) or b"<svg/>"
    )
    vmsmp("bench", "--plot", tmp_path / "curve.svg")
    version = ".".join(map(str, sys.version_info[:3]))
    assert [(f"Page throughput by colours, Python {version}{words}", {"2 CPUs": TWO, "1 CPU": ONE})] == drawn


def test_a_plot_may_be_named_relative_to_where_one_stands(vmsmp, asked, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert (0, True) == (vmsmp("bench", "--plot", "curve.svg").code, (tmp_path / "curve.svg").is_file())


def test_a_plot_may_be_named_by_the_environment(vmsmp, asked, monkeypatch, tmp_path):
    monkeypatch.setenv("VMSMP_PLOT", str(tmp_path / "curve.svg"))
    assert (0, True) == (vmsmp("bench").code, (tmp_path / "curve.svg").is_file())


def refused(vmsmp, asked, path):
    """How `bench --plot` ended, and what it measured before it did."""
    ended = vmsmp("bench", "--plot", path)
    return ended.complaint, asked, ended.err


@pytest.mark.parametrize("place", ["none/curve.svg", "file/curve.svg"])
def test_a_plot_in_no_folder_is_refused_before_the_measuring(vmsmp, asked, tmp_path, place):
    (tmp_path / "file").touch()
    complaint, measured, words = refused(vmsmp, asked, tmp_path / place)
    assert ((2, "", 1), []) == (complaint, measured)
    assert words.startswith(f"vmsmp: cannot write {str(tmp_path / place)!r}: ")


def test_a_plot_that_is_a_folder_is_refused_before_the_measuring(vmsmp, asked, tmp_path):
    assert ((2, "", 1), []) == refused(vmsmp, asked, tmp_path)[:2]


def test_a_plot_in_a_folder_that_cannot_be_asked_for_is_refused_in_one_line(vmsmp, asked, tmp_path):
    path = tmp_path / ("long" * 100) / "curve.svg"
    assert ((2, "", 1), []) == refused(vmsmp, asked, path)[:2]


def test_a_plot_that_cannot_be_written_in_the_end_is_one_line(vmsmp, asked, tmp_path, monkeypatch):
    def full(_number):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    complaint, measured, words = refused(vmsmp, asked, tmp_path / "curve.svg")
    assert ((2, 1), 10) == (complaint[::2], len(measured))
    assert words.endswith("curve.svg': No space left on device\n")


def test_a_plot_without_pygal_is_refused_before_the_measuring(vmsmp, asked, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pygal", None)
    complaint, measured, words = refused(vmsmp, asked, tmp_path / "curve.svg")
    assert ((2, "", 1), []) == (complaint, measured)
    assert "vmsmp: --plot needs pygal: pip install 'vmsmp[report]'\n" == words


def test_without_a_plot_pygal_is_not_needed(vmsmp, asked, monkeypatch):
    monkeypatch.setitem(sys.modules, "pygal", None)
    assert 0 == vmsmp("bench").code


@pytest.mark.parametrize("words", ["0", "0.5", "3601", "x", "nan"])
def test_seconds_that_cannot_be_are_bad_input(vmsmp, asked, words):
    assert ((2, "", 1), []) == (vmsmp("bench", "--seconds", words).complaint, asked)


def test_a_store_keeps_the_curve_and_the_report_has_it(vmsmp, asked, tmp_path):
    ended = vmsmp("bench", "--store", tmp_path / "s")
    told = vmsmp("report", "--store", tmp_path / "s", "--json").json
    assert (0, f"store: {tmp_path / 's'}") == (ended.code, ended.out.splitlines()[-1])
    assert [(colours, one.rate, one.contested) for colours, one in TWO] == [
        (one["colours"], one["rate"], one["contested"]) for one in told["colours"]
    ]


def test_what_is_no_store_is_refused_before_anything_is_measured(vmsmp, asked, tmp_path):
    (tmp_path / "s").write_text("mine")
    assert ((2, "", 1), []) == (vmsmp("bench", "--store", tmp_path / "s").complaint, asked)
