"""C: a program of the kernel's vectors for the operations that a part was traced to."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from plasticity.engines.traced.language import (
    C_TYPES,
    LANE_TYPES,
    OF_VECTORS,
    STORED,
    constant,
    number_template,
)  # fmt: skip
from plasticity.engines.traced.operations import (
    ALL,
    DOUBLE,
    FLOAT,
    INPUT,
    PLACE,
    TRUTH,
    UNIT,
    WHOLE,
    Node,
    copy,
    needed,
)  # fmt: skip

START = {"sum": "0", "max": "-INFINITY", "min": "INFINITY"}
STEP = {"sum": "add", "max": "maximum", "min": "minimum"}

ROW_MAGNITUDE = "row_magnitude"
"""The array that receives Σ|θ| of each row of the first output, where there is one."""


@dataclass(frozen=True)
class Array:
    """An array that a program is given: what it is called, its type, and what it is over."""

    name: str
    dtype: str
    axes: frozenset[str]


@dataclass(frozen=True)
class Program:
    """A program, and the arrays that it takes, in its order.

    Attributes:
        body: its C, with NAME for the name of the function.
        arrays: what it reads, and what it writes.
    """

    body: str
    arrays: tuple[Array, ...]


def program(
    outputs: Sequence[tuple[Array, Node]],
    magnitudes: bool = False,
    named: Callable[[str], str] = lambda name: name,
) -> Program:
    """The program that computes some arrays; the same operations give the same text.

    Args:
        outputs: what is written to each; every array is read before any is written, sixteen units at a time.
        magnitudes: whether it also writes Σ|θ| of each row of its first output.
        named: the name of the array for that of a source.
    """
    copied = copy([node for _, node in outputs], named)
    outputs = [(array, node) for (array, _), node in zip(outputs, copied, strict=True)]
    nodes = needed(node for _, node in outputs)
    given = [Array(node.value, node.dtype, node.axes) for node in nodes if node.operation == "source"]
    extra = [Array(ROW_MAGNITUDE, FLOAT, frozenset([INPUT]))] if magnitudes else []
    arrays = tuple(
        {array.name: array for array in [*given, *(array for array, _ in outputs), *extra]}.values()
    )
    return Program(_Writer(nodes, outputs, arrays, magnitudes).text(), arrays)


class _Writer:
    """Writes one program: loops over rows and units for what each level of sums needs, then one for the outputs."""

    def __init__(
        self,
        nodes: list[Node],
        outputs: Sequence[tuple[Array, Node]],
        arrays: Sequence[Array],
        magnitudes: bool,
    ):
        self.nodes, self.outputs, self.arrays, self.magnitudes = nodes, outputs, arrays, magnitudes
        self.lines: list[str] = []
        self.levels: dict[int, int] = {}
        for node in nodes:
            below = max((self.levels[one.number] for one in node.operands), default=0)
            self.levels[node.number] = below + (_is_total(node))
        lanes = [node for node in nodes if _is_by_lane(node)]
        self.quotients = [node for node in nodes if _is_quotient_of_all(node)]
        self.viewed = {one.number for node in lanes for one in node.operands if one.dtype in (FLOAT, TRUTH)}

    def text(self) -> str:
        self.lines = ["static void NAME(const Shape *shape, void *const *array)", "{"]
        self._add("const int stride = (shape->units + LANES - 1) / LANES * LANES; (void)stride;")
        for place, array in enumerate(self.arrays):
            self._add(f"{STORED[array.dtype]} *const {array.name} = array[{place}];")
        last = max(self.levels.values(), default=0)
        for level in range(last + 1):
            for node in self.nodes:
                if not node.axes and not _is_total(node) and self.levels[node.number] == level:
                    self._define(node)
            for node in dict.fromkeys(one.operands[1] for one in self.quotients):
                if self.levels[node.number] == level:
                    self._add(f"const float inverse{node.number} = 1 / {_name(node)};")
            totals = [one for one in self.nodes if _is_total(one) and self.levels[one.number] == level + 1]
            if totals:
                self._totals(totals)
        arrays = [(array, node) for array, node in self.outputs if array.axes]
        if arrays:
            self._loop([node for _, node in arrays], arrays)
        for array, node in self.outputs:
            if not array.axes:
                self._add(f"*{array.name} = ({STORED[array.dtype]}){_name(node)};")
        return "\n".join([*self.lines, "}", ""])

    def _add(self, line: str) -> None:
        self.lines.append(f"    {line}")

    # --- Loops --------------------------------------------------------------------------------------------

    def _totals(self, totals: list[Node]) -> None:
        """Sums, largest and smallest numbers over everything, with lanes added up in one order everywhere."""
        for node in totals:
            self._start(node, f"a{node.number}")
        self._loop([node.operands[0] for node in totals], totals=totals)
        for node in totals:
            kind, name, start = C_TYPES[node.dtype], f"a{node.number}", START[node.operation]
            if UNIT not in node.operands[0].axes:
                self._add(f"const {kind} {_name(node)} = {name};")
            elif node.dtype == FLOAT and node.operation == "sum":
                self._add(f"const float {_name(node)} = sum({name});")
            else:
                lane = f"lanes_of({name}).number[l]" if node.dtype == FLOAT else f"{name}.lane[l]"
                self._add(
                    f"{kind} {_name(node)} = ({kind}){start if node.dtype != WHOLE else f'{name}.lane[0]'};"
                )
                first = 1 if node.dtype == WHOLE else 0
                step = _combined(node, _name(node), lane)
                self._add(f"for (int l = {first}; l < LANES; l++) {_name(node)} = {step};")

    def _start(self, node: Node, name: str) -> None:
        """Declares what a sum, max or min is accumulated in."""
        start, kind = START[node.operation], node.dtype
        if kind == WHOLE and node.operation != "sum":
            start = "INT64_MIN" if node.operation == "max" else "INT64_MAX"
        if UNIT not in node.operands[0].axes:
            self._add(f"{C_TYPES[kind]} {name} = {start};")
        elif kind == FLOAT:
            self._add(f"vec {name} = all({start});")
        else:
            self._add(f"{LANE_TYPES[kind]} {name}; EACH_LANE(l) {name}.lane[l] = {start};")

    def _loop(
        self,
        ends: Iterable[Node],
        stores: Sequence[tuple[Array, Node]] = (),
        totals: Sequence[Node] = (),
    ) -> None:
        """A loop over rows, if anything is over inputs, and units."""
        nodes = [node for node in needed(ends) if node.axes and PLACE not in node.axes]
        over_units = any(UNIT in node.axes for node in nodes) or any(
            UNIT in array.axes for array, _ in stores
        )
        rows = any(INPUT in axes for axes in [one.axes for one in nodes] + [one.axes for one, _ in stores])
        if rows:
            self._add("for (int64_t r = 0; r < shape->inputs; r++) {")
            for node in nodes:
                if UNIT not in node.axes:
                    self._define(node)
        if self.magnitudes and stores:
            self._add("vec magnitude = all(0);")
        if over_units:
            self._add("for (int i = 0; i < stride; i += LANES) {")
            self._add("const vec live = lanes_before(shape->units - i); (void)live;")
            for node in nodes:
                if UNIT in node.axes:
                    self._define(node)
            for node in totals:
                if UNIT in node.operands[0].axes:
                    self._accumulate(node, f"a{node.number}", masked=True)
            for array, node in stores:
                self._store(array, node)
            self._add("}")
        for node in totals:
            if UNIT not in node.operands[0].axes:
                self._accumulate(node, f"a{node.number}", masked=False)
        if self.magnitudes and stores:
            self._add(f"{ROW_MAGNITUDE}[r] = sum(magnitude);")
        if rows:
            self._add("}")

    def _accumulate(self, node: Node, into: str, masked: bool) -> None:
        """Adds to a sum, or takes the larger or smaller number; lanes that are no units count for nothing."""
        operand = node.operands[0]
        if UNIT not in operand.axes:
            self._add(f"{into} = {_combined(node, into, _name(operand))};")
        elif node.dtype == FLOAT:
            value = _name(operand)
            if masked:
                of_others = {"sum": f"both(live, {value})"}
                value = of_others.get(node.operation, f"blend(live, {value}, all({START[node.operation]}))")
            self._add(f"{into} = {STEP[node.operation]}({into}, {value});")
        else:
            condition = "if (i + l < shape->units) " if masked else ""
            step = _combined(node, f"{into}.lane[l]", f"{_name(operand)}.lane[l]")
            self._add(f"EACH_LANE(l) {condition}{into}.lane[l] = {step};")

    def _store(self, array: Array, node: Node) -> None:
        place = f"{array.name} + {_offset(array)}"
        if array.dtype == FLOAT:
            value = f"both(live, {_in_lanes(node)})"
            if self.magnitudes and array is self.outputs[0][0]:
                self._add(f"{{ const vec stored = {value}; store({place}, stored);")
                self._add("magnitude = add(magnitude, absolute(stored)); }")
            else:
                self._add(f"store({place}, {value});")
        elif array.dtype == TRUTH:
            self._add(f"store_truth({place}, {_in_lanes(node)});")
        else:
            value = f"{_name(node)}.lane[l]" if UNIT in node.axes else _name(node)
            self._add(f"EACH_LANE(l) ({place})[l] = {value};")

    # --- Nodes --------------------------------------------------------------------------------------------

    def _define(self, node: Node) -> None:
        """Declares a node's number or sixteen numbers."""
        if node.operation == "constant":
            return
        if node.operation == "source":
            self._load(node)
        elif node.value == PLACE:
            self._over_places(node)
            return
        elif UNIT not in node.axes:
            expression = number_template(node).format(*map(_name, node.operands))
            self._add(f"const {C_TYPES[node.dtype]} {_name(node)} = {expression};")
        elif _is_by_lane(node):
            self._by_lane(node)
            return
        elif node in self.quotients:
            number, inverse = node.operands[0], f"all(inverse{node.operands[1].number})"
            self._add(f"const vec {_name(node)} = multiply({_in_lanes(number)}, {inverse});")
        else:
            self._add(f"const vec {_name(node)} = {_vector(node)};")
        if node.number in self.viewed and UNIT in node.axes:
            self._add(f"const Lanes l{node.number} = lanes_of({_name(node)});")

    def _load(self, node: Node) -> None:
        array = Array(node.value, node.dtype, node.axes)
        place, name = f"{array.name} + {_offset(array)}", _name(node)
        if UNIT not in node.axes:
            self._add(f"const {C_TYPES[node.dtype]} {name} = *({place});")
        elif node.dtype in (FLOAT, TRUTH):
            self._add(f"const vec {name} = {'load' if node.dtype == FLOAT else 'load_truth'}({place});")
        else:
            self._add(f"{LANE_TYPES[node.dtype]} {name}; EACH_LANE(l) {name}.lane[l] = ({place})[l];")

    def _by_lane(self, node: Node) -> None:
        """One lane after the other, which a compiler makes vectors of."""
        expression = number_template(node).format(*map(_lane, node.operands))
        name, view = _name(node), f"l{node.number}"
        if node.dtype in (WHOLE, DOUBLE):
            self._add(f"{LANE_TYPES[node.dtype]} {name}; EACH_LANE(l) {name}.lane[l] = {expression};")
        else:
            into, value = ("number", expression) if node.dtype == FLOAT else ("bits", f"-({expression})")
            self._add(f"Lanes {view}; EACH_LANE(l) {view}.{into}[l] = {value};")
            self._add(f"const vec {name} = load({view}.number);")

    def _over_places(self, node: Node) -> None:
        """A sum, max or min over the examples of a batch."""
        self._start(node, _name(node))
        self._add("for (int64_t p = 0; p < shape->places; p++) {")
        for inner in needed([node.operands[0]]):
            if PLACE in inner.axes:
                self._define(inner)
        self._accumulate(node, _name(node), masked=False)
        self._add("}")
        if node.number in self.viewed and UNIT in node.axes:
            self._add(f"const Lanes l{node.number} = lanes_of({_name(node)});")


def _is_total(node: Node) -> bool:
    return node.operation in START and node.value == ALL


def _is_by_lane(node: Node) -> bool:
    """Whether a node over units is computed lane by lane: whole numbers and doubles are."""
    computed = node.operation not in ("source", "constant", *START)
    kinds = {node.dtype, *(one.dtype for one in node.operands)}
    return computed and UNIT in node.axes and bool(kinds & {WHOLE, DOUBLE})


def _is_quotient_of_all(node: Node) -> bool:
    """Whether every weight is divided by the same number: multiplying by its inverse is much faster."""
    return node.operation == "divide" and INPUT in node.operands[0].axes and not node.operands[1].axes


def _name(node: Node) -> str:
    return constant(node) if node.operation == "constant" else f"v{node.number}"


def _in_lanes(node: Node) -> str:
    """A float or a truth in sixteen lanes."""
    if UNIT in node.axes:
        return _name(node)
    return f"truth_in_all({_name(node)})" if node.dtype == TRUTH else f"all({_name(node)})"


def _lane(node: Node) -> str:
    """One lane of a node, or its single number."""
    if UNIT not in node.axes:
        return _name(node)
    if node.dtype in (WHOLE, DOUBLE):
        return f"{_name(node)}.lane[l]"
    return f"l{node.number}.number[l]" if node.dtype == FLOAT else f"(l{node.number}.bits[l] & 1)"


def _vector(node: Node) -> str:
    operands = list(map(_in_lanes, node.operands))
    if node.operation == "cast":  # between floats and truth
        return (
            f"both({operands[0]}, all(1))"
            if node.dtype == FLOAT
            else f"opposite(equal({operands[0]}, all(0)))"
        )
    return OF_VECTORS[node.operation].format(*operands)


def _combined(node: Node, one: str, other: str) -> str:
    """A step of a sum, max or min of single numbers."""
    if node.operation == "sum":
        return f"WRAPPED({one}, +, {other})" if node.dtype == WHOLE else f"{one} + {other}"
    return f"{'LARGER' if node.operation == 'max' else 'SMALLER'}({one}, {other})"


def _offset(array: Array) -> str:
    """Where a number, or sixteen, are in an array, whose rows are padded (`memory.py`)."""
    axes = array.axes
    over_places = "((shape->units + LANES) / LANES * LANES)" if array.name == "error" else "stride"
    if axes == {PLACE, INPUT}:
        return "p * ((shape->inputs + LANES) / LANES * LANES) + r"
    if axes == {PLACE, UNIT}:
        return f"p * {over_places} + i"
    if axes == {INPUT, UNIT}:
        return "r * stride + i"
    return "i" if axes == {UNIT} else "r" if axes == {INPUT} else "0"
