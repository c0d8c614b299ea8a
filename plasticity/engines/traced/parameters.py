"""Tracing what is done to parameters: a regulariser's term, an optimiser's step, a constraint."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from plasticity.engines.traced.given import Opaque
from plasticity.engines.traced.operations import FLOAT, INPUT, PLACE, UNIT
from plasticity.engines.traced.source import Array, Program, program
from plasticity.engines.traced.symbol import Dims, Symbol, Tracing
from plasticity.engines.traced.trace import check, node_of, traced
from plasticity.networks.layer import Place
from plasticity.run import Run

GRADIENTS = {"gains": "of_gain", "offsets": "of_offset"}
"""The arrays that hold the gradients of a layer's gains and offsets, summed over the examples of a step."""


def term(run: Run, place: Place) -> None:
    """Traces the regulariser's term alone, to tell whose fault a refusal is. Raises Refused."""
    tracing, dims = _tracing(run, place)
    parameter, initial = tracing.source("parameter", dims=dims), tracing.source("initial", dims=dims)
    found = traced(tracing, run.regulariser.term, parameter, initial)
    if isinstance(found, Symbol):
        check(found, [dims, ()], (FLOAT,))


def movement(run: Run, place: Place, memory: Mapping[str, np.ndarray]) -> Program:
    """How a parameter moves in a step: the regulariser's term, if it acts on it, then the optimiser's step.

    Args:
        run: the run.
        place: of the parameter.
        memory: what the optimiser remembers of it at the start.

    Raises:
        Refused: they have no traced form.
    """

    def of(name: str) -> str:
        return name if name in ("error", "input", *GRADIENTS.values()) else f"{place.kind}_{name}"

    tracing, dims = _tracing(run, place)
    parameter, initial = tracing.source("parameter", dims=dims), tracing.source("initial", dims=dims)
    gradient = _gradient(tracing, place, dims, run.dataset.batch_size)
    added = traced(tracing, run.regulariser.term, parameter, initial) if place.parameter.regularised else 0.0
    if isinstance(added, Symbol) or added:
        traced(tracing, gradient.__iadd__, added)
    shapes = {(): (), place.parameter.shape: dims}
    kept: dict[str, Any] = {}
    for position, (name, values) in enumerate(memory.items()):
        if (str(values.dtype) == FLOAT and values.shape in shapes) or values.shape == ():
            kept[name] = tracing.source(f"memory_{position}", str(values.dtype), shapes[values.shape])
        else:
            kept[name] = Opaque(tracing, f'memory["{name}"], {values.dtype} of shape {list(values.shape)}')
    start = {name: node_of(one) for name, one in kept.items()}
    traced(tracing, run.optimiser.step, parameter, gradient, kept)
    axes = frozenset(dim for dim in dims if dim)
    outputs = [(Array(of("parameter"), FLOAT, axes), parameter.node)]
    for position, name in enumerate(memory):
        now = kept[name]
        if isinstance(now, Opaque) or now is None or node_of(now) is start[name]:
            continue
        over = axes if memory[name].ndim else frozenset[str]()
        kind = str(memory[name].dtype)
        check(now, [dims if memory[name].ndim else ()], (kind,))
        outputs.append((Array(of(f"memory_{position}"), kind, over), now.node))
    return program(outputs, magnitudes=place.parameter.is_weight, named=of)


def constraint(run: Run, place: Place) -> Program:
    """What the constraint makes of a parameter; a program of no arrays if it leaves it alone. Raises Refused."""
    tracing, dims = _tracing(run, place)
    name = f"{place.kind}_parameter"
    parameter = tracing.source(name, dims=dims)
    start = parameter.node
    traced(tracing, run.constraint, parameter, place)
    if parameter.node is start:
        return program([])
    into = Array(name, FLOAT, frozenset(dim for dim in dims if dim))
    return program([(into, parameter.node)], magnitudes=place.parameter.is_weight)


def _tracing(run: Run, place: Place) -> tuple[Tracing, Dims]:
    sizes = {UNIT: place.parameter.shape[0], INPUT: place.inputs, PLACE: run.dataset.batch_size}
    return Tracing(sizes), (UNIT, INPUT) if place.parameter.is_weight else (UNIT,)


def _gradient(tracing: Tracing, place: Place, dims: Dims, batch: int) -> Symbol:
    """The gradient of the loss, its mean over the examples of a step; of weights, errors times inputs."""
    graph = tracing.graph
    if place.kind in GRADIENTS:
        node = graph.source(GRADIENTS[place.kind], FLOAT, [UNIT])
    else:
        of_examples = [PLACE] if batch > 1 else []
        node = graph.source("error", FLOAT, [*of_examples, UNIT])
        if INPUT in dims:
            node = graph.apply("multiply", graph.source("input", FLOAT, [*of_examples, INPUT]), node)
        node = graph.reduce("sum", node, PLACE) if batch > 1 else node
    if batch > 1:
        node = graph.apply("multiply", node, graph.constant(1 / batch, FLOAT))
    return Symbol(tracing, node, dims)
