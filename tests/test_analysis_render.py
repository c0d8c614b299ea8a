import shutil
import subprocess

import pytest
from fabricate import put

from analysis import grid, summarise
from analysis.compare import compare, comparison
from analysis.layout import layout
from analysis.paper import COLUMNS
from analysis.render import Cell, Section, Table, render

AWKWARD = "100 % of $x_1 & {y}: #~^ \\ <b> – | “naïve” --seeds"


@pytest.fixture
def table(tmp_path):
    """Table 1 with the base network alone, and the comparison."""
    for column, score in zip(COLUMNS, (0.841, 0.831, 0.711, 0.681, 0.611), strict=True):
        put(tmp_path, "width_100", column, [score - 0.001, score, score + 0.001])
    return grid(summarise(tmp_path))


def test_text_is_aligned():
    small = Table(
        ["a", "b"], [Section("Title", [[Cell("longer"), Cell("1", True)], [Cell("x"), Cell("–")]])], ["Note."]
    )
    assert render(small, "text") == "a       b\n\nTitle\nlonger  _1_\nx       –\n\nNote.\n"


def test_markdown(table):
    said = render(layout(table, "std", 3, "few tasks"), "markdown")
    assert "| Network | All Layers | Layer 1 | Layer 2 | Layer 3 | Last Layer |" in said
    assert "| ReLU | 84.1 ± 0.1 | <u>83.1 ± 0.1</u> | 71.1 ± 0.1 |" in said
    assert "| **Varying Network Depths** |  |  |  |  |  |" in said
    assert {line.count("|") for line in said.splitlines() if line.startswith("|")} == {7}
    assert r"\| “naïve”" in render(Table(["a"], [], [AWKWARD]), "markdown")


def test_html(table):
    said = render(layout(table, "std", 3, "few tasks"), "html")
    assert "<td>ReLU</td><td>84.1 ± 0.1</td><td><u>83.1 ± 0.1</u></td>" in said
    assert said.count("<tr>") == 1 + 4 + 14
    assert "$x_1 &amp; {y}: #~^ \\ &lt;b&gt;" in render(Table(["a"], [], [AWKWARD]), "html")


def test_latex_has_six_columns(table):
    source = render(layout(table, "std", 3, "few tasks"), "latex")
    assert r"\usepackage{booktabs" in source
    assert r"\begin{tabular}{lccccc}" in source
    assert [source.count(rf"\{rule}rule") for rule in ("top", "mid", "bottom")] == [1, 4, 1]
    rows = [line for line in source.splitlines() if line.endswith(r" \\")]
    assert len(rows) == 15
    assert {row.count("&") for row in rows} == {5}
    assert r"ReLU & 84.1 $\pm$ 0.1 & \underline{83.1 $\pm$ 0.1} & 71.1" in source


@pytest.mark.skipif(
    shutil.which("pdflatex") is None, reason="pdflatex is not installed: no LaTeX is compiled"
)
@pytest.mark.parametrize("compared", [False, True])
def test_latex_compiles(table, tmp_path, compared):
    shown = comparison(compare(table)) if compared else layout(table, "std", 3, "few tasks")
    shown.notes.append(AWKWARD)
    (tmp_path / "table.tex").write_text(render(shown, "latex"))
    program = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "table.tex"]
    answer = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout
    assert "Overfull" not in answer.stdout
    assert (tmp_path / "table.pdf").stat().st_size > 10_000
