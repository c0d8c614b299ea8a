"""How operations are written in C: on sixteen floats at a time, and on one number of any type (`functions.h`)."""

from plasticity.engines.traced.operations import DOUBLE, FLOAT, TRUTH, WHOLE, Node

OF_VECTORS = {
    "add": "add({0}, {1})", "subtract": "subtract({0}, {1})", "multiply": "multiply({0}, {1})",
    "divide": "divide({0}, {1})", "negate": "subtract(all(-0.0f), {0})", "absolute": "absolute({0})",
    "maximum": "maximum({0}, {1})", "minimum": "minimum({0}, {1})", "root": "root({0})", "exp": "exp_of({0})",
    "expm1": "expm1_of({0})", "log": "ln_of({0})", "log1p": "log1p_of({0})", "tanh": "tanh_of({0})",
    "sigmoid": "sigmoid_of({0})", "erf": "erf_of({0})", "power": "power_of({0}, {1})", "sin": "sine_of({0}, {0})",
    "cos": "cosine_of({0}, {0})", "floor": "floor_of({0})", "ceil": "ceiling_of({0})", "trunc": "truncated({0})",
    "round": "nearest({0})", "less": "less({0}, {1})", "at_most": "at_most({0}, {1})", "equal": "equal({0}, {1})",
    "both": "both({0}, {1})", "either": "either({0}, {1})", "differs": "differs({0}, {1})", "not": "opposite({0})",
    "where": "blend({0}, {1}, {2})", "detached": "{0}",
}  # fmt: skip
"""On floats, and on masks."""

OF_NUMBERS = {
    "add": "{0} + {1}", "subtract": "{0} - {1}", "multiply": "{0} * {1}", "divide": "{0} / {1}", "negate": "-{0}",
    "maximum": "LARGER({0}, {1})", "minimum": "SMALLER({0}, {1})", "less": "{0} < {1}", "at_most": "{0} <= {1}",
    "equal": "{0} == {1}", "both": "{0} & {1}", "either": "{0} | {1}", "differs": "{0} ^ {1}", "not": "!{0}",
    "where": "{0} ? {1} : {2}", "detached": "{0}",
}  # fmt: skip
"""On single numbers of every type that has them; those below take their place."""

OF_WHOLES = {
    "add": "WRAPPED({0}, +, {1})", "subtract": "WRAPPED({0}, -, {1})", "multiply": "WRAPPED({0}, *, {1})",
    "negate": "WRAPPED(0, -, {0})", "absolute": "({0} < 0 ? WRAPPED(0, -, {0}) : {0})",
    "floor_divide": "floor_quotient({0}, {1})", "remainder": "floor_remainder({0}, {1})",
}  # fmt: skip

OF_DOUBLES = {
    "absolute": "fabs({0})", "root": "__builtin_sqrt({0})", "exp": "exp_of_double({0})",
    "log": "ln_of_double({0})", "power": "power_of_double({0}, {1})", "floor": "floor_of_double({0})",
    "ceil": "-floor_of_double(-{0})", "round": "nearest_double({0})",
}  # fmt: skip

OF_FLOATS = {
    "absolute": "fabsf({0})", "root": "__builtin_sqrtf({0})", "power": "(float)power_of_double({0}, {1})",
}  # fmt: skip
"""On a single one; for other functions it takes all sixteen lanes."""

C_TYPES = {TRUTH: "int", WHOLE: "int64_t", FLOAT: "float", DOUBLE: "double"}
"""Of single numbers."""

LANE_TYPES = {TRUTH: "vec", WHOLE: "Wholes", FLOAT: "vec", DOUBLE: "Doubles"}
"""Of sixteen numbers."""

STORED = {TRUTH: "uint8_t", WHOLE: "int64_t", FLOAT: "float", DOUBLE: "double"}
"""In memory."""


def is_written(operation: str, dtype: str) -> bool:
    """Whether an operation on numbers of a type can be written."""
    if dtype == FLOAT:
        return operation in OF_VECTORS
    own = {WHOLE: OF_WHOLES, DOUBLE: OF_DOUBLES}.get(dtype, {})
    return operation in own or operation in OF_NUMBERS


def number_template(node: Node) -> str:
    """An operation on single numbers: an expression with places for its operands."""
    if node.operation == "cast":
        return "({0} != 0)" if node.dtype == TRUTH else f"({C_TYPES[node.dtype]}){{0}}"
    own = {WHOLE: OF_WHOLES, DOUBLE: OF_DOUBLES, FLOAT: OF_FLOATS}.get(node.operands[-1].dtype, {})
    if node.operation in own:
        return own[node.operation]
    if node.operation in OF_NUMBERS:
        return OF_NUMBERS[node.operation]
    of_all = OF_VECTORS[node.operation].format(*(f"all({{{place}}})" for place in range(len(node.operands))))
    return f"first_of({of_all})"


def constant(node: Node) -> str:
    """A constant in C, exactly."""
    if node.dtype == WHOLE:
        return f"INT64_C({node.value})" if node.value >= 0 else f"(-INT64_C({-node.value}))"
    value = float(node.value)
    if node.dtype == TRUTH:
        return str(int(value != 0))
    if value != value:
        return "NAN"
    suffix = "f" if node.dtype == FLOAT else ""
    written = "INFINITY" if abs(value) == float("inf") else f"{abs(value).hex()}{suffix}"
    return f"(-{written})" if str(value).startswith("-") else written
