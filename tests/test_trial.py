"""Parts of a user's own that cannot take a step: refused before anything starts, by class and method."""

import os
import sys
from dataclasses import replace

import pytest
import user

import plasticity
from plasticity.errors import UserError
from plasticity.launch import trial
from plasticity.machine.processes import Process
from plasticity.run import Run

BROKEN = '''
"""Parts that cannot take a step."""

import os
import signal
from dataclasses import dataclass

import numpy as np
import torch

from plasticity import (
    Activation, Constraint, Dataset, Model, Objective, Optimiser, Perturbation, Regulariser, Replacement, Utility,
    integer,
)
from plasticity.objectives import CrossEntropy


class Whole(Activation):
    def __call__(self, z):
        return 7

class Nothing(Activation):
    def __call__(self, z):
        pass

class Array(Activation):
    def __call__(self, z):
        return z.detach().numpy()

class Constant(Activation):
    def __call__(self, z):
        return z.detach().relu()

class Wide(Activation):
    def __call__(self, z):
        return torch.cat([z, -z], dim=-1)

class Double(Activation):
    def __call__(self, z):
        return z.double()

class Undefined(Activation):
    pass

class Raising(Activation):
    def __call__(self, z):
        raise KeyboardInterrupt("enough")

class Crash(Activation):
    def __call__(self, z):
        os.kill(os.getpid(), signal.SIGSEGV)

class Hang(Activation):
    def __call__(self, z):
        while True:
            pass

class Late(Activation):
    """Passes on made-up units, and fails in a network."""

    def __call__(self, z):
        if z.shape[-1] == 6:
            raise RuntimeError("six units")
        return z.relu()

class Worthless(Utility):
    def __call__(self, measures):
        return None

class Term(Regulariser):
    def term(self, parameter, initial):
        return np.zeros(parameter.shape)

class Placed(Regulariser):
    def memory(self, place):
        return {"seen": torch.zeros(())}

    def gradient(self, place, parameter, initial, memory):
        memory["seen"] += 1
        return parameter.sum(0) if place.is_output else 0.0

class Still(Optimiser):
    pass

class Together(Optimiser):
    is_noisy = True

    def descend(self, parameters, gradients, memory, noise):
        for name, parameter in parameters.items():
            parameter -= noise[name] * memory[name]["momentum"]

class Free(Constraint):
    pass

class Idle(Perturbation):
    acts_in_steps = True

    def due(self, task):
        return False

class Forgetful(Replacement):
    pass

class Silent(Replacement):
    def choose(self, memory, step, due):
        return None

class OneList(Replacement):
    def choose(self, memory, step, due):
        return [0]

class Untold(Replacement):
    def update(self, memory, step):
        return None

@dataclass(frozen=True, kw_only=True)
class Empty(Model):
    """A recurrent network, one day."""
    width: int = integer(6, at_least=1)
    depth: int = integer(2, at_least=1)

class Unscored(CrossEntropy):
    def score(self, outputs, target):
        return 0.5

@dataclass(frozen=True, kw_only=True)
class Short(Dataset):
    inputs, outputs, objective, tasks = 784, 10, CrossEntropy(), 2
    examples_per_task: int = integer(60, at_least=1)

    def open(self, seed, root):
        return [1, 2, 3]
'''

REFUSED = {
    "activation=broken.Whole": "a class whose __call__ returns a float32 tensor shaped like z that gradients flow "
    "through, not 7.",
    "activation=broken.Nothing": ", not None.",
    "activation=broken.Array": ", not a NumPy array of shape [4].",
    "activation=broken.Constant": ", not a float32 tensor of shape [4] without gradients.",
    "activation=broken.Wide": ", not a float32 tensor of shape [8].",
    "activation=broken.Double": ", not a float64 tensor of shape [4].",
    "activation=broken.Undefined": "a class that defines __call__, which returns a float32 tensor",
    "activation=broken.Raising": ", but it raised KeyboardInterrupt: enough, in Raising.__call__ (line ",
    "replacement.utility=broken.Worthless": "a class whose __call__ returns a float32 tensor with a value for each "
    "unit, not None.",
    "regulariser=broken.Term": "a number, or a float32 tensor shaped like the parameter, "
    "not a NumPy array of shape [4, 4].",
    "regulariser=broken.Placed": "a class whose gradient returns a number, or a float32 tensor shaped like the "
    "parameter, not a float32 tensor of shape [4] without gradients.",
    "optimiser=broken.Still": "a class that defines step",
    "optimiser=broken.Together": "a class whose descend returns nothing, but it raised KeyError: 'momentum', in "
    "Together.descend (line ",
    "constraint=broken.Free": "a class that defines __call__, which returns nothing.",
    "perturbation=broken.Idle": "a class that defines perturb, which returns nothing.",
    "replacement=broken.Untold": "a class whose update returns a list of numbers, one for each of the 2 hidden "
    "layers, or an empty one, not None.",
    "replacement=broken.Forgetful": "a class that defines choose, which returns a list of the units to replace "
    "for each of the 2 hidden layers.",
    "replacement=broken.Silent": "a class whose choose returns a list of the units to replace for each of the 2"
    " hidden layers, not None.",
    "replacement=broken.OneList": ", not [0].",
    "model=broken.Empty": "a class that defines layers, which returns the network's layers",
    "dataset=broken.Short": "a class whose open returns a stream, which has the method task, not [1, 2, 3].",
}

SMALL = {
    "model": {"width": 6, "depth": 2},
    "dataset": {"name": "permuted_mnist", "tasks": 2, "examples_per_task": 60},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder on the path of modules, with parts that work and parts that don't."""
    folder = tmp_path_factory.mktemp("parts")
    user.write(folder)
    (folder / "broken.py").write_text(BROKEN)
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))
    for module in ("my_parts", "broken"):
        sys.modules.pop(module, None)


def run_of(choice):
    """A small run with a part chosen by its import path."""
    key, _, path = choice.partition("=")
    part = {"_target_": path}
    if key == "model":
        return Run.of({**SMALL, "model": part | {"width": 6, "depth": 2}})
    return Run.of({**SMALL, **({"replacement": {"utility": part}} if "." in key else {key: part})})


@pytest.mark.parametrize("choice", REFUSED)
def test_a_part_that_cannot_take_a_step_is_refused_by_class_and_method(folder, choice):
    with pytest.raises(UserError) as refusal:
        trial.check(run_of(choice), None)
    assert str(refusal.value).startswith(f"{choice} is refused: it must be a class ")
    assert REFUSED[choice] in str(refusal.value)


@pytest.mark.parametrize("batch_size", [1, 5])
def test_parts_that_work_are_not_refused(folder, batch_size):
    choices = ["activation=my_parts.Slope", "replacement.utility=my_parts.Size", "regulariser=my_parts.L2Init",
               "dataset=my_parts.PermutedLabels"]  # fmt: skip
    for run in map(run_of, choices):
        run = replace(run, dataset=replace(run.dataset, batch_size=batch_size))
        assert len(trial.own(run)) == 1
        trial.check(run, None)
        trial.step(run, None)


def test_an_error_in_a_step_names_the_method_and_the_line(folder):
    run = run_of("activation=broken.Late")
    trial.check(run, None)
    line = 1 + BROKEN.splitlines().index('            raise RuntimeError("six units")')
    with pytest.raises(UserError) as refusal:
        trial.step(run, None)
    assert str(refusal.value) == (
        "activation=broken.Late is refused: a step on made-up examples ended with RuntimeError: six units, in "
        f"Late.__call__ (line {line} of {folder / 'broken.py'})."
    )


def test_a_part_that_hangs_is_refused_and_its_process_ended(folder, monkeypatch):
    monkeypatch.setattr(trial, "SECONDS", 1.0)
    with Process() as apart:
        apart.ask(os.getpid)
        process = apart.answer()
        with pytest.raises(UserError, match=r"=broken\.Hang is refused: .* it did not return within 1 s\.$"):
            trial.try_own_parts([run_of("activation=broken.Hang")], None, apart)
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_parts_of_this_package_are_not_tried():
    with Process() as apart:
        trial.try_own_parts([Run(), Run(seed=1)], None, apart)
        assert apart.kill() is None  # none was started


def test_a_part_that_crashes_refuses_the_sweep_before_anything_starts(folder, command):
    command.folder = folder
    done = command("-m", "activation=relu,broken.Crash", "dataset.tasks=2", "dataset.examples_per_task=60")
    assert done.returncode == 1 and not command.folders()
    assert done.stderr.splitlines() == [
        "activation=broken.Crash is refused: it must be a part that can be tried on made-up examples, but its "
        "process was killed by SIGSEGV."
    ]


def test_python_refuses_it_too(folder):
    with pytest.raises(UserError, match="it must be a class that defines layers"):
        run_of("model=broken.Empty")
    run = run_of("optimiser=broken.Still")
    with pytest.raises(UserError, match="it must be a class that defines step"):
        plasticity.train(run, progress=False)
    with pytest.raises(UserError, match="it must be a class that defines step"):
        next(plasticity.learn(run))
