"""A fuzzer: whatever is typed, and whatever is in a run's folder, the end is a sentence or a finished run.

    python -m tests.fuzz --minutes 60
"""  # fmt: skip
