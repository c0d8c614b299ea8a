"""The earlier place of `plasticity.track`, whose command still works from here."""

if __name__ != "__main__":
    raise ImportError("plasticity.publish is plasticity.track now", name=__name__)

from runpy import run_module

run_module("plasticity.track", run_name="__main__", alter_sys=True)
