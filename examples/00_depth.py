"""How far is the point at a pixel from the camera? Prints metres beside the truth.

python examples/00_depth.py
"""

import vlm3
from vlm3.assets import load_example

example = load_example()  # two photographs with cameras and truth; `vlm3.View.open` opens your own
view = example.views[0]
predictor = vlm3.load()  # "nano", the small model in the package; or a folder, or a hub id

answer = predictor.depth(view, example.points_xy_px)

print(f"{predictor.engine.name}, protocol {answer.protocol}, camera {answer.intrinsics[0]}")
for i, label in enumerate(example.point_labels):
    x, y = answer.xy_px[i]
    # Unparsed answers are NaN, and `parsed` tells; the model's own words are always kept.
    print(
        f"{label:18} at ({x:5.1f}, {y:5.1f})  {answer.distance_m[i]:5.2f} m"
        f"  truth {example.points_distance_m[i]:5.2f} m  wrote {answer.raw_text[i]!r}"
    )
