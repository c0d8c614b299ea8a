"""Methods, rules and batches on the base network."""

from typing import Any

NONE = {"replacement": {"layers": "none"}}
"""No unit is replaced."""

METHODS: dict[str, dict[str, Any]] = {
    "cbp": {},
    "none": NONE,
    "redo": {"replacement": {"name": "redo"}},
    "regrama": {"replacement": {"name": "regrama"}},
    "snr": {"replacement": {"name": "snr"}},
    "cpr": {"replacement": {"name": "cpr"}},
    "random": {"replacement": {"name": "random"}},
    "layer_norm": NONE | {"model": {"normalisation": "layer_norm"}},
    "l2_init": NONE | {"regulariser": {"name": "l2_init"}},
    "weight_clipping": NONE | {"constraint": {"name": "weight_clipping"}},
    "shrink_and_perturb": NONE | {"perturbation": {"name": "shrink_and_perturb"}},
    "shrink_and_perturb, every 100 steps": NONE
    | {"perturbation": {"name": "shrink_and_perturb", "every": 100, "shrink": 0.01, "noise": 0.01}},
    "adam": NONE | {"optimiser": {"name": "adam"}},
}
"""Replacement methods, in all layers; and the other methods as their recipes have them, without replacement."""

BATCHES: dict[str, dict[str, Any]] = {
    "1": {},
    "16": {"dataset": {"batch_size": 16}},
    "16, layer norm": {"dataset": {"batch_size": 16}, "model": {"normalisation": "layer_norm"}},
}
"""Sizes of batches, with continual backpropagation."""
