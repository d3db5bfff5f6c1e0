"""Sets that are read as their authors published them, and in WAI where they were converted.

What lies in the folder decides: a scene with a scene_meta.json is read as WAI. Both readings give
the same splits, units and rules of what is left out; MapAnything's masks exist in WAI only.
"""

from pathlib import Path

from vlm3.datasets.base import Frames, Reader, need_folder
from vlm3.errors import InputError

_META = "scene_meta.json"


def raw_or_wai(published: Reader, wai: Reader, layout: str) -> Reader:
    """The reader of either layout.

    Args:
        published: of the set as its authors published it.
        wai: of the converted set.
        layout: of both, in a line.
    """

    def either_scenes(root: Path) -> list[str]:
        need_folder(root, layout)
        converted = sorted(path.parent.name for path in root.glob(f"*/{_META}"))
        try:
            found = published.scenes(root)
        except InputError:
            if converted:
                return wai.scenes(root)
            raise
        if converted:
            raise InputError(
                f"{str(root)!r} holds {converted[0]} in WAI and {found[0]} as downloaded: "
                "give a folder of one kind"
            )
        return found

    def either_frames(root: Path, scene: str) -> Frames:
        which = wai if (root / scene / _META).is_file() else published
        yield from which.frames(root, scene)

    return Reader(either_scenes, either_frames)
