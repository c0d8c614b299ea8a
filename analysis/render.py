"""Tables as people read them: plain text, Markdown, LaTeX or HTML."""

import html as html_module
import re
from dataclasses import dataclass, field

FORMATS = ("text", "markdown", "latex", "html")


@dataclass(frozen=True)
class Cell:
    """A text, which may be underlined."""

    text: str
    underlined: bool = False


@dataclass(frozen=True)
class Section:
    """Rows under a title of their own; an empty title is not shown."""

    title: str
    rows: list[list[Cell]]


@dataclass(frozen=True)
class Table:
    """What to show.

    Attributes:
        columns: titles; the first column is flush left, the others are centred where the format can.
        sections: the rows.
        notes: sentences below the table.
    """

    columns: list[str]
    sections: list[Section]
    notes: list[str] = field(default_factory=list)

    @property
    def rows(self) -> list[list[Cell]]:
        """The rows of all sections."""
        return [row for section in self.sections for row in section.rows]


def render(table: Table, form: str, standalone: bool = False) -> str:
    """The table in one of `FORMATS`, ending in a newline; `standalone` makes LaTeX a whole document."""
    if form == "latex":
        return latex(table, standalone)
    return {"text": text, "markdown": markdown, "html": html}[form](table)


def text(table: Table) -> str:
    """Aligned columns, with _underlined_ cells."""
    body = [[f"_{cell.text}_" if cell.underlined else cell.text for cell in row] for row in table.rows]
    widths = [max(map(len, column)) for column in zip(table.columns, *body, strict=True)]

    def line(values: list[str]) -> str:
        return "  ".join(value.ljust(width) for value, width in zip(values, widths, strict=True)).rstrip()

    lines, rest = [line(table.columns)], iter(body)
    for section in table.sections:
        lines += ["", section.title] if section.title else []
        lines += [line(next(rest)) for _ in section.rows]
    return "\n".join([*lines, *([""] if table.notes else []), *table.notes]) + "\n"


def markdown(table: Table) -> str:
    """A GitHub table, with sections as rows in bold and <u>underlined</u> cells."""

    def line(values: list[str]) -> str:
        return f"| {' | '.join(values)} |"

    def shown(cell: Cell) -> str:
        escaped = _markdown(cell.text)
        return f"<u>{escaped}</u>" if cell.underlined else escaped

    width = len(table.columns)
    lines = [line(table.columns), line([":--", *[":-:"] * (width - 1)])]
    for section in table.sections:
        lines += [line([f"**{section.title}**", *[""] * (width - 1)])] if section.title else []
        lines += [line([shown(cell) for cell in row]) for row in section.rows]
    return "\n".join([*lines, *[part for note in table.notes for part in ("", _markdown(note))]]) + "\n"


def latex(table: Table, standalone: bool = False) -> str:
    r"""A table to \input, with its notes as comments, or a whole document that compiles as it stands.

    A table longer than a page spans pages.
    """
    environment = "tabular" if len(table.rows) <= _LATEX_PAGE else "longtable"
    packages = "booktabs" if environment == "tabular" else "booktabs,longtable"
    body = "\n".join(_latex_rows(table, environment))
    if not standalone:
        notes = "".join(f"% {' '.join(note.split())}\n" for note in table.notes)
        return f"% Needs \\usepackage{{{packages}}}.\n{notes}{body}\n"
    notes = "".join(f"\n\n\\smallskip\\noindent\\footnotesize {_latex(note)}" for note in table.notes)
    return (
        "\\documentclass{article}\n"
        f"\\usepackage[margin=2cm{',landscape' if _is_wide(table) else ''}]{{geometry}}\n"
        f"\\usepackage{{{packages}}}\n"
        "\\pagestyle{empty}\n"
        "\\begin{document}\n"
        f"\\noindent\\small\n{body}{notes}\n"
        "\\end{document}\n"
    )


def _is_wide(table: Table) -> bool:
    """Whether a table does not fit on an upright page."""
    columns = zip(table.columns, *[[cell.text for cell in row] for row in table.rows], strict=True)
    characters = sum(2 + min(max(map(len, column)), _LATEX_LINE) for column in columns)
    return len(table.columns) > _LATEX_WIDTH or characters > _LATEX_CHARACTERS


def _latex_rows(table: Table, environment: str) -> list[str]:
    """The lines of a tabular or longtable."""

    def line(values: list[str]) -> str:
        return " & ".join(values) + r" \\"

    def shown(cell: Cell) -> str:
        return rf"\underline{{{_latex(cell.text)}}}" if cell.underlined else _latex(cell.text)

    width = len(table.columns)
    columns = zip(*[[cell.text for cell in row] for row in table.rows], strict=True)
    wide = [max(map(len, column)) > _LATEX_LINE for column in columns] or [False] * width
    form = "l" + "".join(r"p{0.25\linewidth}" if long else "c" for long in wide[1:])
    lines = [rf"\begin{{{environment}}}{{{form}}}", r"\toprule"]
    lines += [line([_latex(title) for title in table.columns])]
    for section in table.sections:
        lines.append(r"\midrule")
        if section.title:
            lines.append(rf"\multicolumn{{{width}}}{{l}}{{\textit{{{_latex(section.title)}}}}} \\*")
        lines += [line([shown(cell) for cell in row]) for row in section.rows]
    return [*lines, r"\bottomrule", rf"\end{{{environment}}}"]


def html(table: Table) -> str:
    """A whole page."""
    lines = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8"><title>Table</title><style>',
        "body { font-family: sans-serif } table { border-collapse: collapse }",
        "th, td { padding: 0.2em 0.8em; text-align: center }",
        "td:first-child, th:first-child { text-align: left }",
        "thead, tbody { border-bottom: 1px solid } thead { border-top: 1px solid }",
        "</style></head><body>",
        html_table(table),
    ]
    notes = [f"<p>{html_module.escape(note)}</p>" for note in table.notes]
    return "\n".join([*lines, *notes, "</body></html>"]) + "\n"


def html_table(table: Table, caption: str = "") -> str:
    """The table alone, without its notes, as a part of a page."""

    def shown(cell: Cell) -> str:
        escaped = html_module.escape(cell.text)
        return f"<td>{f'<u>{escaped}</u>' if cell.underlined else escaped}</td>"

    heads = "".join(f'<th scope="col">{html_module.escape(title)}</th>' for title in table.columns)
    named = f"<caption>{html_module.escape(caption)}</caption>" if caption else ""
    lines = [f"<table>{named}<thead><tr>{heads}</tr></thead>"]
    for section in table.sections:
        title = html_module.escape(section.title)
        head = f'<tr><th colspan="{len(table.columns)}" scope="rowgroup">{title}</th></tr>'
        lines.append("<tbody>")
        lines += [head] if title else []
        lines += [f"<tr>{''.join(map(shown, row))}</tr>" for row in section.rows]
        lines.append("</tbody>")
    return "\n".join([*lines, "</table>"])


_LATEX_PAGE = 45
"""Rows that fit on a page."""

_LATEX_WIDTH = 7
"""Columns that fit on an upright page."""

_LATEX_CHARACTERS = 105
"""Characters of a row that do."""

_LATEX_LINE = 45
"""Characters of a cell beyond which it is broken into lines."""

_LATEX = {
    **{character: "\\" + character for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "-": "{-}",  # so that two do not make a dash
    "±": r"$\pm$",
    "×": r"$\times$",
    "−": "$-$",
    "–": "--",
    "→": r"$\to$",
    "ρ": r"$\rho$",
    "√": r"$\surd$",
    "…": r"\ldots{}",
    "’": "'",
}


def _latex(value: str) -> str:
    """Text with LaTeX's special characters escaped; characters that it does not have become "?"."""
    value = re.sub(r"(?<![\w)-])-(?=\d)", "−", value)  # a minus, and not a hyphen
    return "".join(_LATEX.get(character, character if character.isascii() else "?") for character in value)


def _markdown(value: str) -> str:
    return re.sub(r"([\\|*_<>`])", r"\\\1", value)
