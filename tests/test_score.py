import numpy as np
import pytest

from plasticity.training.score import score, window, window_text


@pytest.mark.parametrize(
    ("tasks", "last"), [(1_100, 165), (200, 30), (100, 15), (10, 2), (7, 2), (6, 1), (1, 1)]
)
def test_window_is_fifteen_percent_of_the_tasks_rounded_up(tasks, last):
    assert window(tasks) == last


def test_the_window_in_words():
    assert window_text(1_100) == "the last 165 of 1,100 tasks"
    assert window_text(2, "records") == "the last of 2 records"
    assert window_text(1) == "1 task" and window_text(1, "records of 16 tasks") == "1 record of 16 tasks"


def test_score_of_few_tasks_by_hand():
    # 15 % of 10 tasks is 1.5: the last two, (0.5 + 0.75) / 2.
    assert score([1.0] * 8 + [0.5, 0.75]) == 0.625
    assert score([0.25]) == 0.25


def test_score_of_a_full_run_by_hand():
    # Task k has accuracy k / 2,000. The last 165 of 1,100 are 935 … 1,099, whose mean is 1,017.
    accuracies = np.arange(1_100) / 2_000
    assert score(accuracies) == pytest.approx(1_017 / 2_000, rel=1e-12)


def test_score_is_a_mean_in_double_precision():
    # In single precision the two last accuracies, 2⁻²⁶ apart, would be the same number.
    assert score([0.0] * 8 + [0.5, 0.5 + 2.0**-25]) == 0.5 + 2.0**-26
