"""How well the stated confidence of a motion sorts right from wrong, on real and rendered pairs.

    python benchmarks/motion.py --pairs RedKitchen=DIR --pairs HoloLens=DIR --worlds 80

Asks a model (nano) about pairs of pictures of `vlm3 eval rgbd-pairs` and of held-out worlds. A
motion is right when its rotation and its direction, signed, are both less than 15 degrees off.
"""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from vlm3 import Predictor, load
from vlm3.eval import metrics
from vlm3.eval.benchmarks import get_benchmark
from vlm3.eval.items import Item
from vlm3.eval.readers import Wanted, read_items

RIGHT_DEG = 15.0
