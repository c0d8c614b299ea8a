"""A storm: launches of a few sweeps that share runs, while everything goes wrong that can.

    python -m tests.storm --kills 1000 --slurm

A season is a directory of runs. Launches compute its sweeps, several at a time, and are struck by signals of every
kind to a launch, its launcher or a worker, full disks, outputs that nobody reads, and ruined files; on a private
SLURM also by requeues, preemptions and cancelled jobs. A last launch must then find it as if nothing had happened:
every run finished, its rows byte for byte those of an uninterrupted sweep, and no finished run computed again.
"""  # fmt: skip
