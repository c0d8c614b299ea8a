"""The paper's claims, and one beyond them, each as a contrast that is tested on every network."""

from collections.abc import Callable
from dataclasses import dataclass

from ..statistics import CONFIDENCE, POWER, SIGNIFICANCE
from . import TABLE, declared
from .contrasts import Weights, fall

HOLDS, FAILS, ABSENT = "holds", "does not hold", "not computed"

MARGIN = TABLE.margin
"""The smallest difference between scores that counts, in percentage points.

It separates what the paper treats as an effect from what it treats as none: in its Table 1 the columns of a ReLU
network span at least 4.6 points, and those of SELU and tanh, where replacement is said to have no effect, at most
0.6.
"""

BASELINES = {
    "none": "no replacement at the same step size",
    "tuned_bp": "backpropagation at its own step size",
}
"""The baselines that replacement is compared with, by replacement set."""


@dataclass(frozen=True)
class Share:
    """The share that a part has of a whole; both are contrasts."""

    part: Weights
    whole: Weights


@dataclass(frozen=True)
class Claim:
    """A claim about networks.

    Attributes:
        title: the claim in words.
        contrast: the contrast to test against 0, by the depth of the network; None where the claim says nothing
            about such a network.
        above, below: the verdict where the contrast is shown to be above or below 0.
        share: the share to show in place of the contrast. The claim then holds only if the whole is above 0, too.
        with_steps: whether the steps from layer to layer are tested, too; one that rises contradicts the claim.
        without_relu: whether the claim is about networks without ReLU only.
    """

    title: str
    contrast: Callable[[int], Weights | None]
    above: str = HOLDS
    below: str = FAILS
    share: Share | None = None
    with_steps: bool = False
    without_relu: bool = False


def _most_of_the_gap(baseline: str) -> Claim:
    """Layer 1 is above the midpoint between the baseline and all layers."""
    return Claim(
        f"Layer 1 alone closes most of the gap between {BASELINES[baseline]} and all layers",
        lambda depth: {"layer_1": 1.0, "all": -0.5, baseline: -0.5},
        share=Share({"layer_1": 1.0, baseline: -1.0}, {"all": 1.0, baseline: -1.0}),
    )


def _no_help(baseline: str) -> Claim:
    """Replacement in all layers does not score above the baseline."""
    return Claim(
        f"Continual backpropagation does not help networks without ReLU, against {BASELINES[baseline]}",
        lambda depth: {"all": 1.0, baseline: -1.0},
        above=FAILS,
        below=HOLDS,
        without_relu=True,
    )


CLAIMS = {
    "a1": Claim(
        "The deeper the layer, the less its replacement helps",
        lambda depth: fall(1, depth, depth),
        with_steps=True,
    ),
    "a2": Claim(
        "The deeper the layer, the less its replacement helps, from layer 2 on",
        lambda depth: fall(2, depth, depth) if depth > 2 else None,
    ),
    "b1": _most_of_the_gap("none"),
    "b2": _most_of_the_gap("tuned_bp"),
    "b3": Claim(
        "Layer 1 alone scores what all layers score",
        lambda depth: {"all": 1.0, "layer_1": -1.0},
        above=FAILS,
    ),
    "c": Claim(
        "Layer 1 beats layers 2 to L together",
        lambda depth: {"layer_1": 1.0, "except_first": -1.0},
    ),
    "d1": _no_help("none"),
    "d2": _no_help("tuned_bp"),
    "e": Claim(
        "Beyond the paper: continual backpropagation beats weight decay",
        lambda depth: {"all": 1.0, "tuned_l2": -1.0},
    ),
}

EXPLANATIONS = (
    "A value is the mean over seeds of what each seed gives, in percentage points, with Student's "
    f"{CONFIDENCE:.0%} interval, which stands on its own. p: of the t test against 0 (differs) and of two "
    f"one-sided tests against a difference of {MARGIN:g} point or more (equivalent), adjusted by Holm's "
    "method over the networks of the claim; a contrast that comes twice is counted once.",
    f"Verdicts, at {SIGNIFICANCE:.0%}: equivalent, where the value is shown to lie within ± {MARGIN:g} "
    "point, too little to count; else holds or does not hold, where it is shown to lie on one side of 0; "
    f"else undecided, with the number of seeds that would decide it with a chance of {POWER:.0%} if they "
    "spread as these do (after 3 seeds a rough guess) and the true difference is the one seen or, where "
    f"that is within ± {MARGIN:g} point, 0 or {MARGIN:g} point.",
    f"The margin of {MARGIN:g} point lies between what the paper takes for an effect (the columns of a ReLU "
    "row of its Table 1 span at least 4.6 points) and what it takes for none (SELU and tanh: at most 0.6).",
    "(a1, a2) Value: how far the least-squares line through the scores of the layers falls from the first "
    "of them to the last. Steps: a layer minus the one above it, with Holm's method over all steps of all "
    "networks: level, where they are equivalent; else falls or rises, where that is shown; else open. A "
    f"step that rises contradicts. Line and steps are each judged at {SIGNIFICANCE:.0%}. A line that falls "
    "does not mean that each step does.",
    "(b1, b2) Value: the share of the gap that layer 1 closes, with Fieller's interval. Holds: more than "
    "half, so that layer 1 gives more than all other layers add to it, and a gap above 0. Equivalent: no "
    "gap to close; that is (d1, d2)'s test, adjusted here over all networks.",
    "(b3) Value: all layers minus layer 1. The claim is that they are equivalent. It does not hold where a "
    f"difference is shown, which need not be shown to be more than {MARGIN:g} point: see the interval.",
    "(c) Value: layer 1 minus layers 2 to L.",
    "(d1, d2) Value: all layers minus the baseline. Both equivalent and holds say that it does not help.",
    "(e) Value: all layers minus no replacement with weight decay at its own step size and strength.",
    "Networks share their seeds and differ in one property: each is judged on its own, and they do not "
    "replicate one another.",
)


def needed(network: str) -> list[str]:
    """The replacement sets that the claims compare on a network.

    Args:
        network: a file in `conf/tuned/`.
    """
    base = declared(network)
    relu = base.activation.name == "relu"
    asked = [
        claim.contrast(len(base.hidden_units))
        for claim in CLAIMS.values()
        if not (relu and claim.without_relu)
    ]
    return list(dict.fromkeys(replacement for weights in asked for replacement in weights or ()))
