"""The site in a real browser: no error on its console, nothing wider than the window, pictures that load."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess

import pytest

from boards import NASTY, board, found, points, row, signature
from patience import PROCESS_S, patient
from vmsmp.campaign.kill_table import Verdict
from vmsmp.campaign.store.measured import Colours, Site
from vmsmp.cli.folders import output_folder
from vmsmp.report.dashboard.retold import retell
from vmsmp.report.dashboard.site import site

pytest.importorskip("jinja2", reason="the site needs the extra `report`")

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = [
    pytest.mark.ci,
    patient,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium here: nobody looks at the report's pages"),
]

WIDTHS = (1280, 400)
#: Opens every page at every width, one after another, and writes down how it looks.
HARNESS = """<!DOCTYPE html><meta charset="utf-8"><link rel="icon" href="data:,"><body><script>
const pages = %s, widths = %s, seen = [];
async function look(page, width) {
  const frame = document.createElement("iframe");
  frame.width = width; frame.height = 800; frame.src = page;
  const loaded = new Promise(done => { frame.onload = done; });
  document.body.append(frame);
  await loaded;
  const doc = frame.contentDocument, root = doc.documentElement;
  const op = doc.querySelector(".interleaving .op"), head = doc.querySelector("thead");
  seen.push({
    page, width, wide: root.scrollWidth, room: root.clientWidth, text: doc.body.innerText.length,
    styled: frame.contentWindow.getComputedStyle(doc.querySelector("nav")).display,
    broken: [...doc.images].filter(one => !one.complete || !one.naturalWidth).map(one => one.src),
    op: op && op.getBoundingClientRect().width, letters: op && parseFloat(getComputedStyle(op).fontSize),
    head: head && getComputedStyle(head).display,
  });
  frame.remove();
}
(async () => {
  for (const page of pages) for (const width of widths) await look(page, width);
  const result = document.createElement("pre");
  result.textContent = JSON.stringify(seen);
  document.body.append(result);
})();
</script></body>
"""


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """How every page looks at every width, and what the browser wrote on its console."""
    top = tmp_path_factory.mktemp("browser")
    shown = board(
        signature(),
        signature(
            ident="m1ne", scenario="x" * 200, signature=NASTY + "y" * 300, report=NASTY, facts=("z" * 300,)
        ),
        signature(*(found(ident=f"id{n}", known="gone", status="known") for n in range(3))),
        rows=(row(), row("w" * 200)),
        discovery=points("run0", (10, 5), (20, 8)),
        verdicts=(Verdict("RC-01a", "found", schedules=3), Verdict("RC-01a", "survived", tried=50)),
        colours=(Colours(1, 2.0, 0.5), Colours(4, 2.0, 0.25)),
        sites=(Site("RC-01a", 2), Site("RC-01b", 0)),
    )
    output_folder(str(top / "site"), force=False).fill(site(shown, retell(shown, 9)))
    pages = sorted(str(path.relative_to(top)) for path in top.rglob("*.html"))
    (top / "harness.html").write_text(HARNESS % (json.dumps(pages), json.dumps(WIDTHS)))
    done = subprocess.run(
        [
            BROWSER,
            *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
            *("--allow-file-access-from-files", "--enable-logging=stderr"),
            *("--virtual-time-budget=20000", "--window-size=1400,900"),
            *(f"--user-data-dir={top / 'profile'}", "--dump-dom", (top / "harness.html").as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=PROCESS_S,
        check=True,
    )
    (result,) = re.findall(r"<pre>(.*?)</pre>", done.stdout, re.DOTALL)
    looks = json.loads(html.unescape(result))
    assert len(pages) * len(WIDTHS) == len(looks)
    return looks, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def test_the_console_stays_empty(opened):
    assert [] == opened[1]


def test_no_page_is_wider_than_its_window(opened):
    assert [] == [(one["page"], one["width"], one["wide"]) for one in opened[0] if one["wide"] > one["room"]]


def test_every_page_has_its_style_its_text_and_its_pictures(opened):
    for one in opened[0]:
        assert ("flex", []) == (one["styled"], one["broken"])
        assert one["text"] > 50


def test_the_table_of_a_run_can_be_read_at_both_widths(opened):
    tables = [one for one in opened[0] if one["op"]]
    assert {*WIDTHS} == {one["width"] for one in tables}
    for one in tables:
        assert one["letters"] >= 12
        assert one["op"] >= (300 if one["width"] == 400 else 90)
        assert ("none" if one["width"] == 400 else "table-header-group") == one["head"]
