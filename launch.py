"""The command that composes a run or a sweep from `conf/` and the command line, and launches it.

`python launch.py --help` explains what can be composed.
"""

if __name__ == "__main__":  # worker processes import this file, too, but need none of it
    from plasticity.launch.start import main

    main()
