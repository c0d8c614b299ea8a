"""Training: computes a run, or what is left of it, in its folder; and measures a run that is finished."""

import traceback
from contextlib import ExitStack
from dataclasses import replace

from plasticity.diagnostics import Diagnostic, lacking
from plasticity.errors import EXPECTED, Damaged, reason
from plasticity.run import Run
from plasticity.store import RunFolder, RunState
from plasticity.training.attempt import Attempt
from plasticity.training.measuring import add_from_snapshots, beside, lacking_snapshots, take_over
from plasticity.training.session import Session


def train(run: Run, folder: RunFolder, session: Session) -> RunState:
    """Computes a run, or what is left of it, in its folder.

    An error ends only this run; the returned state says what it was. A run that is finished, or that another
    process is computing ("held"), is left alone.
    """
    with ExitStack() as resources:
        try:
            folder.make()
            held = resources.enter_context(folder.claim())
            if held:
                folder.create(run)
        except Exception as error:  # the folder cannot be used
            state = RunState(status="failed", reason=reason(error))
        else:
            state = folder.state(run) if held else RunState(status="held")
            restart = state.starts_over(session.restart)
            if held and (restart or not state.is_finished):
                Attempt(run, folder, session, state, resources).compute(restart)
            elif held:
                folder.remove_checkpoint()  # its process may have been killed before it did
                if session.measure_finished:
                    state = measure(run, folder, session, state, resources)
        session.observer.ended(folder.identity, state)
    return state


def measure(run: Run, folder: RunFolder, session: Session, state: RunState, resources: ExitStack) -> RunState:
    """Adds the measures and snapshots that a finished run lacks; only for the holder of its claim.

    Measures are taken from its snapshots. If those don't suffice, or are not all there, the run is computed again
    in a separate folder, by the engine that computed it, and its result stays as it is until then.

    Returns:
        the run's state; if it is computed again and that ends early, the state of the new computation
    """
    gaps = lacking_snapshots(folder, run, session.snapshot_every)
    if not gaps and not lacking(state.measured, session.diagnostics):
        return state
    try:
        if not _from_snapshots(run, folder, session, state) and not gaps:
            return state
        again = beside(folder)
        again.make()
        resources.enter_context(again.claim())
        again.create(run)
        fresh = again.state(run)
        passed = [task for task in gaps if task <= fresh.tasks_done and not again.has_snapshot(task)]
        left = bool(lacking(fresh.measured, session.diagnostics) or passed)
        if not fresh.is_finished or left:
            same_engine = replace(session, engine=state.provenance.get("engine", session.engine), engines={})
            Attempt(run, again, same_engine, fresh, resources).compute(restart=left)
        if not fresh.is_finished:
            return fresh
        take_over(run, folder, again, state, session.diagnostics, session.data_root)
    except Exception as error:
        if not isinstance(error, EXPECTED):
            folder.write_traceback("".join(traceback.format_exception(error)))
        return RunState(status="failed", reason=reason(error), tasks_done=state.tasks_done)
    return state


def _from_snapshots(run: Run, folder: RunFolder, session: Session, state: RunState) -> list[Diagnostic]:
    """Measures what snapshots allow; returns what is still lacking: all, if a snapshot is damaged."""
    try:
        return add_from_snapshots(folder, run, state, session.diagnostics, session.data_root)
    except Damaged as problem:
        state.notes.append(f"Measured by computing the run again: {problem}.")
        return lacking(state.measured, session.diagnostics)
