"""The script that draws curves, packed by vl-convert."""

from importlib.metadata import version

from plasticity.errors import UserError
from plasticity.machine.files import atomic_write
from plasticity.machine.folders import cache


def script() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, which defines `vegaEmbed`.

    Packing takes seconds, so it is done once for each version and kept in the user's cache.

    Raises:
        UserError: when vl-convert is not installed.
    """
    try:
        import vl_convert
    except ImportError as error:
        raise UserError('A report needs vl-convert: pip install "plasticity[report]" installs it.') from error
    path = cache() / "report" / f"vega-{version('vl-convert-python')}.js"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    packed: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, packed)
    except OSError:
        pass  # a cache that cannot be written to only costs time
    return packed
