"""`vmsmp report`: what it prints and writes of a store, its exit codes, and what is refused."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from xml.etree import ElementTree as ET

import pytest

from boards import DIGEST, LINE, SIGNATURE, contents, found, row, run, signature
from vmsmp.campaign.kill_table import Verdict
from vmsmp.campaign.store.schema import connect


@pytest.fixture
def store(tmp_path):
    """A store in which nothing has run."""
    path = tmp_path / "nightly.sqlite"
    connect(path, write=True).close()
    return path


@pytest.fixture
def holding(monkeypatch, store):
    """Have the store hold signatures, and return where it is."""

    def hold(*signatures, **parts):
        monkeypatch.setattr(
            "vmsmp.campaign.store.read.read_store", lambda path: contents(*signatures, **parts)
        )
        return store

    return hold


def test_a_store_in_which_nothing_has_run_is_clean(vmsmp, store):
    ended = vmsmp("report", "--store", store)
    assert (0, f"{store}: 0 runs, 0 schedules, 0 free rounds; no bugs\n", "") == (
        *(ended.code, ended.out, ended.err),
    )


def test_a_bug_is_shown_with_the_command_that_replays_it(vmsmp, holding):
    ended = vmsmp("report", "--store", holding(signature(), rows=(row(),)))
    assert 1 == ended.code
    assert f"    replay: vmsmp replay '{LINE}:{DIGEST}'" in ended.out.splitlines()


@pytest.mark.parametrize(("status", "code"), [("new", 1), ("unsteady", 1), ("known", 0), ("fixed", 0)])
def test_the_exit_code_says_whether_somebody_has_to_look(vmsmp, holding, status, code):
    assert code == vmsmp("report", "--store", holding(signature(status=status))).code


def test_the_command_that_is_printed_replays_the_bug(vmsmp, holding):
    ended = vmsmp("report", "--store", holding(signature()))
    (line,) = (line for line in ended.out.splitlines() if "replay: " in line)
    again = vmsmp("replay", line.partition("'")[2].rstrip("'"))
    assert 1 == again.code
    assert "lost-wakeup: pip: pip is 0" == again.out.splitlines()[0]


def test_the_json_has_the_bugs(vmsmp, holding):
    ended = vmsmp("report", "--store", holding(signature()), "--json")
    assert (1, [SIGNATURE]) == (ended.code, [bug["signature"] for bug in ended.json["bugs"]])


def test_the_store_can_come_from_the_environment(vmsmp, store, monkeypatch):
    monkeypatch.setenv("VMSMP_STORE", str(store))
    assert 0 == vmsmp("report").code


# -- files ----------------------------------------------------------------------------------------


def test_all_files_are_written_and_named(vmsmp, holding, tmp_path):
    junit, sarif, site = tmp_path / "j.xml", tmp_path / "s.sarif", tmp_path / "site"
    words = ("--store", holding(signature()), "--junit", junit, "--sarif", sarif, "--html", site)
    for _ in range(2):  # what is there is ours, and written again
        ended = vmsmp("report", *words)
        assert (1, "") == (ended.code, ended.err)
        assert [f"junit: {junit}", f"sarif: {sarif}", f"site: {site}/index.html"] == ended.out.splitlines()[
            -3:
        ]
    assert "1" == ET.parse(junit).getroot().get("failures")
    assert "2.1.0" == json.loads(sarif.read_bytes())["version"]
    assert SIGNATURE in (site / "index.html").read_text()


def test_the_test_on_a_site_fails_over_the_bug_and_passes_when_it_is_gone(vmsmp, holding, tmp_path):
    vmsmp("report", "--store", holding(signature()), "--html", tmp_path / "site")
    (path,) = (tmp_path / "site/test").iterdir()
    names = {}
    exec(compile(path.read_text(), str(path), "exec"), names)
    with pytest.raises(AssertionError, match=re.escape(SIGNATURE.partition(":")[0])):
        names["test_refcount_drains_is_repaired"]()
    names["SCHEDULE"] = "v1:refcount_drains:0:"
    names["test_refcount_drains_is_repaired"]()


def test_the_trace_on_a_site_is_that_of_the_replay(vmsmp, holding, tmp_path):
    vmsmp("report", "--store", holding(signature()), "--html", tmp_path / "site")
    (path,) = (tmp_path / "site/trace").iterdir()
    vmsmp("replay", f"{LINE}:{DIGEST}", "--trace", tmp_path / "trace.json")
    assert (tmp_path / "trace.json").read_text() == path.read_text()


def test_only_so_many_lines_are_run_again(vmsmp, holding, tmp_path):
    bugs = [signature(found(scenario="refcount_drains", known=f"k{n}", status="known")) for n in range(3)]
    vmsmp("report", "--store", holding(*bugs), "--html", tmp_path / "site", "--replays", 2)
    assert 2 == len([*(tmp_path / "site/trace").iterdir()])
    assert 3 == len([*(tmp_path / "site/bug").iterdir()])


def test_what_other_commands_measured_is_on_the_site(vmsmp, holding, tmp_path):
    kills, bench = tmp_path / "kills.json", tmp_path / "bench.json"
    kills.write_text(json.dumps([Verdict("RC-01a", "found", schedules=3).as_dict()]))
    bench.write_text(json.dumps({"colours": [{"colours": 1, "rate": 5.0, "contested": 0.5}]}))
    words = ("--html", tmp_path / "site", "--kills", kills, "--bench", bench)
    assert 0 == vmsmp("report", "--store", holding(), *words).code
    page = (tmp_path / "site/coverage.html").read_text()
    assert "sync.refcount" in page
    assert {"kills.svg", "contention.svg"} == {path.name for path in (tmp_path / "site/plot").iterdir()}


# -- GitHub ---------------------------------------------------------------------------------------


def test_github_gets_an_annotation_and_a_summary(vmsmp, holding, tmp_path, monkeypatch):
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    ended = vmsmp("report", "--store", holding(signature(), signature(status="fixed", known="x")), "--github")
    lines = ended.out.splitlines()
    assert [1, True] == [sum(line.startswith("::error ") for line in lines), lines[0].startswith("::error ")]
    assert lines[1].startswith("::stop-commands::")
    assert lines[-1] == f"::{lines[1].removeprefix('::stop-commands::')}::"
    assert summary.read_text().startswith("before\n## vmsmp: 1 new, 1 fixed\n")


def test_without_a_summary_s_file_only_annotations_are_made(vmsmp, holding, monkeypatch):
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    ended = vmsmp("report", "--store", holding(signature()), "--github")
    assert (1, "") == (ended.code, ended.err)


def test_a_summary_that_cannot_be_written_is_one_line(vmsmp, store, tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path))
    assert (2, "", 1) == vmsmp("report", "--store", store, "--github").complaint


# -- a real store ---------------------------------------------------------------------------------


@pytest.mark.ci
def test_a_planted_bug_is_reported_once_with_a_line_a_test_and_a_trace(process, tmp_path):
    store, site = tmp_path / "nightly.sqlite", tmp_path / "site"
    words = ("--schedules", 400, "--workers", 1, "--scenarios", "refcount_drains", "--mutant", "RC-01a")
    assert 1 == process("stress", "--store", store, *words).code
    ended = process("report", "--store", store, "--html", site, "--json")
    (bug,) = ended.json["bugs"]
    assert (1, SIGNATURE, "new") == (ended.code, bug["signature"], bug["status"])
    assert bug["times"] > 1
    again = process("replay", bug["line"])
    assert (1, "lost-wakeup: pip: pip is 0") == (again.code, again.out.splitlines()[0])
    (trace,) = (site / "trace").iterdir()
    assert json.loads(trace.read_bytes())["otherData"]["digest"] == bug["digest"]
    (kept,) = (site / "test").iterdir()
    names = {}
    exec(compile(kept.read_text(), str(kept), "exec"), names)
    with pytest.raises(AssertionError, match=re.escape(SIGNATURE.partition(":")[0])):
        names["test_refcount_drains_is_repaired"]()
    (page,) = (site / "bug").iterdir()
    assert bug["line"].replace(">", "&gt;") in page.read_text()


# -- refused --------------------------------------------------------------------------------------


def test_without_a_store_it_is_said_how_to_name_one(vmsmp):
    ended = vmsmp("report")
    assert (2, "", 1) == ended.complaint
    assert "--store FILE" in ended.err


@pytest.mark.parametrize("content", [None, b"", b"mine", b"SQLite format 3\0" + b"x" * 4000])
def test_what_is_no_store_is_one_line(vmsmp, tmp_path, content):
    path = tmp_path / "it"
    if content is not None:
        path.write_bytes(content)
    assert (2, "", 1) == vmsmp("report", "--store", path).complaint
    assert content is None or content == path.read_bytes()


@pytest.mark.parametrize(
    "words",
    [
        ("--json", "--github"),
        ("--junit", "one", "--sarif", "one"),
        ("--junit", "none/one"),
        ("--html", "none/one"),
        ("--kills", "none"),
        ("--bench", "none"),
        ("--kills", "mine"),
        ("--bench", "mine"),
        ("--replays", "-1"),
        ("--junit", "mine"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_is_refused_in_a_line_and_nothing_is_written(
    vmsmp, store, tmp_path, monkeypatch, words
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").write_text("mine")
    before = sorted(tmp_path.iterdir())
    assert (2, "", 1) == vmsmp("report", "--store", store, *words).complaint
    assert (before, "mine") == (sorted(tmp_path.iterdir()), (tmp_path / "mine").read_text())


def test_a_folder_of_somebody_else_s_is_filled_only_by_force(vmsmp, store, tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").write_text("mine")
    assert (2, "", 1) == vmsmp("report", "--store", store, "--html", site).complaint
    assert "mine" == (site / "index.html").read_text()
    assert 0 == vmsmp("report", "--store", store, "--html", site, "--force").code


@pytest.mark.parametrize("library", ["jinja2", "pygal"])
def test_without_a_library_a_site_is_refused_before_the_store_is_read(vmsmp, tmp_path, monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    ended = vmsmp("report", "--store", tmp_path / "none", "--html", tmp_path / "site")
    assert f"vmsmp: --html needs {library}: pip install 'vmsmp[report]'\n" == ended.err
    assert (2, "") == (ended.code, ended.out)


def test_without_a_site_the_libraries_are_not_needed(vmsmp, store, monkeypatch, tmp_path):
    for library in ("jinja2", "pygal"):
        monkeypatch.setitem(sys.modules, library, None)
    assert 0 == vmsmp("report", "--store", store, "--junit", tmp_path / "j.xml").code


def test_the_libraries_are_loaded_by_a_site_alone():
    names = ("jinja2", "pygal")
    asked = f"import sys, vmsmp.cli.command_line; print([n for n in {names} if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", asked], capture_output=True, text=True, timeout=60, check=True
    )
    assert "[]\n" == done.stdout


@pytest.mark.ci
def test_a_thousand_findings_are_reported(vmsmp, holding, tmp_path):
    bugs = [
        signature(found(ident=f"{n}", signature=f"check: it is {n}"), history=(("run0", n + 1),))
        for n in range(1000)
    ]
    site = tmp_path / "site"
    ended = vmsmp("report", "--store", holding(*bugs, runs=(run(),)), "--html", site, "--replays", 20)
    assert ended.out.splitlines()[-2].endswith("; 1,000 new")
    assert 1000 == len([*(site / "bug").iterdir()])
