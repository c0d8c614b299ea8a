"""What the environment says of W&B: it may keep runs from being published or sent, never the reverse."""

import os

from plasticity.errors import UserError

MODES = {"disabled": "disabled", "offline": "offline", "dryrun": "offline"}
"""The values of WANDB_MODE that ask for less than the others, and the mode that each one means."""

TRUE = ("1", "true", "yes", "on")
"""The values of WANDB_DISABLED that mean that it is."""


def restriction() -> tuple[str, str] | None:
    """The most that the environment allows, "disabled" or "offline", and the variable that says so; else None."""
    disabled, mode = os.environ.get("WANDB_DISABLED", ""), os.environ.get("WANDB_MODE", "")
    if disabled.strip().lower() in TRUE:
        return "disabled", f"WANDB_DISABLED={disabled}"
    meant = MODES.get(mode.strip().lower())
    return (meant, f"WANDB_MODE={mode}") if meant else None


def require(mode: str) -> None:
    """Makes sure that the environment allows a command to publish, "offline" or "online".

    Raises:
        UserError: naming the variable that forbids it.
    """
    forbidden = restriction()
    if forbidden is None or (forbidden[0] == mode == "offline"):
        return
    name = forbidden[1].partition("=")[0]
    raise UserError(f"Nothing is published, since {forbidden[1]} is set. To publish: unset {name}.")
