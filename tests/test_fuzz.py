"""A few seconds of the fuzzer; `python -m tests.fuzz` runs for as long as it is told to."""

from fuzz import folders, overrides
from hypothesis import HealthCheck, example, given, seed, settings

BRIEF = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}


@seed(0)
@settings(max_examples=12, **BRIEF)
@given(overrides.command_lines)
def test_whatever_is_typed_ends_with_a_sentence_or_a_plan(arguments):
    overrides.run(arguments)


@seed(0)
@settings(max_examples=30, **BRIEF)
@given(folders.stages, folders.ruins)
@example(2, [("config.yaml", ("cut", 0.0))])
@example(5, [("config.yaml", ("remove",)), ("state.json", ("remove",)), ("tasks.csv", ("directory",))])
def test_whatever_is_in_a_runs_folder_it_ends_finished_or_is_refused(tasks, changed):
    folders.run(tasks, changed)
