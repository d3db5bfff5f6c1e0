"""The paper's figure 3, one function a task: answers on the pictures, beside the truth.

Each function returns a matplotlib `Figure`; `save_figure` writes it as PNG, SVG or PDF. matplotlib
(the extra `viz`) is imported when the first one is drawn, not when this module is.
"""

from vlm3.viz.draw_depth import depth_figure
from vlm3.viz.draw_map import map_figure, match_map_figure
from vlm3.viz.draw_match import match_figure
from vlm3.viz.draw_objects import ObjectItem, object_figure
from vlm3.viz.draw_pose import pose_figure
from vlm3.viz.style import save_figure

__all__ = [
    "ObjectItem",
    "depth_figure",
    "map_figure",
    "match_figure",
    "match_map_figure",
    "object_figure",
    "pose_figure",
    "save_figure",
]
