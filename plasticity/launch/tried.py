"""A part that is being tried: what its methods return is checked, and what they raise is reported."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from plasticity.errors import ConfigError, UserError
from plasticity.part import PACKAGE, Part


def is_own(part: Part) -> bool:
    """Whether a part is the user's own, not this package's."""
    return type(part).__module__.partition(".")[0] != PACKAGE


class Tried:
    """A part that is being tried.

    Args:
        key: its config key.
        part: the part.
        kind: the kind of part that it is.
    """

    def __init__(self, key: str, part: Any, kind: type[Part]):
        self.key, self.part, self.kind = key, part, kind

    def __call__(
        self, method: str, *arguments: Any, valid: Callable[[Any], object], returns: str, on: Any = None
    ) -> Any:
        """Calls a method of the part, or of another object that it gave, and returns what that returned.

        Raises:
            ConfigError: when it raises an error, or what it returns is not valid.
        """
        try:
            found = getattr(self.part if on is None else on, method)(*arguments)
        except UserError:
            raise
        except NotImplementedError as error:
            if getattr(type(self.part), method) is getattr(self.kind, method, None):
                raise self.refused(f"a class that defines {method}, which returns {returns}") from error
            raise self._raised(method, returns, error) from error
        except (Exception, KeyboardInterrupt, SystemExit) as error:
            raise self._raised(method, returns, error) from error
        if not valid(found):
            raise self.refused(f"a class whose {method} returns {returns}, not {_shown(found)}")
        return found

    def _raised(self, method: str, returns: str, error: BaseException) -> ConfigError:
        told = f"{type(error).__name__}: {error}".rstrip(".: ")
        return self.refused(
            f"a class whose {method} returns {returns}, but it raised {told}{where(error, [self.part])}"
        )

    def refused(self, valid: str) -> ConfigError:
        """The error that says what the part must be."""
        return ConfigError(self.key, self.part.name, valid)


def where(error: BaseException, parts: Iterable[Part]) -> str:
    """The innermost method of some parts in which an error was raised, as the end of a sentence."""
    place, trace = "", error.__traceback__
    kinds = {type(part) for part in parts}
    while trace is not None:
        frame, trace_line = trace.tb_frame, trace.tb_lineno
        kind = type(frame.f_locals.get("self"))
        if kind in kinds:
            code = frame.f_code
            place = f", in {kind.__name__}.{code.co_name} (line {trace_line} of {code.co_filename})"
        trace = trace.tb_next
    return place


def _shown(found: Any) -> str:
    """What a method returned, as the end of a sentence."""
    import torch

    if found is None:
        return "None"
    if isinstance(found, torch.Tensor):
        constant = "" if found.requires_grad else " without gradients"
        return f"a {str(found.dtype).removeprefix('torch.')} tensor of shape {list(found.shape)}{constant}"
    if isinstance(found, np.ndarray):
        return f"a NumPy array of shape {list(found.shape)}"
    if isinstance(found, (int, float, str, list, tuple)):
        return f"{found!r}"[:100]
    return f"an object of class {type(found).__name__}"
