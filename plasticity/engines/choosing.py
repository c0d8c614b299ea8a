"""The form of replacement methods other than continual backpropagation: the update is a program, and the choice
stays in Python."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from plasticity.engines.form import Form
from plasticity.engines.kernel.memory import LayerMemory, aligned, padded
from plasticity.networks.network import Network
from plasticity.replacement import Replacement, Step
from plasticity.run import Run

if TYPE_CHECKING:
    from torch import Tensor

    from plasticity.networks.layer import Layer

HERE, ALWAYS, WHEN_DUE = range(3)
"""`Choice` in `learner.h`."""


class ChosenInPython(Form):
    """A replacement method. Where units are due, its choice works on views of the kernel's memory."""

    def arrange(self, memory: Sequence[LayerMemory]) -> None:
        for number, layer in enumerate(memory[:-1]):
            layer.arrays["due"] = aligned(1, np.float64)
            if type(self.part).shares is not Replacement.shares:
                layer.arrays["share"] = aligned(layer.units, np.float64)
            for place, values in enumerate(self._start[number].values()):
                layer.own[f"memory_{place}"] = _kept(values, layer.units)
            self.arrange_update(number, layer)

    def arrange_update(self, number: int, layer: LayerMemory) -> None:
        """Has the kernel update what is remembered of a hidden layer, whose position counts from 0."""
        raise NotImplementedError

    def tell(self, learner: Any, layers: Sequence[Any]) -> None:
        learner.choice = WHEN_DUE

    def restore(self, network: Network, memory: Sequence[LayerMemory], layers: Sequence[Any]) -> None:
        self.views = self._views(memory)
        self.shown: Shown | None = None
        for name, views in self.views.items():
            for view, values in zip(views, network.remembered(name), strict=True):
                view[...] = values

    def remembered(
        self, memory: Sequence[LayerMemory], layers: Sequence[Any], clock: int
    ) -> dict[str, np.ndarray]:
        return {
            f"{name}.{number}": view.copy()
            for name, views in self.views.items()
            for number, view in enumerate(views)
        }

    @cached_property
    def _start(self) -> list[dict[str, np.ndarray]]:
        """What is remembered of each hidden layer at the start."""
        return [self.part.memory_of(layer) for layer in self.run.layers[:-1]]

    def _views(self, memory: Sequence[LayerMemory]) -> dict[str, list[np.ndarray]]:
        """What is remembered of each hidden layer, by name, in the kernel's memory."""
        start = self._start
        return {
            name: [
                layer.own[f"memory_{place}"][: layer.units] if values[name].shape == (layer.units,)
                else layer.own[f"memory_{place}"]
                for layer, values in zip(memory, start, strict=False)
            ]
            for place, name in enumerate(start[0])
        }  # fmt: skip

    def choose(self, step: int, learner: Any, memory: Sequence[LayerMemory], layers: Sequence[Any]) -> None:
        import torch

        if self.shown is None:
            self.shown = Shown.of(self.views, memory, layers, learner, self.run)
        remembered = self.shown.remembered
        given = {name: list(tensors) for name, tensors in remembered.items()}
        due = [float(layer.arrays["due"][0]) for layer in memory[:-1]] if learner.choice == WHEN_DUE else []
        done = self._step(step)
        with torch.no_grad():
            chosen = self.part.chosen(given, done, due)
        for name, tensors in given.items():
            for now, view, tensor in zip(tensors, self.views[name], remembered[name], strict=True):
                if now is not tensor:  # put in its place, rather than changed
                    view[...] = now.numpy()
        for number, (layer, kernels) in enumerate(zip(memory[:-1], layers, strict=False)):
            units = _distinct(chosen[number], layer.units)
            kernels.choices = len(units)
            if not units:
                continue
            layer.arrays["chosen"][: len(units)] = units
            if "share" in layer.arrays:
                shares = self.part.shares(remembered, done, number, units)
                layer.arrays["share"][: len(units)] = np.array(shares, np.float64)
            for name, views in self.views.items():
                if name not in self.part.kept and views[number].shape[-1:] == (layer.units,):
                    views[number][..., layer.arrays["chosen"][: len(units)]] = 0

    def _step(self, number: int) -> Step:
        """What the choice may look at, in lists of its own, which it may change."""
        from plasticity.engines.seen import draws_after

        assert self.shown is not None
        draw, chance = draws_after(self.run, number)
        shown = self.shown
        return Step(
            number=number,
            activations=list(shown.activations),
            pre_activations=list(shown.pre_activations),
            gradients=shown.gradients,
            steps_per_task=shown.steps_per_task,
            linear=list(shown.linear),  # type: ignore[arg-type]
            draw=draw,
            chance=chance,
            layers=shown.layers,
            columns=[[h] for h in shown.activations],
        )


@dataclass(frozen=True)
class Gradients(Sequence["Tensor"]):
    """What `Step.gradient` gives of one example, computed when it is asked for."""

    memory: Sequence[LayerMemory]
    layers: Sequence[Any]

    def __len__(self) -> int:
        return len(self.memory) - 1

    def __getitem__(self, layer: Any) -> Any:
        import torch

        memory, used = self.memory[:-1][layer], self.layers[layer].used
        inputs = np.abs(memory.current["value"][0, :used]).sum() / memory.inputs
        return torch.from_numpy(np.abs(memory.current["error"][0, : memory.units]) * inputs)


def _distinct(units: Iterable[Any], number: int) -> list[int]:
    """Units in their order, each once, counted from the end where they are below 0.

    Raises:
        IndexError: for one of which there is none.
    """
    existing = list(range(number))
    if units == existing:  # the choice of a method that moves every unit
        return existing
    return list(dict.fromkeys([existing[unit] for unit in map(int, units)]))


@dataclass(frozen=True)
class Shown:
    """What a choice may look at, in the kernel's memory. Gradients and weights are computed when asked for."""

    remembered: dict[str, list["Tensor"]]
    activations: list["Tensor"]
    pre_activations: list["Tensor"]
    gradients: Sequence["Tensor"]
    linear: list["Linear"]
    layers: Sequence["Layer"]
    steps_per_task: int

    @classmethod
    def of(
        cls,
        views: dict[str, list[np.ndarray]],
        memory: Sequence[LayerMemory],
        layers: Sequence[Any],
        learner: Any,
        run: Run,
    ) -> "Shown":
        """Those of a network.

        Args:
            views: what is remembered.
            memory: the layers.
            layers: the kernel's `Layer` of each.
            learner: the kernel's `Learner`.
            run: the run.
        """
        import torch

        def of_units(name: str) -> list["Tensor"]:
            arrays = [layer.current[name][:, : layer.units] for layer in memory[:-1]]
            return [torch.from_numpy(array if run.dataset.batch_size > 1 else array[0]) for array in arrays]

        return cls(
            {name: [torch.from_numpy(view) for view in arrays] for name, arrays in views.items()},
            of_units("activation"),
            of_units("z"),
            Gradients(memory, layers) if "gradients" in run.replacement.looks_at else [],
            [Linear(layer, learner) for layer in memory],
            run.layers,
            run.dataset.steps_per_task,
        )


@dataclass(frozen=True)
class Linear:
    """A linear layer with copies of its weights, made when they are asked for."""

    memory: LayerMemory
    learner: Any

    @property
    def in_features(self) -> int:
        return self.memory.inputs

    @property
    def out_features(self) -> int:
        return self.memory.units

    @property
    def parameters(self) -> dict[str, "Tensor"]:
        """By the names that layers have for them."""
        return {"weights": self.weight, "biases": self.bias}

    @property
    def weight(self) -> "Tensor":
        """[units, inputs]."""
        import torch

        return torch.from_numpy(self.memory.weight * np.float32(self.learner.scale))

    @property
    def bias(self) -> "Tensor":
        """[units]."""
        import torch

        return torch.from_numpy(self.memory["bias"] * np.float32(self.learner.scale))


def _kept(values: np.ndarray, units: int) -> np.ndarray:
    """The memory for what is remembered of a layer, padded where it is over units."""
    dtype = values.dtype.type
    if str(values.dtype) not in ("bool", "int32", "int64", "float32", "float64"):
        return np.array(values)
    if values.shape == (units,):
        return aligned(padded(units), dtype)
    return aligned(values.shape or 1, dtype).reshape(values.shape)
