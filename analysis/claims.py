"""The paper's claims as tests on runs.

A claim is judged for each network by the 95 % interval of a difference between cell means over seeds
(`analysis.statistics.contrast`). It holds where the interval lies on the claim's side, it does not hold where
the interval lies on the other side, and where the interval has both, or a cell has fewer than two seeds, the
seeds are too few to tell. With three seeds only differences of several standard deviations can be told.
Each interval errs once in 20 times, on its own: of many verdicts, expect some to be chance.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import nan

import numpy as np
import pandas as pd

from analysis.paper import INDIVIDUAL, NETWORKS, declared, names
from analysis.statistics import Interval, Sample, contrast, rank_correlation

HOLDS, FAILS, OPEN = "holds", "does not hold", "too few seeds"

CLOSE = 0.8
"""Share of the gap between no replacement and all layers that counts as close to all layers."""

HELP = 1.0
"""Percentage points by which continual backpropagation has to raise the score to count as help."""

CLAIMS = {
    "a": "The deeper the layer, the less replacement helps",
    "b": "Layer 1 alone comes close to all layers",
    "c": "Layer 1 beats layers 2 to L together",
    "d": "Continual backpropagation does not help networks without ReLU",
}

EXPLANATIONS = (
    "(a) Value: layer 1 less the last layer. ρ: rank correlation of layer and score over all runs. Adjacent "
    "layers fall or rise where the 95 % interval of their difference leaves 0 out. Holds: value above 0, ρ "
    "below 0, and no pair rises.",
    "(b) Value: share of the gap between no replacement and all layers that layer 1 closes. "
    f"Holds: above {CLOSE:.0%}; judged only where all layers are above no replacement.",
    "(c) Value: layer 1 less layers 2 to L. Holds: above 0.",
    f"(d) Value: all layers less no replacement. Holds: below {HELP:g}.",
    "Values, with 95 % intervals (Welch), are in percentage points, but for the share. Too few seeds: fewer "
    "than 2 in a cell, or an interval that has both answers. No replacement: at the step size of continual "
    "backpropagation.",
)

Scores = Mapping[str, np.ndarray]
"""Scores of a network's runs in percent, by replacement set: [seeds] each."""


@dataclass(frozen=True)
class Finding:
    """A claim, judged for a network.

    Attributes:
        value, low, high: the statistic and its 95 % interval; NaN where it cannot be had.
        detail: what else was looked at.
        verdict: "holds", "does not hold" or "too few seeds".
    """

    value: float = nan
    low: float = nan
    high: float = nan
    detail: str = ""
    verdict: str = OPEN


def findings(found: pd.DataFrame) -> pd.DataFrame:
    """A row per claim and network.

    Columns:
        claim: a key of `CLAIMS`.
        network: its name in Table 1.
        value, low, high, detail, verdict: as in `Finding`; `EXPLANATIONS` says what the value is.
        seeds: the smallest number of seeds with a score among the cells that the claim needs.

    Args:
        found: as from `analysis.grid.cells`, with all of `analysis.paper.LAYERS`.
    """
    rows = []
    for claim, (judge, needed) in _JUDGES.items():
        for network in NETWORKS:
            base = declared(network)
            if claim == "d" and base.activation.name == "relu":
                continue
            scores = _scores(found[found["network"] == network])
            seeds = min(len(scores[cell]) for cell in needed if cell in scores)
            finding = judge(scores, len(base.model.hidden_units)) if seeds >= 2 else Finding()
            rows.append({"claim": claim, "network": names(network)} | vars(finding) | {"seeds": seeds})
    return pd.DataFrame(rows)


def _scores(found: pd.DataFrame) -> Scores:
    """A network's scores in percent. Sets that name a layer which the network lacks are not among them."""
    return {
        str(replacement): (100 * cell["score"].dropna()).to_numpy(float)
        for replacement, cell in found.groupby("replacement")
    }


def _deeper(scores: Scores, depth: int) -> Finding:
    """(a) Along the layers, the first to the last."""
    named = {1: "layer_1", 2: "layer_2", 3: "layer_3"}
    cells = {layer: scores[cell] for layer, cell in named.items() if layer < depth} | {depth: scores["last"]}
    points = [(layer, score) for layer, cell in cells.items() for score in cell]
    rho = rank_correlation(*zip(*points, strict=True))
    pairs = {
        f"{upper}→{lower}": _difference(cells[upper], cells[lower])
        for upper, lower in zip(cells, list(cells)[1:], strict=False)
    }
    words = {HOLDS: "falls", FAILS: "rises", OPEN: "within seeds"}
    changes = {pair: words[_side(difference)] for pair, difference in pairs.items()}
    overall = _difference(cells[1], cells[depth])
    verdict = _side(overall)
    if "rises" in changes.values():
        verdict = FAILS
    elif verdict == HOLDS and not rho < 0:
        verdict = OPEN
    detail = f"ρ = {rho:.2f}; " + ", ".join(f"{pair} {change}" for pair, change in changes.items())
    return Finding(overall.estimate, overall.low, overall.high, detail, verdict)


def _close(scores: Scores, depth: int) -> Finding:
    """(b) The share of the gap, with its interval by the delta method."""
    gap = _difference(scores["all"], scores["none"])
    gain = f"all layers less no replacement: {gap.estimate:.1f} [{gap.low:.1f}, {gap.high:.1f}]"
    if gap.low <= 0:
        return Finding(detail=gain, verdict=FAILS if gap.high < 0 else OPEN)
    every, none, first = (Sample.of(scores[cell]) for cell in ("all", "none", "layer_1"))
    share = (first.mean - none.mean) / gap.estimate
    weights = [(1 / gap.estimate, first), (-share / gap.estimate, every), ((share - 1) / gap.estimate, none)]
    spread = contrast(weights)
    low, high = share + spread.low, share + spread.high
    return Finding(share, low, high, gain, _side(Interval(share, low, high), CLOSE))


def _beats(scores: Scores, depth: int) -> Finding:
    """(c) Layer 1 against all the others."""
    difference = _difference(scores["layer_1"], scores["except_first"])
    return Finding(difference.estimate, difference.low, difference.high, verdict=_side(difference))


def _no_help(scores: Scores, depth: int) -> Finding:
    """(d) All layers against none."""
    gain = _difference(scores["all"], scores["none"])
    verdict = {HOLDS: FAILS, FAILS: HOLDS, OPEN: OPEN}[_side(gain, HELP)]
    return Finding(gain.estimate, gain.low, gain.high, verdict=verdict)


def _difference(first: np.ndarray, second: np.ndarray) -> Interval:
    return contrast([(1, Sample.of(first)), (-1, Sample.of(second))])


def _side(interval: Interval, threshold: float = 0.0) -> str:
    """The verdict on the claim that something is above a threshold."""
    return HOLDS if interval.low > threshold else FAILS if interval.high < threshold else OPEN


_JUDGES: dict[str, tuple[Callable[[Scores, int], Finding], tuple[str, ...]]] = {
    "a": (_deeper, INDIVIDUAL),
    "b": (_close, ("all", "layer_1", "none")),
    "c": (_beats, ("layer_1", "except_first")),
    "d": (_no_help, ("all", "none")),
}
"""How each claim is judged, and the cells that it takes."""
