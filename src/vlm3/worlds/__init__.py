"""Pictures with exact truth: furnished rooms and streets, rendered.

`World(seed, index)` is one scene with any number of views: `view` gives a `Frame`, `pair` two.
Importing this package loads Warp only when one of them is first used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vlm3.worlds.frame import Frame, WorldObject
    from vlm3.worlds.world import World

__all__ = ["Frame", "World", "WorldObject"]


def __getattr__(name: str) -> Any:
    if name == "World":
        from vlm3.worlds.world import World

        return World
    if name in __all__:
        from vlm3.worlds import frame

        return getattr(frame, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
