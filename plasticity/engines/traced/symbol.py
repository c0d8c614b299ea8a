"""Symbols: what stands in for the tensors that a part's code is given, and notes what it does with them.

A symbol behaves as a tensor as far as a part's arithmetic can tell. PyTorch's functions hand their arguments to it
(`__torch_function__`), so that tracing imports nothing of PyTorch that the part's module did not import itself.
"""

import sys
from collections.abc import Callable, Mapping
from typing import Any

from plasticity.engines.traced.operations import (
    DOUBLE,
    FLOAT,
    INPUT,
    PLACE,
    TRUTH,
    UNIT,
    WHOLE,
    Graph,
    Node,
    TooLong,
    kind_of,
    promoted,
)  # fmt: skip
from plasticity.engines.traced.refusal import Refused, refused

Dims = tuple[str | None, ...]
"""The axis of each dimension; None for one of size 1."""

DTYPES = {
    "torch.bool": TRUTH, "torch.int64": WHOLE, "torch.long": WHOLE, "torch.float32": FLOAT, "torch.float": FLOAT,
    "torch.float64": DOUBLE, "torch.double": DOUBLE,
}  # fmt: skip


class Tracing:
    """The tracing of a part's code: the graph, and the size of each axis.

    Args:
        sizes: of the axes.
        differentiates: whether a derivative is taken of what the code returns, so that it matters what is detached.
        functions: PyTorch's functions that it may call; those of the table, unless others are given.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        differentiates: bool = False,
        functions: Mapping[str, Callable[..., Any]] | None = None,
    ):
        from plasticity.engines.traced.table import FUNCTIONS

        self.graph, self.sizes, self.differentiates = Graph(), dict(sizes), differentiates
        self.functions = FUNCTIONS if functions is None else functions
        self.refusal: Refused | None = None

    def refuse(self, what: str) -> Refused:
        """A refusal, kept: a part's code that catches it and does something else is refused all the same."""
        self.refusal = self.refusal or refused(what)
        return self.refusal

    def source(self, name: str, dtype: str = FLOAT, dims: Dims = ()) -> "Symbol":
        return Symbol(self, self.graph.source(name, dtype, [dim for dim in dims if dim]), dims)

    def number(self, value: float, dtype: str) -> "Symbol":
        return Symbol(self, self.graph.constant(value, dtype), ())


class Symbol:
    """A tensor whose numbers are not known yet. Operations in place give it another node."""

    __hash__ = object.__hash__
    __array_priority__ = 1000

    def __init__(self, tracing: Tracing, node: Node, dims: Dims):
        self.tracing, self.dims = tracing, dims
        self.now = [node]  # which views share

    @property
    def node(self) -> Node:
        """What it is at the moment."""
        return self.now[0]

    def viewed(self, dims: Dims) -> "Symbol":
        """The same tensor with other dimensions: a change in place of one changes the other."""
        view = Symbol(self.tracing, self.node, dims)
        view.now = self.now
        return view

    # --- What it is ---------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.tracing.sizes[dim] if dim else 1 for dim in self.dims)

    @property
    def ndim(self) -> int:
        return len(self.dims)

    @property
    def dtype(self) -> Any:
        import torch

        return getattr(torch, self.node.dtype)

    @property
    def device(self) -> Any:
        import torch

        return torch.device("cpu")

    data = property(lambda self: self.detach())
    requires_grad = False

    def __len__(self) -> int:
        if not self.dims:
            raise self.tracing.refuse("the length of a number")
        return self.shape[0]

    # --- What is done with it -----------------------------------------------------------------------------

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(function, "__name__", str(function))
        given = [one for one in (*args, *(kwargs or {}).values()) if isinstance(one, Symbol)]
        known = given[0].tracing.functions if given else {}
        found = known.get(name.strip("_") if name.startswith("__") else name)
        if not given or (found is None and not name.endswith("_")):
            tracing = given[0].tracing if given else None
            raise tracing.refuse(_named(function, name)) if tracing else refused(_named(function, name))
        return carry_out(given[0].tracing, _named(function, name), name, args, kwargs or {})

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name == "where":  # whose arguments are in another order as a method
            return lambda condition, other: carry_out(
                self.tracing, "Tensor.where", name, (condition, self, other), {}
            )
        if name.startswith("__") or not ({name, name.removesuffix("_")} & set(self.tracing.functions)):
            if name.startswith("__"):
                raise AttributeError(name)
            raise self.tracing.refuse(f"Tensor.{name}")
        return lambda *args, **kwargs: carry_out(self.tracing, f"Tensor.{name}", name, (self, *args), kwargs)

    def assign(self, value: "Symbol") -> "Symbol":
        """Changes it in place: its type and its shape stay."""
        if len(value.dims) > len(self.dims) or set(value.dims) - {None} - set(self.dims):
            raise self.tracing.refuse("an in-place change of shape")
        if kind_of(value.node.dtype) > kind_of(self.node.dtype):
            raise self.tracing.refuse(f"{value.node.dtype} numbers assigned to {self.node.dtype} ones")
        if self.node.operation == "detached":
            raise self.tracing.refuse("an in-place change of a detached tensor")
        self.now[0] = self.tracing.graph.cast(value.node, self.node.dtype)
        return self

    def __getitem__(self, index: Any) -> "Symbol":
        left, dims = list(self.dims), list[str | None]()
        places = index if isinstance(index, tuple) else (index,)
        if (
            places
            and "take" in self.tracing.functions
            and (isinstance(places[-1], Symbol) or type(places[-1]) is int)
        ):
            return self[places[:-1]].take(places[-1])  # of the last dimension
        for one in places:
            if one is None:
                dims.append(None)
            elif one == slice(None) and left:
                dims.append(left.pop(0))
            elif one is Ellipsis:
                dims, left = [*dims, *left], []
            else:
                raise self.tracing.refuse("an index")
        return self.viewed((*dims, *left))

    def __setitem__(self, index: Any, value: Any) -> None:
        from plasticity.engines.traced.functions import where

        if isinstance(index, Symbol) and index.node.dtype == TRUTH and index.dims == self.dims:
            if isinstance(value, Symbol) and value.dims:
                raise self.tracing.refuse("an assignment through a mask")
            self.assign(where(index, value, self))
        elif index in (slice(None), Ellipsis):
            self.assign(as_symbol(self.tracing, value))
        else:
            raise self.tracing.refuse("an index")

    def __bool__(self) -> bool:
        raise self.tracing.refuse("a branch on a value")

    def __float__(self) -> float:
        raise self.tracing.refuse("the value of a number")

    __int__ = __index__ = item = tolist = __float__

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise self.tracing.refuse("a NumPy array of values")

    numpy = __array__

    def __iter__(self) -> Any:
        raise self.tracing.refuse("a loop over units")


def _dunder(name: str, swapped: bool = False, in_place: bool = False) -> Callable[..., Any]:
    def method(self: Symbol, *others: Any) -> Any:
        arguments = (*others, self) if swapped else (self, *others)
        if in_place:
            name_ = f"{name}_"
            return carry_out(self.tracing, f"Tensor.{name_}", name_, arguments, {})
        return carry_out(self.tracing, f"Tensor.{name}", name, arguments, {})

    return method


OPERATORS = {
    "add": "add", "sub": "sub", "mul": "mul", "truediv": "div", "floordiv": "floor_divide", "mod": "remainder",
    "pow": "pow", "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor",
}  # fmt: skip
for python, name in OPERATORS.items():
    setattr(Symbol, f"__{python}__", _dunder(name))
    setattr(Symbol, f"__r{python}__", _dunder(name, swapped=True))
    setattr(Symbol, f"__i{python}__", _dunder(name, in_place=True))
for python in ("eq", "ne", "lt", "le", "gt", "ge", "neg", "abs"):
    setattr(Symbol, f"__{python}__", _dunder(python))
setattr(Symbol, "__invert__", _dunder("bitwise_not"))  # noqa: B010
setattr(Symbol, "__pos__", lambda self: self)  # noqa: B010


def carry_out(tracing: Tracing, shown: str, name: str, args: Any, kwargs: dict[str, Any]) -> Any:
    """Notes an operation by its name in PyTorch; one that ends with an underscore changes its first argument.

    Raises:
        Refused: there is no such operation, or not with these arguments.
    """
    if name.startswith("__"):
        name = OPERATORS.get(name.strip("_"), name.strip("_"))
    in_place = name.endswith("_")
    function = tracing.functions.get(name.removesuffix("_"))
    if function is None or kwargs.pop("inplace", False) or kwargs.pop("out", None) is not None:
        raise tracing.refuse(shown)
    if tracing.differentiates and not is_grad_enabled():
        raise tracing.refuse(f"{shown} without gradients")
    kwargs.pop("_stacklevel", None)
    if "self" in kwargs or "input" in kwargs:
        args = (kwargs.pop("self", None) if "self" in kwargs else kwargs.pop("input"), *args)
    try:
        found = function(*args, **kwargs)
        return args[0].assign(found) if in_place else found
    except TooLong:
        raise tracing.refuse(f"more operations than a traced form may have, with {shown}") from None
    except (TypeError, AttributeError, ValueError, NotImplementedError):
        raise tracing.refuse(f"{shown} with these arguments") from None


def is_grad_enabled() -> bool:
    """Whether PyTorch, where it has been imported, would note an operation for a derivative."""
    return "torch" not in sys.modules or sys.modules["torch"].is_grad_enabled()


def as_symbol(tracing: Tracing, value: Any, dtype: str | None = None) -> Symbol:
    """A symbol, a tensor of a single number, or a number of Python as a symbol."""
    if isinstance(value, Symbol):
        return value
    if isinstance(value, (bool, int, float)):
        natural = TRUTH if isinstance(value, bool) else WHOLE if isinstance(value, int) else FLOAT
        return tracing.number(value, dtype or natural)
    kind = DTYPES.get(str(getattr(value, "dtype", None)))
    if kind is None and type(value).__module__ == "numpy" and getattr(value, "ndim", 1) == 0:
        kind = str(value.dtype)
    if kind in (TRUTH, WHOLE, FLOAT, DOUBLE) and value.ndim == 0:
        return tracing.number(value.item(), kind)
    raise tracing.refuse("a tensor that it was not given")


def common(*values: Any, dtype: str | None = None) -> tuple[Tracing, list[Node], Dims]:
    """Operands as nodes of one type, as PyTorch promotes them, and the dimensions of what comes of them."""
    tracing = next(value.tracing for value in values if isinstance(value, Symbol))
    plain = [value for value in values if isinstance(value, (bool, int, float))]
    symbols = [as_symbol(tracing, value) for value in values if not isinstance(value, (bool, int, float))]
    arrays = [one.node.dtype for one in symbols if one.dims]
    kind = dtype or promoted(arrays, [one.node.dtype for one in symbols if not one.dims], plain)
    nodes = [
        tracing.graph.cast(
            (value if isinstance(value, Symbol) else as_symbol(tracing, value, kind)).node, kind
        )
        for value in values
    ]
    return tracing, nodes, _broadcast(tracing, [one.dims for one in symbols])


def _broadcast(tracing: Tracing, shapes: list[Dims]) -> Dims:
    """The dimensions of what comes of operands with these."""
    length = max(map(len, shapes))
    padded = [(None,) * (length - len(dims)) + dims for dims in shapes]
    found: list[str | None] = []
    for of_dimension in zip(*padded, strict=True):
        axes = set(of_dimension) - {None}
        if len(axes) > 1:
            raise tracing.refuse("tensors of shapes that don't match")
        found.append(next(iter(axes), None))
    if len([axis for axis in found if axis]) != len({axis for axis in found if axis}):
        raise tracing.refuse("a product of every unit with every other")
    return tuple(found)


def _named(function: Any, name: str) -> str:
    """A function of PyTorch as it is written."""
    module = getattr(function, "__module__", None) or "torch"
    for room in ("linalg", "special", "fft"):
        if name.startswith(f"{room}_"):
            return f"torch.{room}.{name.removeprefix(f'{room}_')}"
    return f"{module if module.startswith('torch') and '._' not in module else 'torch'}.{name}"


__all__ = ["INPUT", "PLACE", "UNIT", "Symbol", "Tracing", "as_symbol", "common"]
