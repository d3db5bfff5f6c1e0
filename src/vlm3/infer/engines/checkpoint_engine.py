"""What engines over a checkpoint in this process have in common: whose answers they are."""

from collections.abc import Sequence
from functools import cached_property

from vlm3.infer.engines.base import Scene, UInt8
from vlm3.model import Checkpoint
from vlm3.model.digest import model_digest


class CheckpointEngine:
    """An engine over a checkpoint.

    Args:
        checkpoint: from `vlm3.model.load_checkpoint`.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self.name = checkpoint.name

    @cached_property
    def weights(self) -> str:
        """The digest of the checkpoint's content."""
        return model_digest(self._checkpoint.path)

    def open(self, images: Sequence[UInt8]) -> Scene:
        """Takes the pictures; they are encoded with their questions."""
        return Scene(tuple(images))
