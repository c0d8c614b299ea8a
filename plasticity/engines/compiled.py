"""The compiled engine: the reference engine's step through `torch.compile`, for runs of any parts."""

import os
import shutil
from typing import TYPE_CHECKING

from plasticity.network import Network
from plasticity.run import Run

if TYPE_CHECKING:
    from plasticity.engines.compiled_learner import CompiledLearner

WORTHWHILE = 60_000
"""Steps of a run from which compiling, at most a minute, costs less than it saves."""

SPEED = 5.0
"""About how many times as fast as the reference engine: 3.5 to 6.5 on the paper's networks (`benchmarks.step`)."""


class CompiledEngine:
    """Computes runs of any parts, each step in one piece of compiled code."""

    name = "compiled"

    def unsupported(self, run: Run) -> str | None:
        if any(map(shutil.which, [os.environ.get("CXX", "c++"), "g++", "clang++"])):
            return None
        return "engine=compiled needs a C++ compiler, but neither c++, g++ nor clang++ was found"

    def learner(self, run: Run, network: Network) -> "CompiledLearner":
        from plasticity.engines.compiled_learner import CompiledLearner  # imports PyTorch

        return CompiledLearner(run, network)
