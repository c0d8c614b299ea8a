"""Where runs are published, and how long that may take."""

import os
from dataclasses import dataclass
from pathlib import Path

EVERY = 10
"""Every tenth row is published, unless another number is asked for."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A project of a W&B server, or a folder of offline runs.

    Attributes:
        entity: user or team; None for the default of the API key.
        project: the project.
        mode: "online", or "offline" for runs that stay in `directory` until `wandb sync` uploads them.
        directory: the folder whose subfolder `wandb` holds offline runs.
        every: the history holds every `every`th row, and the last.
        init_seconds: how long the server may take to accept a run.
        finish_seconds: how long the upload may take, including the waits that a busy server asks for (429).
        verify_seconds: how long until what was uploaded can be read back.
    """

    project: str
    directory: Path
    entity: str | None = None
    mode: str = "offline"
    every: int = EVERY
    init_seconds: float = 30
    finish_seconds: float = 60
    verify_seconds: float = 15

    def __post_init__(self) -> None:
        if self.mode not in ("offline", "online"):
            raise ValueError(f"the mode is offline or online, not {self.mode}")
        if self.every < 1:
            raise ValueError(f"every is at least 1, not {self.every}")

    @property
    def place(self) -> str:
        """The target's name in the ledger: the server, the entity and the project, or the folder."""
        where = os.environ.get("WANDB_BASE_URL", "wandb") if self.mode == "online" else str(self.directory)
        return f"{where} {self.path}"

    @property
    def path(self) -> str:
        """Entity and project."""
        return f"{self.entity or ''}/{self.project}"

    def shown(self, url: str | None) -> str:
        """Where its runs are, in words.

        Args:
            url: the address of one of them, if it is known.
        """
        return f"at {url.partition('/runs/')[0]}" if url else f"in project {self.path.strip('/')}"

    def alike(self, place: str) -> bool:
        """Whether a place, or a path, may be this project: under this entity, or under one that is not named."""
        project = f"/{self.project}"
        entity = place.removesuffix(project).rpartition(" ")[2]
        return place.endswith(project) and (not entity or not self.entity or entity == self.entity)

    @property
    def deadline(self) -> float:
        """Seconds after which a publication is abandoned, whatever the client is doing."""
        return 10 + self.init_seconds + self.finish_seconds + 2 * self.verify_seconds
