"""Tracing: each kind of part's code, called once with symbols, as programs of what it does."""

import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import fields
from typing import Any

import numpy as np

from plasticity.activations import Activation
from plasticity.engines.traced.derivative import derivative
from plasticity.engines.traced.given import GivenStep, Linear, Opaque
from plasticity.engines.traced.operations import (
    ALL,
    DOUBLE,
    FLOAT,
    PLACE,
    TRUTH,
    UNIT,
    WHOLE,
    Node,
    needed,
)  # fmt: skip
from plasticity.engines.traced.refusal import Refused, refused_by
from plasticity.engines.traced.source import Array, Program, program
from plasticity.engines.traced.symbol import Dims, Symbol, Tracing, as_symbol
from plasticity.engines.traced.table import FUNCTIONS
from plasticity.replacement import Replacement, Step
from plasticity.run import Run
from plasticity.utilities import Measures, Utility


def traced(tracing: Tracing, function: Callable[..., Any], *arguments: Any) -> Any:
    """What a part's code returns for symbols.

    Raises:
        Refused: something that it does cannot be traced.
    """
    torch = sys.modules.get("torch")
    try:
        with torch.enable_grad() if torch and tracing.differentiates else nullcontext():
            found = function(*arguments)
    except (Exception, SystemExit) as error:
        raise tracing.refusal or refused_by(error) from None
    if tracing.refusal is not None:
        raise tracing.refusal
    return found


def array(name: str, *axes: str, dtype: str = FLOAT) -> Array:
    """An array that a program writes."""
    return Array(name, dtype, frozenset(axes))


def activation(part: Activation, units: int) -> Program:
    """h and slope of a layer's units from their z.

    Raises:
        Refused: it has no traced form.
    """
    tracing = Tracing({UNIT: units}, differentiates=True)
    z = tracing.source("z", dims=(UNIT,))
    h = traced(tracing, part, z)
    check(h, [(UNIT,)], (FLOAT,))
    if any(node.value in (ALL, PLACE) for node in needed([h.node])):
        raise Refused("a sum over units")
    slope = traced(tracing, derivative, tracing, h, z)
    return program([(array("activation", UNIT), h.node), (array("slope", UNIT), slope.node)])


def utility(part: Utility, units: int, batch: int) -> Program:
    """The mean of y over the examples of a step, for a layer's units, into "scratch". Raises Refused."""
    if type(part).ranking is not Utility.ranking:
        raise Refused("a ranking of its own")
    tracing = Tracing({UNIT: units, PLACE: batch})
    of_examples: Dims = (UNIT,) if batch == 1 else (PLACE, UNIT)
    given: dict[str, Any] = {
        "activation": tracing.source("observed", dims=of_examples),
        "mean_activation": tracing.source("novel_mean", dims=(UNIT,)),
        "outgoing": tracing.source("outgoing", dims=(UNIT,)),
        "incoming": tracing.source("incoming", dims=(UNIT,)),
    }
    y = traced(tracing, part, Measures(**given))
    check(y, [(UNIT,), of_examples], (FLOAT,))
    if PLACE in y.dims:
        y = FUNCTIONS["mean"](y, 0)
    return program([(array("scratch", UNIT), y.node)])


def update(part: Replacement, run: Run) -> list[Program]:
    """What a replacement method's `update` does in each hidden layer.

    It returns whether units are due into "due"; where no program has that, it is asked after every step.

    Raises:
        Refused: it has no traced form.
    """
    sizes, batch = run.layer_sizes, run.dataset.batch_size
    tracing = Tracing({PLACE: batch} | {f"{UNIT}.{k}": units for k, units in enumerate(sizes[1:])})
    layers = range(len(sizes) - 2)
    remembered = [part.memory_of(layer) for layer in run.layers[:-1]]
    memory = {
        name: [
            _remembered(tracing, name, place, k, of_layer[name], sizes[k + 1])
            for k, of_layer in enumerate(remembered)
        ]
        for place, name in enumerate(remembered[0])
    }
    start = {name: [node_of(one) for one in of_layers] for name, of_layers in memory.items()}
    due = traced(tracing, part.update, memory, _step(tracing, run))
    if len(due) not in (0, len(layers)):
        raise Refused(f"update returns {len(due)} numbers for {len(layers)} layers")
    programs: list[Program] = []
    for k in layers:
        outputs = [(array("due", dtype=DOUBLE), _number(tracing, due[k]))] if due else []
        for place, name in enumerate(remembered[0]):
            now, before = memory[name][k], start[name][k]
            if isinstance(now, Opaque):
                continue
            check(now, [(f"{UNIT}.{k}",), ()], (TRUTH, WHOLE, FLOAT, DOUBLE))
            if now.node is not before:
                axes = [UNIT] if remembered[k][name].ndim else []
                kind = str(remembered[k][name].dtype)
                outputs.append(
                    (array(f"memory_{place}", *axes, dtype=kind), tracing.graph.cast(now.node, kind))
                )
        programs.append(_of_layer(outputs, k))
    return programs


def _remembered(tracing: Tracing, name: str, place: int, layer: int, values: np.ndarray, units: int) -> Any:
    """What a method remembers of a layer: numbers over units, a single one, or what an update may not touch."""
    if str(values.dtype) in (TRUTH, WHOLE, FLOAT, DOUBLE) and values.shape in ((), (units,)):
        dims = (f"{UNIT}.{layer}",) if values.ndim else ()
        return tracing.source(f"memory_{place}@{layer}", str(values.dtype), dims)
    return Opaque(tracing, f'memory["{name}"], {values.dtype} of shape {list(values.shape)}')


def _step(tracing: Tracing, run: Run) -> Step:
    """What an update may look at."""
    sizes, batch = run.layer_sizes, run.dataset.batch_size
    layers = range(len(sizes) - 2)

    def of_units(name: str) -> list[Symbol]:
        before: Dims = () if batch == 1 else (PLACE,)
        return [tracing.source(f"{name}@{k}", dims=(*before, f"{UNIT}.{k}")) for k in layers]

    def nothing(layer: int) -> Any:
        raise tracing.refuse("a draw")

    known = {
        "number": Opaque(tracing, "step.number"),
        "activations": of_units("activation"),
        "pre_activations": of_units("z"),
        "gradients": _gradients(tracing, run),
        "steps_per_task": run.dataset.steps_per_task,
        "linear": [Linear(tracing, k, sizes[k + 1], sizes[k]) for k in range(len(sizes) - 1)],
        "draw": nothing,
        "chance": nothing,
        "layers": run.layers,
        "columns": [[h] for h in of_units("activation")],
    }
    return GivenStep(**{entry.name: known[entry.name] for entry in fields(Step)})  # type: ignore[arg-type]


def _gradients(tracing: Tracing, run: Run) -> list[Symbol]:
    """What `Step.gradient` gives for one example, |∂loss/∂(W x + b)| · mean |x|; empty for others."""
    if "gradients" not in run.replacement.looks_at:
        return []
    if run.dataset.batch_size > 1:
        raise Refused("the gradient of a batch")
    return [
        tracing.source(f"error@{k}", dims=(f"{UNIT}.{k}",)).abs() * tracing.source(f"mean_input@{k}")
        for k in range(len(run.layers) - 1)
    ]


def _of_layer(outputs: Sequence[tuple[Array, Node]], layer: int) -> Program:
    """The program of a layer, which looks at nothing of other layers."""

    def named(source: str) -> str:
        name, _, of = source.partition("@")
        if int(of) != layer:
            raise Refused(f"an update of layer {layer + 1} that looks at layer {int(of) + 1}")
        return name

    return program(outputs, named=named)


def _number(tracing: Tracing, value: Any) -> Node:
    symbol = as_symbol(tracing, value)
    check(symbol, [()], (TRUTH, WHOLE, FLOAT, DOUBLE))
    return tracing.graph.cast(symbol.node, DOUBLE)


def node_of(one: Any) -> Node | None:
    """The node of a symbol; None for anything else."""
    return one.node if isinstance(one, Symbol) else None


def check(found: Any, shapes: Sequence[Dims], dtypes: Sequence[str]) -> None:
    """Refuses what is not a tensor of such a shape and type."""
    if not isinstance(found, Symbol):
        raise Refused(f"it returns {type(found).__name__}")
    if found.dims not in shapes or found.node.dtype not in dtypes:
        raise Refused(f"it returns {found.node.dtype} numbers of shape {list(found.shape)}")
