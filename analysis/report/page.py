"""The page as HTML: what it holds, in order, with its style sheet and its scripts."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files

import plasticity

from ..look import DASHES
from ..render import Table, html_table
from .curves import Figure

COLOURS = 9
"""The number of colours of curves in the style sheet."""

POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; form-action 'none'"
"""What the page may do: nothing that leaves it, and no `eval`."""

NO_SCRIPT = "<noscript><p class='note'>Curves need JavaScript. Their values are below.</p></noscript>"


@dataclass(frozen=True)
class Block:
    """A table under a heading of its own, with its notes.

    Attributes:
        title: the heading.
        table: the table.
        folded: whether it is shown only on demand.
        wraps: whether its cells hold sentences or commands, which are broken into lines.
        lacking: sentences on what it lacks, which are shown on demand.
    """

    title: str
    table: Table
    folded: bool = False
    wraps: bool = False
    lacking: Sequence[str] = ()


@dataclass(frozen=True)
class Part:
    """A part of the page.

    Attributes:
        title: its heading, from which its address follows.
        blocks: its tables.
        figures: its figures.
        said: sentences at its beginning.
    """

    title: str
    blocks: Sequence[Block] = ()
    figures: Sequence[Figure] = ()
    said: Sequence[str] = field(default_factory=list)

    @property
    def anchor(self) -> str:
        """Its name in the page's address."""
        return self.title.lower().replace(" ", "-")


def page(title: str, lead: Sequence[str], parts: Sequence[Part], script: str) -> str:
    """The whole page.

    Args:
        title: its heading.
        lead: sentences below that.
        parts: what it holds.
        script: the script that draws curves.
    """
    drawn = {figure.name: figure.plain() for part in parts for figure in part.figures}
    most = max((len(figure.lines) for part in parts for figure in part.figures), default=0)
    data = {"figures": drawn, "dashes": [dashes(line) for line in range(most)], "colours": COLOURS}
    links = "".join(f'<li><a href="#{part.anchor}">{escape(part.title)}</a></li>' for part in parts)
    scripts = [
        f'<script type="application/json" id="curves">{_inside(json.dumps(data, separators=(",", ":")))}</script>',
        f"<script>(() => {{{_closed(script)}}})();</script>",
        f"<script>{_file('page.js')}</script>",
    ]
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title><style>{_file('page.css')}</style></head><body>",
            '<a class="skip" href="#content">Skip to the content</a>',
            f"<header><h1>{escape(title)}</h1>{_notes(lead)}",
            f'<nav aria-label="Contents"><ul>{links}</ul></nav></header>',
            '<main id="content">',
            *map(_part, parts),
            "</main>",
            f"<footer>{_notes([f'Written by plasticity {plasticity.__version__}.'])}</footer>",
            *(scripts if drawn else []),
            "</body></html>\n",
        ]
    )


def dashes(line: int) -> list[float]:
    """The dashes of a curve; curves of the same colour have others."""
    return [float(length) for length in DASHES[(line + line // COLOURS) % len(DASHES)]]


def _part(part: Part) -> str:
    inner = [*map(_figure, part.figures), *map(_block, part.blocks)]
    name = part.anchor
    return "\n".join(
        [
            f'<section aria-labelledby="{name}"><h2 id="{name}">{escape(part.title)}</h2>',
            _notes(part.said),
            *inner,
            "</section>",
        ]
    )


def _block(block: Block) -> str:
    table = _table(block.table, block.title, block.wraps) + _notes(block.table.notes)
    if block.lacking:
        table += f"<details><summary>What is missing</summary>{_notes(block.lacking)}</details>"
    if block.folded:
        return f"<details><summary>{escape(block.title)}</summary>{table}</details>"
    return f"<h3>{escape(block.title)}</h3>{table}"


def _table(table: Table, name: str, wraps: bool = False) -> str:
    """A table that scrolls within itself, by keyboard, too."""
    kind = "scroll wraps" if wraps else "scroll"
    return f'<div class="{kind}" tabindex="0" role="region" aria-label="{escape(name)}">{html_table(table)}</div>'


def _figure(figure: Figure) -> str:
    """A figure before it is drawn: its legend, places for its panels, and some of its values."""
    title, single = escape(figure.title), " single" * (len(figure.panels) == 1)
    panels = "".join(
        f'<div class="panel">{f"<h4>{escape(panel.title)}</h4>" if panel.title else ""}'
        f'<div class="chart" data-panel="{number}"></div></div>'
        for number, panel in enumerate(figure.panels)
    )
    values = _table(figure.values(), f"Values: {figure.title}")
    legend = "".join(_switch(figure, line) for line in range(len(figure.lines)))
    return (
        f'<figure id="{escape(figure.name)}"><figcaption><h3>{title}</h3></figcaption>{NO_SCRIPT}'
        f'<fieldset class="legend"><legend>{escape(figure.legend)}</legend>{legend}</fieldset>'
        f'<div class="panels{single}">{panels}</div>{_notes(figure.said)}'
        f"<details><summary>Values</summary>{values}</details></figure>"
    )


def _switch(figure: Figure, line: int) -> str:
    """The button that switches a curve, with a sample of it; of a curve without runs, its name alone."""
    name = escape(figure.lines[line] or "mean")
    if line not in figure.there:
        return f'<span class="note">{name} (missing)</span>'
    stroke = " ".join(f"{2 * length:g}" for length in dashes(line)) or "none"
    return (
        f'<button type="button" data-line="{line}" aria-pressed="true" disabled>'
        '<svg width="32" height="8" aria-hidden="true"><line x1="0" x2="32" y1="4" y2="4" stroke-width="3" '
        f'stroke="var(--curve-{line % COLOURS})" stroke-dasharray="{stroke}"/></svg>{name}</button>'
    )


def _notes(sentences: Sequence[str]) -> str:
    return "".join(map(_note, sentences))


def _note(sentence: str) -> str:
    """A sentence; a command at its end stands apart, to be copied."""
    said, found, command = sentence.partition(": python ")
    if not found:
        return f'<p class="note">{escape(sentence)}</p>'
    return f'<p class="note">{escape(said)}:</p><pre>python {escape(command)}</pre>'


def _file(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


def _inside(data: str) -> str:
    """JSON that cannot end the script that it stands in."""
    return data.replace("<", "\\u003c")


def _closed(script: str) -> str:
    """A script that cannot end the element that it stands in; inside strings, the backslash changes nothing."""
    return script.replace("</script", "<\\/script")
