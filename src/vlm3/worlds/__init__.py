"""Pictures with exact truth: furnished rooms and streets, rendered.

`sample_view(seed, index, ...)` gives a `Frame`, `sample_pair` a `Pair`; `World` is one scene with
any number of views. Importing this package loads Warp only when one of them is first used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vlm3.worlds.sample import Frame, Pair, World, WorldObject, sample_pair, sample_view

__all__ = ["Frame", "Pair", "World", "WorldObject", "sample_pair", "sample_view"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from vlm3.worlds import sample

        return getattr(sample, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
