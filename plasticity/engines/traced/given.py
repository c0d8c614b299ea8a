"""What a replacement method's update is given of weights: only their mean magnitudes have a traced form."""

from typing import Any

from plasticity.engines.traced.functions import mul
from plasticity.engines.traced.operations import UNIT
from plasticity.engines.traced.symbol import Symbol, Tracing
from plasticity.replacement import Step


class Opaque:
    """What code may hold, but not look at."""

    def __init__(self, tracing: Tracing, what: str):
        self.__dict__["tracing"], self.__dict__["what"] = tracing, what

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise self.tracing.refuse(self.what)

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        first = next(one for one in (*args, *(kwargs or {}).values()) if isinstance(one, cls))
        name = getattr(function, "__name__", "")
        if name in ("abs", "absolute", "mean", "sum"):
            return getattr(first, name)(*args[1:], **(kwargs or {}))
        raise first.tracing.refuse(first.what)


def _refusing(self: Opaque, *others: Any) -> Any:
    raise self.tracing.refuse(self.what)


for _name in (
    *("bool", "int", "float", "index", "len", "iter", "getitem", "setitem", "neg", "abs", "invert", "array"),
    *("lt", "le", "gt", "ge", "eq", "ne"),
    *(f"{kind}{name}" for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor")
      for kind in ("", "r", "i")),
):  # fmt: skip
    setattr(Opaque, f"__{_name}__", _refusing)
Opaque.__hash__ = object.__hash__  # type: ignore[method-assign]


class GivenStep(Step):
    """What an update may look at after a step."""

    def incoming(self, layer: int) -> Any:
        return self.linear[layer].weight.abs().mean(dim=1)

    def outgoing(self, layer: int) -> Any:
        return [self.linear[layer + 1].weight.abs().mean(dim=0)]


class Linear:
    """A linear layer."""

    def __init__(self, tracing: Tracing, number: int, units: int, inputs: int):
        self.out_features, self.in_features = units, inputs
        self.weight = Weights(tracing, number, (units, inputs), f"step.linear[{number}].weight")
        self.bias = Opaque(tracing, f"step.linear[{number}].bias")
        self.parameters = {"weights": self.weight, "biases": self.bias}


class Weights(Opaque):
    """The weights of a layer: |w| of them, or the mean of that over a unit's inputs, or outputs."""

    def __init__(self, tracing: Tracing, number: int, shape: tuple[int, int], what: str):
        super().__init__(tracing, what)
        self.__dict__["shape"], self.__dict__["number"] = shape, number
        self.__dict__["detach"] = lambda: self

    def abs(self) -> "Magnitudes":
        return Magnitudes(self.tracing, self.number, self.shape, f"{self.what}.abs()")

    __abs__ = absolute = abs


class Magnitudes(Weights):
    """|w| of a layer."""

    def mean(self, dim: Any = None, **others: Any) -> Symbol:
        if dim not in (0, 1, -1, -2) or others:
            raise self.tracing.refuse(f"{self.what}.mean")
        if dim in (1, -1):
            return self.tracing.source(f"incoming@{self.number}", dims=(f"{UNIT}.{self.number}",))
        below = self.number - 1
        return self.tracing.source(f"outgoing@{below}", dims=(f"{UNIT}.{below}",))

    def sum(self, dim: Any = None, **others: Any) -> Symbol:
        return mul(self.mean(dim, **others), float(self.shape[dim]))


__all__ = ["GivenStep", "Linear", "Opaque"]
