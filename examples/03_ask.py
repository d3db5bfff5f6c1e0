"""Questions about regions of a picture, in words. Prints what was asked, written and read.

python examples/03_ask.py
"""

import vlm3
from vlm3.assets import load_example

example = load_example()
view = example.views[0]
predictor = vlm3.load()

for item in example.questions:
    # {0} and {1} in the question stand for the boxes: x_min, y_min, x_max, y_max in pixels.
    answer = predictor.ask(view, item.question, item.boxes_xyxy_px)
    truth = item.truth
    print(f"{item.question}   {{0}}, {{1}} = {', '.join(item.labels)}")
    print(f"  prompt  {answer.prompt}")
    print(f"  wrote   {answer.raw_text!r}")
    print(f"  read    {answer.value_m=} {answer.region=} {answer.yes=} {answer.clock_hour=}")
    print(f"  truth   {truth}")
