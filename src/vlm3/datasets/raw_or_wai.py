"""Sets that are read as their authors published them, and in WAI where they were converted.

What lies in the folder decides: a scene with a scene_meta.json is read as WAI. Both readings give
the same splits, units and rules of what is left out; MapAnything's masks exist in WAI only.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from vlm3.datasets.base import Frames, PublishedDataset, Verified, need_folder
from vlm3.errors import InputError

_META = "scene_meta.json"


def raw_or_wai(
    wai: PublishedDataset,
    *,
    layout: str,
    scenes: Callable[[Path], list[str]],
    frames: Callable[[Path, str], Frames],
    verified: Verified,
    against: str,
    needs: tuple[str, ...] = (),
) -> PublishedDataset:
    """The source that reads either layout.

    Args:
        wai: the reader of the converted set, with what is known about the set.
        layout: of the published set, in a line.
        scenes: of the published set.
        frames: of a scene of the published set.
        verified: what the reading of the published layout was checked on.
        against: the files, code or pages meant by that.
        needs: packages that the published layout needs.
    """

    def either_scenes(root: Path) -> list[str]:
        need_folder(root, layout)
        converted = sorted(path.parent.name for path in root.glob(f"*/{_META}"))
        try:
            published = scenes(root)
        except InputError:
            if converted:
                return wai.scenes(root)
            raise
        if converted:
            raise InputError(
                f"{str(root)!r} holds {converted[0]} in WAI and {published[0]} as downloaded: "
                "give a folder of one kind"
            )
        return published

    def either_frames(root: Path, scene: str) -> Frames:
        read = wai.frames if (root / scene / _META).is_file() else frames
        yield from read(root, scene)

    return replace(
        wai,
        layout=f"{layout}; or MapAnything's WAI",
        scenes=either_scenes,
        frames=either_frames,
        needs=tuple(dict.fromkeys((*wai.needs, *needs))),
        verified=verified,
        against=against,
    )
