"""Whether the cameras of a scene can be believed: held against every answer they were made from.

Averaging always finds cameras, and robust weights call what disagrees an outlier: with few pictures
everything is "kept", whatever the model wrote. So the cameras are held against fixed bounds. A pair
of pictures holds when a motion stated for it agrees with the cameras and so do the model's own
matches; pictures that no chain of holding pairs joins to the first have no place in the scene.
Knows no model and no file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from vlm3.geometry.pose import invert, rotation_angle_deg
from vlm3.infer.motion import Landmarks
from vlm3.multiview.averaging import Array, Bools, Cameras, Motion

# Bounds on what a stated motion and the cameras found may differ by: three photographs of three
# rooms lie far outside them, a walk through a room well inside (docs/seeing.md).
_TURN_DEG = 15.0
_PART_OF_LENGTH = 0.5
_LEAST_M = 0.02
# Share of a pair's matches that must agree with the cameras.
_MATCHES = 0.6

Places = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Trust:
    """How the cameras of a scene agree with the answers.

    Attributes:
        agree: (motions,) which are within 15 degrees and half their length of the cameras.
        holds: pair -> whether a motion of it agrees, and so do its matches where there are some.
        joined: (pictures,) which a chain of holding pairs joins to the first.
        loop_deg: median rotation that three motions round a loop leave over; None without loops.
        loop_part: median move that they leave over, as a part of the way; None likewise.
    """

    agree: Bools
    holds: Mapping[Places, bool]
    joined: Bools
    loop_deg: float | None
    loop_part: float | None

    @property
    def contradiction(self) -> str | None:
        """Why the scene is not to be trusted, in a line; None where it is sound."""
        if self.joined.all():
            return None
        lost = [str(k + 1) for k in np.flatnonzero(~self.joined)]
        held = sum(self.holds.values())
        who = f"picture {lost[0]}" if len(lost) == 1 else f"pictures {', '.join(lost)}"
        return (
            "these pictures' motions contradict each other: do not trust cameras or a cloud made "
            f"of them ({held} of {len(self.holds)} pairs hold, and none joins {who} to picture 1); "
            f"leave {who} out, or give pictures between that see the same things"
        )


def judge(
    cameras: Cameras, motions: Sequence[Motion], landmarks: Mapping[Places, Landmarks | None]
) -> Trust:
    """Holds cameras against the motions and matches they were estimated from.

    Args:
        cameras: as averaged from the motions.
        motions: all that were read.
        landmarks: for every related pair, its matches; None where there are none.
    """
    agree = _agree(cameras, motions)
    holds = dict.fromkeys(landmarks, False)
    for (a, b), seen in landmarks.items():
        flags = [bool(ok) for m, ok in zip(motions, agree, strict=True) if (m.a, m.b) == (a, b)]
        found = invert(cameras.world_from_cam[a]) @ cameras.world_from_cam[b]
        matched = seen is None or seen.agree(found) >= _MATCHES
        # Without matches both ways must agree; with them a wild answer of the two is no harm.
        holds[a, b] = matched and (any(flags) if seen is not None else bool(flags) and all(flags))
    loops = _loops(motions)
    return Trust(
        agree,
        holds,
        _joined(len(cameras.world_from_cam), [pair for pair, ok in holds.items() if ok]),
        float(np.median(loops[:, 0])) if len(loops) else None,
        float(np.median(loops[:, 1])) if len(loops) else None,
    )


def _agree(cameras: Cameras, motions: Sequence[Motion]) -> Bools:
    stated_m = np.array([np.linalg.norm(m.a_from_b[:3, 3]) for m in motions])
    centres = cameras.world_from_cam[:, :3, 3]
    found_m = np.array([np.linalg.norm(centres[m.b] - centres[m.a]) for m in motions])
    most_m = _LEAST_M + _PART_OF_LENGTH * np.maximum(stated_m, found_m)
    return np.asarray(
        (cameras.rotation_error_deg <= _TURN_DEG) & (cameras.translation_error_m <= most_m)
    )


def _joined(count: int, pairs: Sequence[Places]) -> Bools:
    joined = np.zeros(count, bool)
    joined[0] = True
    for _ in range(count):
        for a, b in pairs:
            joined[[a, b]] = joined[a] or joined[b]
    return joined


def _loops(motions: Sequence[Motion]) -> Array:
    """(loops, 2) degrees and part of the way left over by a-b-c-a, of each pair's first motion."""
    step = {(m.a, m.b): m.a_from_b for m in reversed(motions)}
    places = sorted({place for pair in step for place in pair})
    rows = []
    for a, b, c in combinations(places, 3):
        if {(a, b), (b, c), (a, c)} <= step.keys():
            way = [step[a, b], step[b, c], invert(step[a, c])]
            whole = way[0] @ way[1] @ way[2]
            length_m = sum(float(np.linalg.norm(part[:3, 3])) for part in way)
            left = float(np.linalg.norm(whole[:3, 3])) / max(length_m, _LEAST_M)
            rows.append((float(rotation_angle_deg(whole[:3, :3])), left))
    return np.array(rows).reshape(-1, 2)
