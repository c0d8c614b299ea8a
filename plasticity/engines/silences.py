"""The form of self-normalised resets: the kernel counts silences."""

import numpy as np

from plasticity.engines.choosing import ChosenInPython
from plasticity.engines.kernel import binding
from plasticity.engines.kernel.memory import LayerMemory
from plasticity.replacement.snr import bins


class Silences(ChosenInPython):
    """Self-normalised resets, in the kernel's `silence.h`."""

    def arrange_update(self, number: int, layer: LayerMemory) -> None:
        if number + 1 not in self.part.layers:
            return
        import torch

        names = list(self._start[number])
        layer.own["bin"] = bins(torch.arange(self.part.most + 1)).numpy().astype(np.int32)
        layer.own["until"] = np.array(self.part.update_tasks * self.run.dataset.steps_per_task, np.int64)
        layer.own[f"memory_{names.index('threshold')}"][layer.units :] = np.iinfo(np.int32).max
        remembered = [f"memory_{names.index(name)}" for name in ("silence", "threshold", "completed")]
        arrays = ["activation", *remembered, "bin", f"memory_{names.index('steps')}", "until", "due"]
        layer.give("update", binding.kernel().count_silences, arrays)
