"""The compiled engine: the reference engine's step through `torch.compile`, for runs with any parts."""

from typing import TYPE_CHECKING

from plasticity.engines import cxx
from plasticity.networks.network import Network
from plasticity.run import Run

if TYPE_CHECKING:
    from plasticity.engines.compiled_learner import CompiledLearner

WORTHWHILE = 60_000
"""Number of steps of a run from which compiling, which takes at most a minute, saves more time than it costs."""

SPEED = 5.0
"""About how many times as fast as the reference engine: 3.5 to 6.5 on the paper's networks (`benchmarks.step`)."""


class CompiledEngine:
    """Computes runs with any parts, each step in one piece of compiled code."""

    name = "compiled"

    def unsupported(self, run: Run) -> str | None:
        try:
            cxx.compiler()
        except cxx.NoCompiler as reason:
            return str(reason)
        return None

    def learner(self, run: Run, network: Network) -> "CompiledLearner":
        from plasticity.engines.compiled_learner import CompiledLearner  # imports PyTorch

        return CompiledLearner(run, network)
