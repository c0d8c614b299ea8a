"""Optimisers: how gradients become a step."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf, log
from typing import TYPE_CHECKING, Any, ClassVar

from plasticity.part import Part, choice, number

if TYPE_CHECKING:
    from torch import Tensor


class Optimiser(Part):
    """A rule that moves parameters against their gradients, and what it remembers for that.

    An optimiser of your own subclasses this and defines `step`; or, if a parameter's step depends on the others or
    on chance, `descend`.

    Attributes:
        is_noisy: whether `descend` is given random draws.
    """

    is_noisy: ClassVar[bool] = False

    def memory(self, parameter: "Tensor") -> dict[str, "Tensor"]:
        """What is remembered of a parameter at the start, by name; tensors of any shape.

        In those shaped like the parameter, the entries of a replaced unit are cleared.
        """
        return {}

    def step(self, parameter: "Tensor", gradient: "Tensor", memory: dict[str, "Tensor"]) -> None:
        """Moves a parameter, and updates what is remembered of it, in place.

        Args:
            parameter: a layer's weights [units, inputs] or biases [units].
            gradient: of the loss and the regulariser, shaped like the parameter.
            memory: what is remembered, as returned by `memory`.
        """
        raise NotImplementedError

    def descend(
        self,
        parameters: Mapping[str, "Tensor"],
        gradients: Mapping[str, "Tensor"],
        memory: Mapping[str, dict[str, "Tensor"]],
        noise: Mapping[str, "Tensor"],
    ) -> None:
        """Moves all parameters of the network, each by `step`. It is compiled, so it must work on tensors and not
        branch on their values.

        Args:
            parameters: all of them, by name.
            gradients: of the loss and the regulariser, by the same names.
            memory: what is remembered of each.
            noise: draws from the standard normal distribution, shaped like the parameters; empty unless `is_noisy`.
        """
        for name, parameter in parameters.items():
            self.step(parameter, gradients[name], memory[name])


@dataclass(frozen=True, kw_only=True)
class SGD(Optimiser, name="sgd"):
    """Plain stochastic gradient descent: θ ← θ − step size · gradient.

    Attributes:
        step_size: α, by which the gradient is multiplied.
    """

    step_size: float = number(0.005, above=0)

    def step(self, parameter: "Tensor", gradient: "Tensor", memory: dict[str, "Tensor"]) -> None:
        parameter.sub_(gradient, alpha=self.step_size)


@dataclass(frozen=True, kw_only=True)
class Adam(Optimiser, name="adam"):
    """θ ← θ − step size · m̂ / (√v̂ + ε), m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ) (Kingma and Ba 2015).

    m and v are the running means of a parameter's gradient and of its square, both cleared for the weights of a
    replaced unit, and t counts its steps. Implementations differ in what then becomes of t: in most it continues,
    as if the cleared means were old (google/dopamine, ajozefiak/SelfNormalizedResets, LucMc/continual-learning),
    which makes the unit's first steps 3 to 6.6 times too long. `AdamGnT.py` of shibhansh/loss-of-plasticity counts
    per weight, but steps by (1 − β₂ᵗ) m / (√v + ε), a mistake.

    Attributes:
        step_size: the step size.
        mean_decay: β₁.
        square_decay: β₂.
        epsilon: ε.
        count: what t counts: steps since the last replacement of the unit of a bias, or of either unit of a weight
            (restart); or the steps of the run (keep). Where no unit is replaced, both are the same, stored as keep.
    """

    step_size: float = number(0.001, above=0)
    mean_decay: float = number(0.9, at_least=0, below=1)
    square_decay: float = number(0.999, at_least=0, below=1)
    epsilon: float = number(1e-8, above=0)
    count: str = choice("restart", options=("restart", "keep"))

    def memory(self, parameter: "Tensor") -> dict[str, "Tensor"]:
        from torch import zeros, zeros_like

        count = zeros_like(parameter) if self.count == "restart" else zeros(())
        return {"mean": zeros_like(parameter), "square": zeros_like(parameter), "count": count}

    def step(self, parameter: "Tensor", gradient: "Tensor", memory: dict[str, "Tensor"]) -> None:
        mean, square, count = memory["mean"], memory["square"], memory["count"]
        count += 1
        mean.mul_(self.mean_decay).add_(gradient, alpha=1 - self.mean_decay)
        square.mul_(self.square_decay).addcmul_(gradient, gradient, value=1 - self.square_decay)
        size = (square / _started(self.square_decay, count)).sqrt() + self.epsilon
        parameter.sub_(mean / _started(self.mean_decay, count) / size, alpha=self.step_size)

    def canonical(self, run: Any) -> "Adam":
        return replace(self, count="keep") if type(self) is Adam and not run.replacement.layers else self


@dataclass(frozen=True, kw_only=True)
class UPGD(Optimiser, name="upgd"):
    """Utility-based perturbed gradient descent (Elsayed and Mahmood 2024), with global first-order utilities.

    U ← β U + (1 − β)(−g θ); θ ← (1 − η ρ) θ − η (g + σ ξ)(1 − sigmoid(Û / max U)), with Û = U / (1 − βᵗ), and g the
    gradient of the loss and the regulariser. The maximum is over all parameters of the network, whose U is not
    corrected as Û is; where it is 0, parameters with U = 0 move by half, the others in full. ξ is standard normal.
    As `FirstOrderGlobalUPGD` in github.com/mohmdelsayed/upgd (core/optim/weight_upgd), all of this is done to
    biases, gains and offsets, too. U is cleared for the weights of a replaced unit; t continues.

    Attributes:
        step_size: η.
        decay_rate: β of the utilities' running means.
        noise: σ.
        weight_decay: ρ.
    """

    is_noisy: ClassVar[bool] = True

    step_size: float = number(0.01, above=0)
    decay_rate: float = number(0.9999, at_least=0, below=1)
    noise: float = number(0.1, at_least=0)
    weight_decay: float = number(0.01, at_least=0)

    def memory(self, parameter: "Tensor") -> dict[str, "Tensor"]:
        from torch import zeros, zeros_like

        return {"utility": zeros_like(parameter), "count": zeros(())}

    def descend(
        self,
        parameters: Mapping[str, "Tensor"],
        gradients: Mapping[str, "Tensor"],
        memory: Mapping[str, dict[str, "Tensor"]],
        noise: Mapping[str, "Tensor"],
    ) -> None:
        from torch import finfo, stack

        for name, parameter in parameters.items():
            memory[name]["count"] += 1
            utility = memory[name]["utility"].mul_(self.decay_rate)
            utility.sub_(gradients[name] * parameter, alpha=1 - self.decay_rate)
        most = stack([memory[name]["utility"].amax() for name in parameters]).amax()
        most = most.where(most != 0, finfo(most.dtype).tiny)
        for name, parameter in parameters.items():
            utility = memory[name]["utility"] / _started(self.decay_rate, memory[name]["count"])
            moved = (gradients[name] + self.noise * noise[name]) * (1 - (utility / most).sigmoid())
            parameter.mul_(1 - self.step_size * self.weight_decay).sub_(moved, alpha=self.step_size)


def _started(decay: float, count: "Tensor") -> "Tensor":
    """1 − decayᵗ, by which a running mean that starts at 0 is divided after t steps: as exact for a small t as for
    any.

    In single precision t stops at 2²⁴, where the value has long been 1.
    """
    return -(count * (log(decay) if decay else -inf)).expm1()
