"""The static site: its pages and links, what it shows of each bug, and that everything is escaped."""

from __future__ import annotations

import ast
import json
import sys
from html.parser import HTMLParser
from posixpath import dirname, join, normpath

import pytest

from boards import DIGEST, LINE, NASTY, SIGNATURE, board, found, points, row, run, signature
from vmsmp.campaign.findings import findings
from vmsmp.campaign.kill_table import Verdict
from vmsmp.campaign.store.measured import Colours, Site
from vmsmp.campaign.store.read import Trouble
from vmsmp.errors import UsageError
from vmsmp.report.dashboard.retold import retell
from vmsmp.report.dashboard.site import LISTED, bars, site

pytest.importorskip("jinja2", reason="the site needs the extra `report`")

#: Elements that have no end.
VOID = {"meta", "link", "img", "br", "input", "hr"}


class Page(HTMLParser):
    """A page taken apart: its text, its links, its elements; `errors` are ends that fit no beginning."""

    def __init__(self, content):
        super().__init__()
        self.errors, self.links, self.elements, self.texts, self._open = [], [], [], [], []
        self.feed(content.decode())
        self.close()
        self.errors += self._open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.links += [value for name, value in attributes if name in ("href", "src")]
        if tag not in VOID:
            self._open.append(tag)
        if tag in ("td", "dd", "li"):
            self.texts.append(" ")

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if not self._open or self._open.pop() != tag:
            self.errors.append(tag)

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return " ".join("".join(self.texts).split())


def built(*bugs, replays=9, **parts):
    """The files of a site by path."""
    shown = board(*bugs, **parts)
    return dict(site(shown, retell(shown, replays)))


@pytest.fixture(scope="module")
def whole():
    """A site that has everything."""
    return built(
        signature(),
        signature(
            ident="m1ne",
            scenario="mine",
            signature=NASTY,
            message=NASTY,
            report=NASTY,
            facts=(NASTY,),
            step=NASTY,
        ),
        signature(
            *(found(ident=f"id{n}", known="gone", status="known") for n in range(3)), history=(("run1", 2),)
        ),
        rows=(row(), row(NASTY)),
        discovery=points("run0", (10, 5), (20, 8)),
        troubles=(Trouble("run0", NASTY, "free", 3, NASTY),),
        verdicts=(Verdict("RC-01a", "found", schedules=3), Verdict("RC-01a", "survived", tried=50)),
        colours=(Colours(1, 2.0, 0.5), Colours(4, 2.0, 0.25)),
        sites=(Site("RC-01a", 2), Site("RC-01b", 0)),
    )


def pages(files):
    return {path: Page(content) for path, content in files.items() if path.endswith(".html")}


def page_of(files, text):
    """The page of the bug with that text in its heading."""
    return next(page for path, page in pages(files).items() if path.startswith("bug/") and text in page.text)


def test_there_are_an_index_the_runs_the_coverage_and_a_page_for_each_bug(whole):
    assert {"index.html", "runs.html", "coverage.html"} == {p for p in pages(whole) if "/" not in p}
    assert 3 == sum(path.startswith("bug/") for path in whole)


def test_the_index_comes_last(whole):
    assert "index.html" == [*whole][-1]


def test_every_page_is_well_formed(whole):
    assert {} == {path: page.errors for path, page in pages(whole).items() if page.errors}


def test_every_link_leads_to_a_file_of_the_site(whole):
    for path, page in pages(whole).items():
        for link in page.links:
            if link == "data:,":
                continue
            target, _, mark = link.partition("#")
            assert not target or normpath(join(dirname(path), target)) in whole
            marks = {attributes.get("id") for _, attributes in page.elements}
            assert not mark or mark in marks


def test_every_file_is_linked(whole):
    linked = {"index.html"}
    for path, page in pages(whole).items():
        linked |= {normpath(join(dirname(path), link.partition("#")[0])) for link in page.links}
    assert [] == [path for path in whole if path not in linked]


def test_a_site_holds_no_script_and_names_no_other(whole):
    for content in whole.values():
        assert b"http://" not in content.replace(b"http://www.w3.org", b"").replace(
            b"http://pygal.org", b""
        ).replace(b"http://github.com/Kozea", b"")
        assert b"<script" not in content
        assert b"@import" not in content


def test_every_page_says_who_wrote_it(whole):
    for path, content in whole.items():
        if path.endswith((".html", ".css")):
            assert b"Written by `vmsmp report`" in content[:100]


def test_whatever_a_text_holds_it_is_shown_and_nothing_else(whole):
    shown = " ".join(NASTY.replace("\ud800", "\\ud800").split())
    page = page_of(whole, "mine")
    assert shown in page.text
    assert shown in Page(whole["index.html"]).text
    for one in pages(whole).values():
        assert [] == [attributes for _, attributes in one.elements if attributes.get("title") == "x"]


def test_the_index_has_the_bugs_by_status(whole):
    text = Page(whole["index.html"]).text
    assert text.index("New No known finding explains it.") < text.index("Known A known finding explains it.")
    assert "Fixed" not in text
    assert SIGNATURE in text


def test_a_bug_has_its_command_its_history_and_its_finding(whole):
    text = page_of(whole, "f00d").text
    assert f"vmsmp replay '{LINE}:{DIGEST}'" in text
    assert "3 times, first 2026-11-20 02:00, last 2026-11-21 02:00" in text
    assert "2026-11-20 02:00 0123abcd 3" in text


def test_a_known_bug_says_what_lies_behind_it():
    known = findings()[0]
    text = page_of(built(signature(known=known.name, status="known"), replays=0), "f00d").text
    assert f"vmsmp run refcount_drains --repair {known.repair}" in text


def test_a_bug_has_its_table(whole):
    (path,) = (path for path, page in pages(whole).items() if path.startswith("bug/") and "f00d" in page.text)
    rows = whole[path].decode().split('<table class="interleaving">')[1].split("</table>")[0]
    assert "<th>cpu1 io0</th>" in rows
    assert 24 == rows.count('class="number">') - 1
    assert 'data-cpu="cpu2 terminator">sleep pip  0</td>' in rows
    assert "switch: cpu1 io0 preempted" in rows


def test_a_bug_has_its_trace_and_its_test(whole):
    traces = [json.loads(content) for path, content in whole.items() if path.startswith("trace/")]
    assert [DIGEST, DIGEST] == [trace["otherData"]["digest"] for trace in traces]
    tests = {path: content for path, content in whole.items() if path.startswith("test/")}
    assert 2 == len(tests)
    for path, content in tests.items():
        ast.parse(content)
        assert path.startswith("test/test_refcount_drains_")
        assert path.endswith(".py")


def test_a_line_that_was_not_run_shows_the_report_of_then(whole):
    page = page_of(built(signature(), replays=0), "f00d")
    assert "as it was told then" in page.text
    assert "Only the lines of the first 0 bugs were run again" in page.text


def test_a_signature_lists_its_findings(whole):
    text = page_of(whole, "id0").text
    assert "id1" in text
    assert "id2" in text


def test_of_many_findings_some_are_listed_and_the_others_counted():
    files = built(signature(*(found(ident=f"id{n}.") for n in range(LISTED + 7))), replays=0)
    text = page_of(files, "id0.").text
    assert f"id{LISTED - 1}." in text
    assert f"id{LISTED}." not in text
    assert "7 more are in the store" in text


def test_the_runs_are_shown_the_last_one_first(whole):
    text = Page(whole["runs.html"]).text
    assert text.index("2026-11-21 02:00") < text.index("2026-11-20 02:00")
    assert "nightly 10.0 1,000 50" in text


def test_a_run_that_was_killed_has_no_length():
    files = built(runs=(run(ended=None, outcome="running"),))
    assert "running nightly 1,000 50" in Page(files["runs.html"]).text


def test_pictures_are_on_their_pages(whole):
    assert {"plot/bugs.svg", "plot/traces.svg"} <= {*Page(whole["runs.html"]).links}
    assert {"plot/kills.svg", "plot/contention.svg"} <= {*Page(whole["coverage.html"]).links}


def test_the_coverage_has_the_certificate_and_the_guards(whole):
    text = Page(whole["coverage.html"]).text
    assert "refcount_drains 800 0 30,000 90 5.0 %" in text
    assert "sync.refcount 2 50 % 1 0 0 1 0 0" in text
    assert "RC-01a survived 50" in text


def test_the_coverage_counts_the_guard_sites_that_run(whole):
    text = Page(whole["coverage.html"]).text
    assert "2 1 50 %" in text[text.index("Guard sites") :]


def test_a_site_without_a_kill_table_says_how_to_have_one():
    assert "vmsmp report --kills" in Page(built()["coverage.html"]).text


def test_the_site_of_an_empty_store_says_that_nothing_has_run():
    files = built(runs=())
    assert {"style.css", "coverage.html", "runs.html", "index.html"} == {*files}
    assert "nothing has run" in Page(files["index.html"]).text
    assert {} == {path: page.errors for path, page in pages(files).items() if page.errors}


def test_a_name_in_the_store_leads_out_of_no_folder():
    files = built(signature(scenario="../../x", ident="../../y", known="../z"))
    assert [] == [path for path in files if ".." in path]


@pytest.mark.parametrize(
    ("times", "heights"),
    [((), []), ((0, 0), [0, 0]), ((1,), [20]), ((1000, 1, 0), [20, 1, 0]), ((4, 2), [20, 10])],
)
def test_a_sparkline_shows_whatever_was_met_at_all(times, heights):
    assert heights == [bar.height for bar in bars(times)]


def test_a_sparkline_shows_the_last_runs():
    assert [*range(70, 100)] == [bar.times for bar in bars(range(100))]


def test_without_jinja2_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(UsageError, match=r"^--html needs jinja2: pip install 'vmsmp\[report\]'$"):
        built()
