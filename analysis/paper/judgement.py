"""The paper's claims, judged on runs.

Cells of one seed share permutations and orders, so a contrast is taken within each seed that has all of its
cells, and Student's t test is applied to its values over those seeds. The networks of a claim are judged together:
p values are adjusted by Holm's method over its contrasts, each counted once, with differences and equivalences
adjusted separately.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import isinf, nan

import pandas as pd

from ..statistics import (
    EQUIVALENT,
    SIGNIFICANCE,
    UNDECIDED,
    Interval,
    fieller,
    holm,
    paired,
    seeds_to_decide,
    spread,
)
from . import NETWORKS, names
from .claims import ABSENT, CLAIMS, FAILS, MARGIN, Claim
from .contrasts import ComparedNetwork, Weights, fall


def findings(found: pd.DataFrame) -> pd.DataFrame:
    """A row for each claim and each network that it is about.

    Columns:
        claim: a key of `analysis.paper.claims.CLAIMS`.
        network: its name in Table 1.
        value, low, high: as `analysis.paper.claims.EXPLANATIONS` says; NaN where it is not available.
        p_different, p_equivalent: adjusted within the claim.
        verdict: "holds", "does not hold", "equivalent", "undecided", or "not computed" where fewer than two
            seeds have all the cells.
        seeds: number of seeds that have all the cells.
        needed: where undecided, the number of seeds that would decide it; missing where that would be too many.
        detail: further results, or the cells that are missing.

    Args:
        found: as returned by `analysis.paper.grid.cells`. Replacement sets that it lacks are missing for all seeds.
    """
    networks, adjusted = [ComparedNetwork(name, found) for name in NETWORKS], Adjusted()
    rows = [row for claim in CLAIMS for row in _judged(claim, networks, adjusted)]
    return pd.DataFrame(rows).astype({"needed": "Int64"})


@dataclass(frozen=True)
class Test:
    """The test of a claim's contrast on a network, before it is adjusted for other networks.

    Attributes:
        key: the contrast, as `analysis.paper.contrasts.ComparedNetwork.key` names it.
        above: whether the estimate is above 0; where a share is shown, its whole, too.
        p_different, p_equivalent: of both tests, unadjusted.
        observed, deviation: mean and standard deviation over seeds of what further seeds would decide.
        shown: the value and its interval.
        detail: further text.
    """

    key: frozenset[tuple[str, float]]
    above: bool
    p_different: float
    p_equivalent: float
    observed: float
    deviation: float
    shown: Interval
    detail: str = ""

    @classmethod
    def of(cls, claim: Claim, network: ComparedNetwork, weights: Weights) -> "Test | None":
        """The test; None with fewer than two seeds."""
        [values] = network.values(weights)
        if len(values) < 2:
            return None
        if claim.share is not None:
            return cls._of_share(claim, network, weights)
        estimate = paired(values)
        different, equivalent = estimate.p_different(), estimate.p_equivalent(MARGIN)
        above, shown = estimate.value > 0, estimate.interval()
        return cls(network.key(weights), above, different, equivalent, estimate.value, spread(values), shown)

    @classmethod
    def _of_share(cls, claim: Claim, network: ComparedNetwork, weights: Weights) -> "Test":
        """The share must be above half, and there must be a gap: the larger of their p values is that of both."""
        assert claim.share is not None
        half, part, whole = network.values(weights, claim.share.part, claim.share.whole)
        gap, ends = paired(whole), paired(whole).interval()
        decisive = whole if gap.value < 0 or gap.p_different() > paired(half).p_different() else half
        estimate, share = paired(decisive), fieller(part, whole)
        known = gap.value > 0 and not isinf(share.low)
        return cls(
            network.key(weights),
            gap.value > 0 and paired(half).value > 0,
            estimate.p_different(),
            gap.p_equivalent(MARGIN),
            estimate.value,
            spread(decisive),
            share if known else Interval(nan, nan, nan),
            f"gap {gap.value:.1f} [{ends.low:.1f}, {ends.high:.1f}]",
        )

    def verdict(self, claim: Claim, different: float, equivalent: float) -> str:
        """The verdict from adjusted p values."""
        if equivalent < SIGNIFICANCE:
            return EQUIVALENT
        if different < SIGNIFICANCE:
            return claim.above if self.above else claim.below
        return UNDECIDED

    def needed(self, contrasts: int, seeds: int) -> int | None:
        """Number of seeds, more than there are, that would decide it at the level of Holm's first step."""
        number = seeds_to_decide(self.deviation, self.observed, MARGIN, SIGNIFICANCE / contrasts)
        return None if number is None else max(number, seeds + 1)


@dataclass(frozen=True)
class Family:
    """Contrasts that are judged together.

    Attributes:
        claim: the claim that they belong to.
        different, equivalent: adjusted p values by contrast.
    """

    claim: str
    different: dict[frozenset[tuple[str, float]], float]
    equivalent: dict[frozenset[tuple[str, float]], float]


@dataclass
class Adjusted:
    """The families so far; a contrast belongs to the first claim that has it."""

    families: list[Family] = field(default_factory=list)

    def add(self, claim: str, tests: Sequence[Test]) -> None:
        """Adjusts those of the tests that belong to no family yet."""
        new = {test.key: test for test in tests if self.of(test.key) is None}
        different = holm([test.p_different for test in new.values()])
        equivalent = holm([test.p_equivalent for test in new.values()])
        self.families.append(
            Family(claim, dict(zip(new, different, strict=True)), dict(zip(new, equivalent, strict=True)))
        )

    def of(self, key: frozenset[tuple[str, float]]) -> Family | None:
        """The family of a contrast."""
        return next((family for family in self.families if key in family.different), None)


def _judged(key: str, networks: Sequence[ComparedNetwork], adjusted: Adjusted) -> Iterator[dict[str, object]]:
    """A claim's rows."""
    claim = CLAIMS[key]
    asked = [
        (network, weights)
        for network in networks
        if not (claim.without_relu and network.relu)
        if (weights := claim.contrast(network.depth)) is not None
    ]
    tests = [Test.of(claim, network, weights) for network, weights in asked]
    adjusted.add(key, [test for test in tests if test is not None])
    steps = steps_in_words(networks) if claim.with_steps else {}
    for (network, weights), test in zip(asked, tests, strict=True):
        seeds, said = network.values(weights).shape[1], steps.get(network.name, "")
        row: dict[str, object] = {"claim": key, "network": names(network.name)}
        family = adjusted.of(test.key) if test else None
        if test is None or family is None:
            nothing = dict.fromkeys(("value", "low", "high", "p_different", "p_equivalent"), nan)
            detail = _joined(_lacking(network.lacks(weights)), said)
            yield row | nothing | {"verdict": ABSENT, "seeds": seeds, "needed": None, "detail": detail}
            continue
        different, equivalent = family.different[test.key], family.equivalent[test.key]
        verdict = FAILS if "rises" in said else test.verdict(claim, different, equivalent)
        needed = test.needed(len(family.different), seeds) if verdict == UNDECIDED else None
        counted = f"counted in ({family.claim})" if family.claim != key else ""
        yield row | {
            "value": test.shown.estimate, "low": test.shown.low, "high": test.shown.high,
            "p_different": different, "p_equivalent": equivalent, "verdict": verdict, "seeds": seeds,
            "needed": needed, "detail": _joined(test.detail, said, counted),
        }  # fmt: skip


def steps_in_words(networks: Sequence[ComparedNetwork]) -> dict[str, str]:
    """How scores change from layer to layer, by network: "1→2 -11.7 falls, 2→3 -3.5 open, …".

    Adjusted over all steps of all networks. For two layers, the step is what the claim itself tests.
    """
    values = {
        (network.name, f"{upper}→{upper + 1}"): network.values(fall(upper, upper + 1, network.depth))[0]
        for network in networks
        if network.depth > 2
        for upper in range(1, network.depth)
    }
    estimates = {place: paired(own) for place, own in values.items() if len(own) > 1}
    different = dict(zip(estimates, holm([e.p_different() for e in estimates.values()]), strict=True))
    equivalent = dict(zip(estimates, holm([e.p_equivalent(MARGIN) for e in estimates.values()]), strict=True))

    def words(place: tuple[str, str]) -> str:
        if place not in estimates:
            return ABSENT
        change, word = -estimates[place].value, "open"
        if equivalent[place] < SIGNIFICANCE:
            word = "level"
        elif different[place] < SIGNIFICANCE:
            word = "falls" if change < 0 else "rises"
        return f"{change:+.1f} {word}"

    said: dict[str, list[str]] = {}
    for name, step in values:
        said.setdefault(name, []).append(f"{step} {words((name, step))}")
    return {name: ", ".join(parts) for name, parts in said.items()}


def _lacking(cells: str) -> str:
    return f"missing: {cells}" if cells else "one seed is too few"


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
