"""Where is a pixel of one picture seen in another? Prints pixels, and draws them.

python examples/01_match.py
"""

import tempfile
from pathlib import Path

import numpy as np

import vlm3
from vlm3.assets import load_example
from vlm3.viz.figures import match_figure, save_figure  # needs the extra `viz`

example = load_example()
view_a, view_b = example.views
predictor = vlm3.load()

answer = predictor.match(view_a, view_b, example.matches_xy_1_px)

error_px = np.linalg.norm(answer.xy_px - example.matches_xy_2_px, axis=1)
for label, (x, y), error in zip(example.match_labels, answer.xy_px, error_px, strict=True):
    print(f"{label:22} at ({x:5.1f}, {y:5.1f}) in picture 2, {error:5.1f} px from the truth")

figure = match_figure(view_a, view_b, answer, truth_xy_px=example.matches_xy_2_px)
print("drawn:", save_figure(figure, Path(tempfile.mkdtemp()) / "match.png"))
