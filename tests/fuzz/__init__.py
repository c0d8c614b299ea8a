"""A fuzz: whatever is typed, and whatever is in a run's folder, ends with a sentence or with the run.

    python -m tests.fuzz --minutes 60
"""  # fmt: skip
