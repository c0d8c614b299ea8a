"""The command: composes a run or a sweep from `conf/` and the command line, and launches it.

python launch.py --help explains what can be composed.
"""

import os
import sys

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig

from plasticity.errors import UserError
from plasticity.launcher.compose import HYDRA_ERRORS, explain, read
from plasticity.launcher.launch import Unfinished


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def run(composed: DictConfig) -> None:
    """One run, as a sweep of one: through the launcher that `hydra/launcher` names."""
    try:
        config, settings = read(composed)
        launcher = instantiate(HydraConfig.get().launcher)
        code = launcher.compute([config], settings)
    except (UserError, *HYDRA_ERRORS) as error:
        sys.exit(str(explain(error)))
    sys.exit(code)


def main() -> None:
    """Ends with a sentence and a non-zero exit code where something is wrong."""
    if os.environ.setdefault("HYDRA_FULL_ERROR", "1") != "1":
        return run()
    try:
        run()
    except Unfinished as error:
        sys.exit(error.exit_code)
    except (UserError, *HYDRA_ERRORS) as error:
        sys.exit(str(explain(error)))


if __name__ == "__main__":
    main()
