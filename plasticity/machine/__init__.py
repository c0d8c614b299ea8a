"""The machine: files and locks, cores and threads, processes, output, interrupts."""
