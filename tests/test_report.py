import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from itertools import pairwise

import numpy as np
import pytest
from fabricate import fabricate

from analysis import summarise
from analysis.entry import command
from analysis.paper.figures import FIGURES
from analysis.render import Table
from analysis.report import usual
from analysis.report.command import main
from analysis.report.curves import PLACES
from analysis.results import DIRECTORY
from analysis.runs import listing
from analysis.tables.declaration import declare
from analysis.tables.table import contents_of

REASON = "diverged </script><b>–“naïve”"
LAYERS = {"none": 0.6, "[1]": 0.8, "all": 0.85}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs of three replacement sets and two activations; one of them failed."""
    directory = tmp_path_factory.mktemp("report") / "runs"
    for seed in (0, 1):
        for activation in ("relu", "tanh"):
            for number, (layers, score) in enumerate(LAYERS.items()):
                config = {
                    "seed": seed,
                    "activation": {"name": activation},
                    "replacement": {"layers": layers if layers in ("none", "all") else [1]},
                }
                failed = (seed, activation, layers) == (1, "tanh", "all")
                accuracies = np.linspace(0.5, score + 0.01 * seed + 0.001 * number, 8)
                state = {"status": "failed", "reason": REASON} if failed else {}
                fabricate(directory, config, list(map(float, accuracies)), **state)
    return directory


@pytest.fixture(scope="module")
def write(runs):
    """Writes a page about the runs; returns its file."""

    def write(*arguments):
        output = runs.parent / f"{len(list(runs.parent.glob('*.html')))}.html"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.argv", ["report", "--runs", str(runs), *arguments, "--output", str(output)])
            command(main)
        return output

    return write


@pytest.fixture(scope="module")
def page(write):
    return write()


class Read(HTMLParser):
    """What a page holds: its tables as lists of rows, the attributes of its elements, and its headings."""

    def __init__(self, text: str):
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.headings: list[int] = []
        self._cell = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if re.fullmatch(r"h\d", tag):
            self.headings.append(int(tag[1]))
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self._cell = True

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self._cell = False

    def handle_data(self, data):
        if self._cell:
            self.tables[-1][-1][-1] += data


def cells(table: Table) -> list[list[str]]:
    rows = [list(table.columns)]
    for section in table.sections:
        rows += [[section.title]] if section.title else []
        rows += [[cell.text for cell in row] for row in section.rows]
    return rows


def test_every_cell_is_that_of_the_tables(page, runs):
    found, known = Read(page.read_text(encoding="utf-8")).tables, summarise(runs)
    _, table = contents_of(declare(None, usual.table(known)), known, [str(runs)], None).beside_baseline(False)
    assert found[0] == cells(table)
    assert ["Minus no replacement"] in found[0] and "differs" in str(found[0])
    assert cells(replace(listing(known), notes=[])) in found
    assert [[*row] for row in zip(known["run"], known["command"], strict=True)] in [
        each[1:] for each in found
    ]
    assert next(each for each in found if each[0] == ["run", "status", "reason", "command"])[1][2] == REASON


def test_the_page_holds_all_that_it_shows(page):
    read = Read(page.read_text(encoding="utf-8"))
    addresses = [
        (tag, name, value)
        for tag, name, value in read.attributes
        if name in ("src", "href", "srcset", "data", "action", "poster", "style")
        and not value.startswith("#")
    ]
    assert addresses == []
    style = (files("analysis.report") / "page.css").read_text()
    assert "url(" not in style and "@import" not in style
    assert (
        "meta",
        "content",
        next(value for _, _, value in read.attributes if "default-src 'none'" in value),
    ) in read.attributes
    assert read.headings[0] == 1 and all(after - before <= 1 for before, after in pairwise(read.headings))
    assert page.stat().st_size < 2e6


@pytest.mark.usefixtures("composed_once")
def test_the_page_on_the_committed_results_is_small_and_says_what_they_say(tmp_path, monkeypatch, capsys):
    output = tmp_path / "report.html"
    some = {name: FIGURES[name] for name in ("figure_3", "figure_5")}  # the others take long to compose
    monkeypatch.setattr("analysis.report.command.FIGURES", some)
    monkeypatch.setattr("sys.argv", ["report", "--runs", str(DIRECTORY), "--output", str(output)])
    command(main)
    assert capsys.readouterr().out == f"Report: {output}\n"
    assert output.stat().st_size < 5e6
    tables = Read(output.read_text(encoding="utf-8")).tables
    committed = (DIRECTORY / "table_1.md").read_text(encoding="utf-8").replace("<u>", "").replace("</u>", "")
    rows = [re.split(r" *\| *", line)[1:-1] for line in committed.splitlines() if line.startswith("| ")]
    assert [row for row in tables[0] if len(row) > 1] == [
        row for row in rows if row[0][:2] not in ("**", ":-")
    ]
    findings = (DIRECTORY / "findings.txt").read_text(encoding="utf-8").splitlines()
    judged = next(each for each in tables if each[0][:2] == ["Network", "Verdict"])
    said = {" ".join(line.split()) for line in findings}
    assert len(judged) > 80 and all(" ".join(filter(None, row)) in said for row in judged)
    assert sum(each[0][1:] == list(PLACES) for each in tables) == len(some)


def test_curves_are_those_of_figures(runs):
    finished = summarise(runs)
    (figure,), left = usual.figures(finished, [str(runs)])
    assert left == [] and figure.legend == "replaced"
    assert figure.lines == ["all layers", "layer 1", "no replacement"]
    assert [panel.title for panel in figure.panels] == ["activation relu", "activation tanh"]
    points = [point for point in figure.panels[0].points if point[0] == 2]
    assert [point[2] for point in points] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert points[-1][3] == pytest.approx(100 * (0.6 + 0.61) / 2, abs=0.01)
    assert points[-1][4] < points[-1][3] < points[-1][5]
    assert [row[0].text for row in figure.values().sections[0].rows] == figure.lines


def test_methods_stand_for_the_keys_that_follow_from_them(tmp_path):
    """Three methods, each with a step size of its own, are three rows, compared, and three curves of one panel."""
    methods = {
        "BP": ({"replacement": {"layers": "none"}}, 0.005),
        "CBP": ({}, 0.001),
        "weight decay": ({"replacement": {"layers": "none"}, "regulariser": {"name": "l2"}}, 0.01),
    }
    for seed in (0, 1):
        for number, (parts, step_size) in enumerate(methods.values()):
            config = {"seed": seed, "optimiser": {"step_size": step_size}, **parts}
            fabricate(tmp_path, config, [0.5, 0.6 + number / 10 + seed / 50])
    known = summarise(tmp_path)
    declared = usual.table(known)
    names = dict(zip(["bp", "cbp", "l2"], methods, strict=True))
    assert (declared["rows"], declared["baseline"]) == ({"method": names}, ["method=bp", "replacement=none"])
    (figure,), _ = usual.figures(known, [str(tmp_path)])
    assert (figure.legend, figure.lines, len(figure.panels)) == ("method", list(methods), 1)


def test_an_unfinished_run_of_another_length_takes_no_number_from_a_table(tmp_path):
    keys = {"optimiser.step_size": 0.01, "model.width": 50, "replacement.maturity_threshold": 10}
    for number, (key, value) in enumerate([("seed", 0), *keys.items()]):
        group, _, name = key.rpartition(".")
        fabricate(tmp_path, {group: {name: value}} if group else {name: value}, [0.5, 0.5 + number / 10])
    fabricate(tmp_path, {"replacement": {"layers": "none"}}, [0.5, 0.9])
    fabricate(tmp_path, {"dataset": {"tasks": 9}}, [0.5], status="stopped")
    known = summarise(tmp_path)
    declared = usual.table(known)
    assert "dataset.tasks" in declared["rows"]
    contents = contents_of(declare(None, declared), known, [str(tmp_path)], None)
    assert set(contents.summary["mean"].dropna().round()) == {50, 60, 70, 80, 90}


def test_a_set_is_called_by_the_layers_of_its_own_network(tmp_path):
    for depth, layers in ((2, "all"), (5, "all"), (5, [2, 3, 4, 5]), (5, [1]), (5, "none")):
        fabricate(tmp_path, {"model": {"depth": depth}, "replacement": {"layers": layers}})
    values, names = usual.replacement_sets(summarise(tmp_path))
    assert sorted(values) == ["1", "2,3,4,5", "all", "all", "none"]
    assert list(names.values()) == ["all layers", "layer 1", "layers 2 to 5", "no replacement"]
    fabricate(tmp_path, {"model": {"depth": 5}, "replacement": {"layers": [1, 2]}})
    assert usual.replacement_sets(summarise(tmp_path))[1] == {}  # "1,2" is all layers of the first


def test_what_is_missing_is_shown_on_demand_and_its_commands_stand_apart(page):
    text = page.read_text(encoding="utf-8")
    before, _, after = text.partition("<summary>What is missing</summary>")
    assert "Missing: 1 of 12 runs." in before
    folded, _, _ = after.partition("</details>")
    assert "<pre>python launch.py " in folded and "seed=1</pre>" in folded


def test_a_task_alone_is_a_point(browser, tmp_path, monkeypatch):
    fabricate(tmp_path / "runs", {"seed": 0}, [0.5])
    output = tmp_path / "one.html"
    monkeypatch.setattr("sys.argv", ["report", "--runs", str(tmp_path / "runs"), "--output", str(output)])
    command(main)
    with browser.new_context() as context:
        tab = context.new_page()
        tab.goto(output.as_uri())
        tab.wait_for_selector("html[data-drawn]", state="attached", timeout=60_000)
        assert len(tab.query_selector_all(".chart .mark-symbol path")) >= 1
    assert "over 1 task of" in output.read_text(encoding="utf-8")


def test_colours_can_be_told_from_the_page_in_either_scheme():
    style = (files("analysis.report") / "page.css").read_text()
    light, dark = (
        dict(re.findall(r"--([\w-]+): (#\w{6})", part)) for part in style.split("@media screen")[:2]
    )
    assert len(light) == len(dark) == 6 + 9
    for scheme in (light, dark):
        for name, colour in scheme.items():
            if name.startswith("curve-"):
                assert contrast(colour, scheme["page"]) >= 3, name
            elif name in ("text", "muted", "link"):
                assert min(contrast(colour, scheme[each]) for each in ("page", "surface")) >= 4.5, name


def contrast(one: str, other: str) -> float:
    """Contrast ratio as WCAG 2 defines it."""
    lights = []
    for colour in (one, other):
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        lights.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(lights) + 0.05) / (min(lights) + 0.05)


# --- In a browser ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser():
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("Chromium is not installed here")
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed here")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=program)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def visit(browser, page):
    """Opens the page; what it says on the console and asks for is collected in `heard`."""
    contexts = []

    def visit(**options):
        contexts.append(browser.new_context(**options))
        tab = contexts[-1].new_page()
        tab.heard = []
        tab.on("console", lambda message: tab.heard.append(message.text))
        tab.on("pageerror", lambda error: tab.heard.append(str(error)))
        tab.on("request", lambda request: tab.heard.append(request.url))
        tab.goto(page.as_uri())
        tab.wait_for_selector("html[data-drawn]", state="attached", timeout=60_000)
        return tab

    yield visit
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def tab(visit):
    """The page as it opens on a desk."""
    return visit()


def test_nothing_leaves_the_page_and_nothing_goes_wrong(tab, page):
    assert tab.heard == [page.as_uri()]
    assert len(tab.query_selector_all(".chart svg")) == 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(visit, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed here")
    tab = visit(color_scheme=scheme, viewport={"width": 390, "height": 844})
    for details in tab.query_selector_all("details"):
        details.evaluate("each => each.open = true")
    violations = axe.Axe().run(tab).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in violations] == []


def test_curves_are_switched_by_keyboard(tab):
    button = tab.get_by_role("button", name="no replacement", exact=True)
    lines = ".chart >> nth=0 >> .mark-line path"
    shown = len(tab.query_selector_all(lines))
    for _ in range(60):
        tab.keyboard.press("Tab")
        if button.evaluate("each => each === document.activeElement"):
            break
    else:
        pytest.fail("the button cannot be reached by Tab")
    assert button.get_attribute("aria-pressed") == "true"
    tab.keyboard.press("Space")
    assert button.get_attribute("aria-pressed") == "false"
    tab.wait_for_function(
        "count => document.querySelectorAll('.chart')[0].querySelectorAll('.mark-line path').length === count",
        arg=shown - 1,
    )
    tab.keyboard.press("Enter")
    tab.wait_for_function(
        "count => document.querySelectorAll('.chart')[0].querySelectorAll('.mark-line path').length === count",
        arg=shown,
    )


def test_the_pointer_is_told_the_names_and_values_of_curves(visit):
    tab = visit()
    tab.get_by_role("button", name="layer 1", exact=True).click()
    box = tab.query_selector(".chart svg").bounding_box()
    tab.mouse.move(box["x"] + box["width"] - 8, box["y"] + 60)
    tab.mouse.move(box["x"] + box["width"] - 10, box["y"] + 70)
    tab.wait_for_selector("#vg-tooltip-element.visible")
    said = tab.inner_text("#vg-tooltip-element")
    assert "task 8" in said and "no replacement" in said and "60.5 [" in said
    assert "layer 1" not in said  # its curve is switched off


def test_a_phone_need_not_scroll_sideways(visit):
    tab = visit(viewport={"width": 360, "height": 740})
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360


def test_names_of_runs_are_printed_on_one_line(visit):
    tab = visit(viewport={"width": 700, "height": 1_000})
    tab.emulate_media(media="print")
    heights = tab.eval_on_selector_all(
        "h3 + .scroll td:first-child",
        "cells => cells.map(cell => { const range = document.createRange(); range.selectNodeContents(cell);"
        " return range.getClientRects().length; })",
    )
    assert len(heights) > 12 and set(heights) == {1}
