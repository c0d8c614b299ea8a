"""What is done to parameters in a step: regularisers, optimisers, perturbations, constraints; each and together."""

from collections import Counter
from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
import torch

from plasticity import Run
from plasticity.composition.compose import experiment
from plasticity.composition.methods import method_name, recipes
from plasticity.constraints import WeightClipping
from plasticity.engines.reference import ReferenceLearner
from plasticity.errors import ConfigError
from plasticity.networks.layer import places
from plasticity.networks.network import Network, initial_network
from plasticity.optimisers import SGD, UPGD, Adam
from plasticity.perturbations import NoPerturbation, WeightReinitialisation
from plasticity.regularisers import L2Init, NoRegulariser, Parseval, Spectral
from plasticity.streams import Purpose, standard_normal, uniform, words
from tests.dense_oracle import DenseOracle, assert_close, examples, take
from tests.oracle import Pictures
from tests.updates import adam_of_torch

STEPS = 40
OFTEN = {"name": "cbp", "rate": 0.05, "maturity_threshold": 4, "decay_rate": 0.9}


def made(**parts) -> Run:
    """A run of batches of 4, whose second hidden layer has more units than inputs; units are replaced often."""
    return Run(**{
        "model": {"name": "mlp", "widths": [7, 9], "normalisation": "layer_norm"},
        "dataset": Pictures(outputs=3, batch_size=4, examples_per_task=4 * STEPS),
        "optimiser": {"name": "sgd", "step_size": 0.05},
        "replacement": OFTEN,
        "seed": 2,
    } | parts)  # fmt: skip


class RuleOracle(DenseOracle):
    """All rules in NumPy and double precision, in the order within a step. It keeps what they remember itself."""

    def __init__(self, run: Run, network: Network):
        super().__init__(run, network)
        self.start = {name: array.copy() for name, array in self.p.items()}
        self.kept: dict[str, dict[str, np.ndarray]] = {}
        self.v = {
            name: np.full(array.shape[1], array.shape[1] ** -0.5)
            for name, array in self.p.items()
            if name.startswith("weights")
        }

    def step(self, x, classes, number):
        chosen = super().step(x, classes, number)
        self.clip()
        return chosen

    def descend(self, gradients, number):
        total = {name: gradients[name] + self.pull(name) for name in self.p}
        self.move(total, number)
        self.perturb(gradients, number)

    def forget(self, layer, unit):
        """Clears what is remembered of each weight of a unit made anew, and of its bias, gain and offset."""
        for name, arrays in self.kept.items():
            for array in arrays.values():
                if name.endswith(f".{layer}"):
                    array[unit] = 0
                elif name == f"weights.{layer + 1}":
                    array[:, unit] = 0

    def pull(self, name):
        kind, layer = name.split(".")
        rule, theta, strength = self.run.regulariser, self.p[name], self.run.regulariser.strength
        if isinstance(rule, L2Init) and kind in ("weights", "biases"):
            return strength * (theta - self.start[name])
        if isinstance(rule, Parseval) and kind == "weights" and int(layer) + 1 < self.depth:
            units, inputs = theta.shape
            if units <= inputs:
                return 4 * strength * (theta @ theta.T - rule.scale * np.eye(units)) @ theta
            return 4 * strength * theta @ (theta.T @ theta - rule.scale * np.eye(inputs))
        if isinstance(rule, Spectral):
            k = rule.exponent
            if kind == "gains":
                return 2 * strength * (theta - 1)
            if kind == "biases":
                return strength * 2 * k * np.linalg.norm(theta) ** (2 * k - 2) * theta
            if kind == "weights":
                u = theta @ self.v[name]
                u /= np.linalg.norm(u)
                self.v[name] = theta.T @ u / np.linalg.norm(theta.T @ u)
                sigma = u @ theta @ self.v[name]
                return strength * 2 * (sigma**k - 1) * k * sigma ** (k - 1) * np.outer(u, self.v[name])
        return 0.0

    def move(self, total, number):
        rule = self.run.optimiser
        for name, theta in self.p.items():
            if name not in self.kept:
                self.kept[name] = {what: np.zeros_like(theta) for what in ("m", "v", "t", "u")}
            kept = self.kept[name]
            if isinstance(rule, SGD):
                theta -= rule.step_size * total[name]
            elif isinstance(rule, Adam):
                kept["t"] += 1
                t = kept["t"] if rule.count == "restart" else number + 1
                kept["m"] += 0.1 * (total[name] - kept["m"])
                kept["v"] += 0.001 * (total[name] ** 2 - kept["v"])
                size = np.sqrt(kept["v"] / (1 - 0.999**t)) + 1e-8
                theta -= rule.step_size * kept["m"] / (1 - 0.9**t) / size
            elif isinstance(rule, UPGD):
                kept["u"] += (1 - rule.decay_rate) * (-total[name] * theta - kept["u"])
        if isinstance(rule, UPGD):
            most = max(kept["u"].max() for kept in self.kept.values())
            for name, theta in self.p.items():
                scaled = self.kept[name]["u"] / (1 - rule.decay_rate ** (number + 1)) / most
                noisy = total[name] + rule.noise * self.noise(name, number)
                decayed = (1 - rule.step_size * rule.weight_decay) * theta
                theta[:] = decayed - rule.step_size * noisy * (1 - np.tanh(scaled / 2)) / 2

    def noise(self, name, number):
        theta, layer = self.p[name], int(name.split(".")[1])
        place = list(self.run.layers[layer].parameters).index(name.split(".")[0])
        pairs = words(self.run.seed, Purpose.NOISE, (layer, place, number), (theta.size + 1) // 2)
        first, second = pairs >> np.uint64(32), pairs & np.uint64(0xFFFFFFFF)
        points = np.sqrt(-2 * np.log((first + 0.5) / 2**32)) * np.exp(2j * np.pi * second / 2**32)
        return np.concatenate([points.real, points.imag])[: theta.size].reshape(theta.shape)

    def perturb(self, gradients, number):
        rule = self.run.perturbation
        if isinstance(rule, NoPerturbation):
            return
        due = (number + 1) % rule.every == 0
        for name, theta in self.p.items():
            if not isinstance(rule, WeightReinitialisation):
                if due:
                    fresh = self.start[name] if rule.fresh == "initial" else self.fresh(name, number)
                    theta[:] = (1 - rule.shrink) * theta + rule.noise * fresh
            elif name.startswith("weights"):
                utility = self.kept[name].setdefault("w", np.zeros_like(theta))
                utility += (1 - rule.decay_rate) * (np.abs(gradients[name] * theta) - utility)
                chosen = utility <= rule.threshold * utility.mean()
                if due and chosen.any():
                    theta[chosen] = self.fresh(name, number)[chosen]
                    utility[:] = 0

    def fresh(self, name, number):
        kind, layer = name.split(".")
        if kind != "weights":
            return float(kind == "gains")
        theta = self.p[name]
        bound = sqrt((3 if int(layer) + 1 == self.depth else 6) / theta.shape[1])
        draws = uniform(bound, self.run.seed, Purpose.PERTURBATION, (int(layer), 0, number), theta.size)
        return draws.reshape(theta.shape)

    def clip(self):
        rule = self.run.constraint
        if isinstance(rule, WeightClipping):
            for name, theta in self.p.items():
                kind, layer = name.split(".")
                if kind in ("weights", "biases") and (rule.output or int(layer) + 1 < self.depth):
                    bound = rule.bound / sqrt(self.p[f"weights.{layer}"].shape[1])
                    theta[:] = np.minimum(np.maximum(theta, -bound), bound)


ADAM = {"name": "adam", "step_size": 0.01}
SHRINKS = {"name": "shrink_and_perturb", "every": 7, "shrink": 0.1, "noise": 0.05}
RULES = {
    "l2_init": {"regulariser": {"name": "l2_init", "strength": 0.3}},
    "spectral": {"regulariser": {"name": "spectral", "strength": 0.02}},
    "spectral, k = 1": {"regulariser": {"name": "spectral", "strength": 0.02, "exponent": 1}},
    "parseval": {"regulariser": {"name": "parseval", "strength": 0.02}},
    "clipping": {"constraint": {"name": "weight_clipping", "bound": 0.8}},
    "clipping, not the output": {"constraint": {"name": "weight_clipping", "bound": 0.5, "output": False}},
    "adam": {"optimiser": ADAM},
    "adam, counts kept": {"optimiser": ADAM | {"count": "keep"}},
    "upgd": {"optimiser": {"name": "upgd", "step_size": 0.05}},
    "shrink and perturb": {"perturbation": SHRINKS},
    "shrink to the initial ones": {"perturbation": SHRINKS | {"noise": 0.1, "fresh": "initial"}},
    "weight reinitialisation": {
        "perturbation": {"name": "weight_reinitialisation", "every": 8, "threshold": 0.05, "decay_rate": 0.9}
    },
    "several": {
        "regulariser": {"name": "l2_init", "strength": 0.1},
        "optimiser": ADAM,
        "perturbation": SHRINKS,
        "constraint": {"name": "weight_clipping", "bound": 1.0},
    },
}


@pytest.mark.parametrize("rules", RULES)
def test_rules_step_as_a_numpy_form_and_resume_bit_for_bit(rules):
    run = made(**RULES[rules])
    learner = ReferenceLearner(run, initial_network(run))
    oracle, replaced = RuleOracle(run, initial_network(run)), np.zeros(2, int)
    rows, classes = examples(run, STEPS)
    for step in range(STEPS):
        if step == STEPS // 2:
            kept = {name: array.copy() for name, array in learner.network().arrays().items()}
            resumed = ReferenceLearner(run, Network.from_arrays(kept))
        _, _, units = take(learner, rows[step], classes[step], step)
        assert units == oracle.step(rows[step], classes[step], step)
        assert_close(learner.network(), oracle.p, oracle.m)
        replaced += units
        if step >= STEPS // 2:
            take(resumed, rows[step], classes[step], step)
    assert replaced.min() > 5
    ended, again = learner.network().arrays(), resumed.network().arrays()
    assert ended.keys() == again.keys()
    assert all(np.array_equal(array, again[name]) for name, array in ended.items())


# --- Each by itself ---------------------------------------------------------------------------------------


def test_adam_without_replacements_is_that_of_torch():
    run = made(optimiser=ADAM, replacement={"layers": "none"})
    assert (
        run.optimiser.count == "keep"
        and run.identity == replace(run, optimiser=Adam(step_size=0.01)).identity
    )
    learner = ReferenceLearner(run, initial_network(run))
    theirs = ReferenceLearner(run, initial_network(run))
    step_on = adam_of_torch(theirs.parameters.values(), 0.01)
    rows, classes = examples(run, STEPS)
    for step in range(STEPS):
        take(learner, rows[step], classes[step], step)
        outputs = theirs.forward(torch.from_numpy(rows[step]))[-1].outputs
        step_on(torch.nn.functional.cross_entropy(outputs, torch.from_numpy(classes[step])))
    assert_close(learner.network(), theirs.network().parameters, {})


def test_counts_of_adam_restart_at_the_weights_of_a_unit_made_anew_alone():
    run = made(optimiser=ADAM, replacement=OFTEN | {"rate": 1.0, "maturity_threshold": 29, "layers": [2]})
    learner = ReferenceLearner(run, initial_network(run))
    rows, classes = examples(run, 32)
    replaced = [take(learner, rows[step], classes[step], step)[2] for step in range(32)]
    assert [units for units in replaced if any(units)] == [[0, 9]]  # all units of layer 2, in step 30
    counts = {name: array for name, array in learner.network().memory.items() if ".count." in name}
    for name, array in counts.items():
        restarted = name.endswith(".count.1") or name == "weights.count.2"
        assert np.unique(array).tolist() == [2 if restarted else 32], name


def test_upgd_steps_where_no_utility_is_positive():
    rule = UPGD(step_size=0.5, noise=0.0, weight_decay=0.0)
    parameter = torch.tensor([1.0, 1.0])
    rule.descend(
        {"a": parameter},
        {"a": torch.tensor([0.0, 0.5])},
        {"a": rule.memory(parameter)},
        {"a": torch.zeros(2)},
    )
    assert parameter.tolist() == [1.0, 0.75]  # of U = 0 by half, of U < 0 in full


def test_spectral_regularisation_finds_the_largest_singular_value_and_survives_zeros():
    weights = torch.from_numpy(np.random.default_rng(3).normal(size=(5, 2, 3)).astype(np.float32))
    place = next(iter(places(made().layers).values()))
    place = replace(place, parameter=replace(place.parameter, shape=(5, 2, 3)), inputs=6)
    rule, initial = Spectral(strength=0.5), weights
    memory = rule.memory(place)
    start = memory["v"].clone()
    assert not rule.gradient(place, torch.zeros(5, 2, 3), initial, memory).any()
    assert torch.equal(memory["v"], start)
    for _ in range(200):
        found = rule.gradient(place, weights, initial, memory)
    u, sigma, v = np.linalg.svd(weights.reshape(5, 6).numpy())
    expected = 2 * (sigma[0] ** 2 - 1) * sigma[0] * np.outer(u[:, 0], v[0])
    np.testing.assert_allclose(found.reshape(5, 6).numpy(), expected, rtol=1e-4, atol=1e-5)


PICTURES = {
    "model": {"name": "cnn", "channels": [3], "kernel": [3], "pool": [2], "hidden": [6]},
    "activation": "crelu",
}


@pytest.mark.parametrize("name", ["parseval", "spectral"])
def test_terms_of_convolutions_are_the_gradients_of_their_filters_as_rows(name):
    run = made(**PICTURES, regulariser={"name": name, "strength": 0.3})
    for at, place in places(run.layers).items():
        parameter = torch.from_numpy(initial_network(run).parameters[at] + 0.1).requires_grad_()
        memory = run.regulariser.memory(place)
        with torch.no_grad():
            found = run.regulariser.gradient(place, parameter, parameter, memory)
        rows = parameter.flatten(1) if parameter.ndim > 1 else None
        if name == "spectral":
            if rows is None:
                term = parameter.norm() ** 4
            else:
                before = torch.full((place.inputs,), place.inputs**-0.5)
                u = (rows @ before / (rows @ before).norm()).detach()  # from v before its own step
                term = ((u @ rows @ memory["v"]) ** 2 - 1) ** 2
        else:
            used = rows is not None and not place.is_output
            term = (rows @ rows.T - torch.eye(len(rows))).square().sum() if used else 0 * parameter.sum()
        (expected,) = torch.autograd.grad(0.3 * term, parameter)
        np.testing.assert_allclose(
            torch.as_tensor(found).expand(parameter.shape), expected, rtol=1e-4, atol=1e-6, err_msg=at
        )


@pytest.mark.parametrize("rules", RULES)
def test_rules_act_on_convolutions_and_units_of_two_columns(rules):
    run = made(**PICTURES | RULES[rules])
    learner, plain = (ReferenceLearner(one, initial_network(one)) for one in (run, made(**PICTURES)))
    rows, classes = examples(run, 16)
    for step in range(16):
        for one in (learner, plain):
            take(one, rows[step], classes[step], step)
    found, other = learner.network().parameters, plain.network().parameters
    assert all(np.isfinite(array).all() for array in found.values())
    unchanged = {name for name in found if np.array_equal(found[name], other[name])}
    assert "weights.0" not in unchanged and "weights.1" not in unchanged


def test_clipping_of_filters_goes_by_their_inputs():
    run = made(**PICTURES, constraint={"name": "weight_clipping", "bound": 0.5})
    learner = ReferenceLearner(run, initial_network(run))
    rows, classes = examples(run, 1)
    take(learner, rows[0], classes[0], 0)
    for layer, inputs in enumerate((2 * 3 * 3, 2 * 3 * 2, 2 * 6)):
        assert np.abs(learner.network().weights[layer]).max() == np.float32(0.5 / sqrt(inputs))


def test_normal_draws_have_the_moments_of_their_distribution():
    draws = standard_normal(5, Purpose.NOISE, (1, 2, 3), 100_001).astype(np.float64)
    assert draws.shape == (100_001,) and np.isfinite(draws).all() and np.abs(draws).max() < 6.8
    assert [np.mean(draws**power) for power in (1, 2, 3, 4)] == pytest.approx([0, 1, 0, 3], abs=0.06)
    assert np.array_equal(draws[:7], standard_normal(5, Purpose.NOISE, (1, 2, 3), 100_001)[:7])


def test_rules_without_strength_are_none():
    for name in ("l2_init", "spectral", "parseval"):
        assert made(regulariser={"name": name, "strength": 0}).regulariser == NoRegulariser()


def test_a_bound_within_which_weights_do_not_start_is_remarked():
    low, high = (made(constraint={"name": "weight_clipping", "bound": bound}) for bound in (2, 2.5))
    (said,) = low.constraint.remarks(low)
    assert said.startswith("constraint.bound=2 is less than 2.45, up to which initial weights reach")
    assert high.constraint.remarks(high) == []


@pytest.mark.parametrize("every", [0, "step", True, 1.5])
def test_a_wrong_interval_is_refused(every):
    with pytest.raises(ConfigError, match=r"every=.* must be task, or a number of steps of at least 1"):
        made(perturbation=SHRINKS | {"every": every})


# --- Recipes ----------------------------------------------------------------------------------------------

RECIPES = (
    "l2_init", "spectral", "parseval", "weight_clipping", "adam", "upgd", "weight_reinitialisation",
    "shrink_and_perturb", "shrink_and_perturb_every_step", "layer_norm", "layer_norm_l2", "reset", "fire",
)  # fmt: skip


def test_every_recipe_is_searched_by_its_name():
    methods = f"method={','.join(RECIPES)}"
    found = Counter(
        method_name(run) for run in experiment("search", methods, "seed=0", "optimiser.step_size=0.01")
    )
    assert found.keys() == {*RECIPES}
    for name, runs in found.items():
        sizes = {key: len(values) for key, values in recipes()[name].grid.items()}
        assert sizes["optimiser.step_size"] > 2
        assert runs == np.prod([sizes[key] for key in sizes if key != "optimiser.step_size"])
