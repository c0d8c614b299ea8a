import shutil
import subprocess

import pytest
from fabricate import put

from analysis import summarise
from analysis.paper import COLUMNS, COMPARISON, GRID, TABLE
from analysis.paper.grid import as_cells, cells
from analysis.render import Cell, Section, Table, render
from analysis.tables.beside import comparison
from analysis.tables.layout import described, layout
from analysis.tables.measure import Measure
from analysis.tables.published import compare
from analysis.tables.summary import summarised, with_best

AWKWARD = "100 % of $x_1 & {y}: #~^ \\ <b> – | “naïve” --seeds"


@pytest.fixture
def found(tmp_path):
    """The runs of the base network alone."""
    for column, score in zip(COLUMNS, (0.841, 0.831, 0.711, 0.681, 0.611), strict=True):
        put(tmp_path, "width_100", column, [score - 0.001, score, score + 0.001])
    return cells(summarise(tmp_path))


@pytest.fixture
def table(found):
    """Table 1 of them."""
    return table_1(found)


def table_1(found):
    summary = with_best(summarised(as_cells(found), GRID, 100, "std"), "row", TABLE.among, 1, higher=True)
    legend = described(Measure("online accuracy", True, True, "few tasks"), "std")
    return layout(summary, GRID, "std", 1, legend, TABLE.best_is)


def test_text_is_aligned():
    small = Table(
        ["a", "b"], [Section("Title", [[Cell("longer"), Cell("1", True)], [Cell("x"), Cell("–")]])], ["Note."]
    )
    assert render(small, "text") == "a       b\n\nTitle\nlonger  _1_\nx       –\n\nNote.\n"


def test_markdown(table):
    said = render(table, "markdown")
    assert "| Network | All Layers | Layer 1 | Layer 2 | Layer 3 | Last Layer |" in said
    assert "| ReLU | 84.1 ± 0.1 | <u>83.1 ± 0.1</u> | 71.1 ± 0.1 |" in said
    assert "| **Varying Network Depths** |  |  |  |  |  |" in said
    assert {line.count("|") for line in said.splitlines() if line.startswith("|")} == {7}
    assert r"\| “naïve”" in render(Table(["a"], [], [AWKWARD]), "markdown")


def test_html(table):
    said = render(table, "html")
    assert "<td>ReLU</td><td>84.1 ± 0.1</td><td><u>83.1 ± 0.1</u></td>" in said
    assert said.count("<tr>") == 1 + 4 + 14
    assert "$x_1 &amp; {y}: #~^ \\ &lt;b&gt;" in render(Table(["a"], [], [AWKWARD]), "html")


def test_latex_is_a_table_of_six_columns(table):
    source = render(table, "latex")
    lines = source.splitlines()
    assert lines[0] == r"% Needs \usepackage{booktabs}."
    assert lines[1].startswith("% Mean online accuracy over few tasks, in percent, ± population")
    assert (lines[2], lines[-1]) == (r"\begin{tabular}{lccccc}", r"\end{tabular}")
    assert [source.count(rf"\{rule}rule") for rule in ("top", "mid", "bottom")] == [1, 4, 1]
    rows = [line for line in lines if line.endswith(r" \\")]
    assert len(rows) == 15
    assert {row.count("&") for row in rows} == {5}
    assert r"ReLU & 84.1 $\pm$ 0.1 & \underline{83.1 $\pm$ 0.1} & 71.1" in source


def test_standalone_latex_is_a_document_with_notes(table):
    source = render(table, "latex", standalone=True)
    assert source.startswith("\\documentclass{article}\n") and source.endswith("\\end{document}\n")
    assert r"\footnotesize Mean online accuracy over few tasks" in source
    assert "%" not in source.replace(r"\%", "")


def test_latex_breaks_long_texts_into_lines_and_turns_wide_documents():
    row = [Cell("name"), Cell("x" * 45), Cell("x" * 46), *[Cell("x")] * 5]
    wide = Table(["a"] * 8, [Section("", [row])])
    source = render(wide, "latex", standalone=True)
    assert r"\begin{tabular}{lcp{0.25\linewidth}ccccc}" in source
    assert "[margin=2cm,landscape]{geometry}" in source
    assert r"\begin{tabular}{l}" in render(Table(["a"], []), "latex")
    assert "% one two\n" in render(Table(["a"], [], ["one\ntwo"]), "latex")  # all of it is a comment
    assert "[margin=2cm]{geometry}" in render(Table(["a"], []), "latex", standalone=True)
    few_but_long = Table(["a", *["+2.1 [+1.0, +3.2] undecided"] * 4], [])
    assert "landscape" in render(few_but_long, "latex", standalone=True)


def test_latex_has_minus_signs_and_hyphens():
    source = render(Table(["-0.7 [-1.5, +0.1]", "1e-05", "--margin", "1→2 -3.0"], []), "latex")
    assert r"$-$0.7 [$-$1.5, +0.1] & 1e{-}05 & {-}{-}margin & 1$\to$2 $-$3.0 \\" in source


@pytest.mark.skipif(
    shutil.which("pdflatex") is None, reason="pdflatex is not installed: no LaTeX is compiled"
)
@pytest.mark.parametrize("standalone", [False, True])
@pytest.mark.parametrize("compared", [False, True])
def test_latex_compiles(found, tmp_path, compared, standalone):
    shown = comparison(compare(as_cells(found), COMPARISON), COMPARISON) if compared else table_1(found)
    shown.notes.append(AWKWARD)
    (tmp_path / "table.tex").write_text(render(shown, "latex", standalone))
    if not standalone:
        packages = r"\usepackage[margin=1cm]{geometry}\usepackage{booktabs,longtable}"
        document = (
            rf"\documentclass{{article}}{packages}\begin{{document}}\small\input{{table}}\end{{document}}"
        )
        (tmp_path / "document.tex").write_text(document)
    name = "table" if standalone else "document"
    program = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", f"{name}.tex"]
    answer = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout
    assert compared or "Overfull" not in answer.stdout
    assert (tmp_path / f"{name}.pdf").stat().st_size > 10_000
