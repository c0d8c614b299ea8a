"""What the site shows beside its pages: parts and keys, read from the package; results; formulas as MathML.

A page asks for a piece with a comment of its own, such as `<!-- parts: activation -->`, so that it also reads well
where comments are left out.
"""

import html
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import latex2mathml.converter
import reference
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
PIECE = re.compile(r"^<!-- (\w+)(?:: ([\w./ ]+))? -->$", re.MULTILINE)
IMAGE = re.compile(r'<p><img alt="([^"]*)" src="([^"]*)" ?/?></p>')
BAR = re.compile(r"<mo(?: [^>]*)?>(&#x0007C;|&#x02016;)</mo>")
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)
LOADED = re.compile(r'<(?:script|img|link|iframe)\b[^>]*\b(?:src|href)="?https?://[^>]*>')
TAKEN = {
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "reproducing.md": "results/README.md",
    "notebook.py": "examples/first_hour.py",
}
"""Pages that are files of the repository, too, by their name on the site."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the repository's own files, and the figures."""
    for name, path in TAKEN.items():
        files.append(File.generated(config, name, content=(ROOT / path).read_text(encoding="utf-8")))
    for figure in sorted((ROOT / "results" / "figures").glob("*.png")):
        files.append(File.generated(config, f"figures/{figure.name}", abs_src_path=str(figure)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Puts the pieces that a page asks for in its place."""
    return PIECE.sub(lambda found: PIECES[found[1]](found[2] or ""), markdown)


def on_page_content(content: str, **_: Any) -> str:
    """Formulas become MathML, which browsers draw without a script; figures get their captions."""
    return FORMULA.sub(_drawn, IMAGE.sub(_captioned, content))


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Refuses a page that would load anything from elsewhere.

    Raises:
        PluginError: naming the page and what it would load.
    """
    if found := LOADED.search(output):
        raise PluginError(f"{page.file.src_uri} loads {found[0]}")
    return output


def _drawn(found: re.Match[str]) -> str:
    display = "block" if found[1] == "div" else "inline"
    formula = latex2mathml.converter.convert(html.unescape(found[2]), display=display)
    # Bars enclose and relate nothing, so there is no space around them.
    return BAR.sub(r'<mo stretchy="false" lspace="0" rspace="0">\1</mo>', formula)


def _captioned(found: re.Match[str]) -> str:
    """A figure with what it shows below it, as a link to itself: on a phone, it has to be enlarged."""
    alt, source = found.groups()
    image = f'<a href="{source}"><img alt="{alt}" src="{source}"></a>'
    return f"<figure>{image}<figcaption>{alt}.</figcaption></figure>"


def _file(path: str) -> str:
    text = (ROOT / path).read_text(encoding="utf-8")
    return text if path.endswith(".md") else f"```text\n{text}```"


PIECES: dict[str, Callable[[str], str]] = {
    "parts": reference.parts,
    "keys": lambda _: reference.keys(),
    "methods": lambda _: reference.methods(),
    "choices": lambda group: reference.choices(group),
    "file": _file,
}
