"""Regularisers: what is added to the gradients of parameters, at their values before the step."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Union

from plasticity.errors import ConfigError
from plasticity.part import Part, number

if TYPE_CHECKING:
    from torch import Tensor

    from plasticity.networks.layer import Place


class Regulariser(Part):
    """A term of the loss that depends on the parameters alone.

    A regulariser of your own subclasses this and defines `term`; or, if it treats weights and biases or layers
    differently, or remembers something from step to step, `gradient`, and `memory`.
    """

    def term(self, parameter: "Tensor", initial: "Tensor") -> Union["Tensor", float]:
        """The gradient of the term with respect to a parameter, shaped like the parameter.

        Args:
            parameter: a layer's weights [units, inputs] or biases [units], before the step; never gains or offsets.
            initial: the values that it started from. A replaced unit and its outgoing weights keep those of the
                unit whose place it takes.
        """
        raise NotImplementedError

    def memory(self, place: "Place") -> dict[str, "Tensor"]:
        """What is remembered of a parameter at the start, by name; tensors of any shape.

        In those shaped like the parameter, the entries of a replaced unit are cleared.
        """
        return {}

    def gradient(
        self, place: "Place", parameter: "Tensor", initial: "Tensor", memory: Mapping[str, "Tensor"]
    ) -> Union["Tensor", float]:
        """The same as `term`, which it calls for weights and biases, for any parameter of the network.

        It is compiled, so it must work on tensors.

        Args:
            place: the parameter's shape, and where in the network it is.
            parameter: its values before the step.
            initial: the values that it started from.
            memory: what is remembered of it, to be changed in place.
        """
        return self.term(parameter, initial) if place.parameter.regularised else 0.0


@dataclass(frozen=True, kw_only=True)
class NoRegulariser(Regulariser, name="none"):
    """No regulariser.

    Attributes:
        strength: 0, the only valid value.
    """

    strength: float = number(0.0, at_least=0)

    def term(self, parameter: "Tensor", initial: "Tensor") -> float:
        return 0.0

    def canonical(self, run: Any) -> "NoRegulariser":
        if self.strength > 0:
            raise ConfigError("regulariser.strength", self.strength, "0 with regulariser=none")
        return self


@dataclass(frozen=True, kw_only=True)
class L2(Regulariser, name="l2"):
    """strength / 2 · ‖θ‖²: weight decay, as in `torch.optim.SGD(weight_decay=strength)`.

    Attributes:
        strength: λ, how strongly parameters are pulled towards 0.
    """

    strength: float = number(1e-3, at_least=0)

    def term(self, parameter: "Tensor", initial: "Tensor") -> "Tensor":
        return self.strength * parameter

    def canonical(self, run: Any) -> Regulariser:  # type: ignore[override]
        return NoRegulariser() if type(self) is L2 and self.strength == 0 else self


@dataclass(frozen=True, kw_only=True)
class L2Init(Regulariser, name="l2_init"):
    """strength / 2 · ‖θ − θ₀‖²: decay of weights and biases towards their initial values θ₀.

    Regenerative regularisation (Kumar et al. 2023, "Maintaining plasticity in continual learning via regenerative
    regularization"; github.com/skumar9876/L2_Init). A replaced unit is pulled towards the θ₀ of the unit whose
    place it takes.

    Attributes:
        strength: λ, how strongly parameters are pulled towards where they started.
    """

    strength: float = number(1e-3, at_least=0)

    def term(self, parameter: "Tensor", initial: "Tensor") -> "Tensor":
        return self.strength * (parameter - initial)

    def canonical(self, run: Any) -> Regulariser:  # type: ignore[override]
        return NoRegulariser() if type(self) is L2Init and self.strength == 0 else self


@dataclass(frozen=True, kw_only=True)
class Spectral(Regulariser, name="spectral"):
    """strength · Σ [(σᵏ − 1)² + ‖b‖²ᵏ + ‖gain − 1‖²] over all layers, the output layer too; offsets are free.

    Spectral regularisation (Lewandowski et al. 2024, "Learning continually by spectral regularization"; as in
    github.com/Felix-Zhenghao/rigorous-plasticity, which also shrinks offsets, as biases, and draws the first v). σ
    is the largest singular value of a layer's weights W, [units, inputs]; of a convolution, of its filters, one row
    for each channel. In each step u ← W v / ‖W v‖, v ← Wᵀ u / ‖Wᵀ u‖, σ = uᵀ W v, with u and v constant in the
    gradient, which is 2 (σᵏ − 1) k σᵏ⁻¹ u vᵀ. v starts with equal entries; u follows from it, so that v alone is
    remembered, and stays as it is when units are replaced.

    Attributes:
        strength: λ, the weight of the term in the loss.
        exponent: k.
    """

    strength: float = number(1e-4, at_least=0)
    exponent: float = number(2, at_least=1)

    def memory(self, place: "Place") -> dict[str, "Tensor"]:
        from torch import full

        return {"v": full((place.inputs,), place.inputs**-0.5)} if place.parameter.is_weight else {}

    def gradient(
        self, place: "Place", parameter: "Tensor", initial: "Tensor", memory: Mapping[str, "Tensor"]
    ) -> Union["Tensor", float]:
        k = self.exponent
        if place.kind == "gains":
            return 2 * self.strength * (parameter - 1)
        if not place.parameter.regularised:
            return 0.0
        if not place.parameter.is_weight:
            return 2 * self.strength * k * parameter.square().sum() ** (k - 1) * parameter
        u, sigma = self._iterate(parameter.flatten(1), memory["v"])
        slope = 2 * self.strength * (sigma**k - 1) * k * sigma ** (k - 1)
        return (slope * u[:, None] * memory["v"]).reshape(parameter.shape)

    def _iterate(self, weights: "Tensor", v: "Tensor") -> tuple["Tensor", "Tensor"]:
        """One step of power iteration, which updates v. Returns u and σ; of weights that are all 0, both are 0."""
        u = weights @ v
        u = u / u.norm().clamp(min=1e-30)
        back = weights.T @ u
        sigma = back.norm()
        v.copy_((back / sigma.clamp(min=1e-30)).where(sigma > 0, v))
        return u, sigma

    def canonical(self, run: Any) -> Regulariser:  # type: ignore[override]
        return NoRegulariser() if type(self) is Spectral and self.strength == 0 else self


@dataclass(frozen=True, kw_only=True)
class Parseval(Regulariser, name="parseval"):
    """strength · ‖W Wᵀ − scale · I‖² (Frobenius) over hidden layers' weights, WᵀW where there are more units than
    inputs.

    Parseval regularisation (Cisse et al. 2017; for continual learning, Chung et al. 2024, "Parseval regularization
    for continual reinforcement learning"). W is [units, inputs]; of a convolution, its filters, one row for each
    channel. The gradient is 4 · strength · (W Wᵀ − scale · I) W. github.com/isaac7778/FIRE also regularises the
    output layer and gains, and uses W Wᵀ for any shape.

    Attributes:
        strength: λ, the weight of the term in the loss.
        scale: s, the value that the squares of all singular values are pulled towards.
    """

    strength: float = number(1e-4, at_least=0)
    scale: float = number(1.0, above=0)

    def gradient(
        self, place: "Place", parameter: "Tensor", initial: "Tensor", memory: Mapping[str, "Tensor"]
    ) -> Union["Tensor", float]:
        from torch import eye

        if place.is_output or not (place.parameter.regularised and place.parameter.is_weight):
            return 0.0
        weights = parameter.flatten(1)
        units, inputs = weights.shape
        if units > inputs:
            found = weights @ (weights.T @ weights - self.scale * eye(inputs))
        else:
            found = (weights @ weights.T - self.scale * eye(units)) @ weights
        return 4 * self.strength * found.reshape(parameter.shape)

    def canonical(self, run: Any) -> Regulariser:  # type: ignore[override]
        return NoRegulariser() if type(self) is Parseval and self.strength == 0 else self
