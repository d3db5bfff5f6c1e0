"""How did the camera move and turn between two pictures? Prints the motion beside the truth.

python examples/02_pose.py
"""

import vlm3
from vlm3.assets import load_example

example = load_example()
predictor = vlm3.load()

answer = predictor.pose(*example.views)

# Each part is None where the model's text could not be read.
print("yaw, pitch, roll in degrees ", answer.yaw_pitch_roll_deg)
print("                       truth", example.pose.yaw_pitch_roll_deg.round(1))
print("direction x, y, z           ", answer.direction)
print("                       truth", example.pose.direction.round(2))
print("distance in metres          ", answer.distance_m)
print("                       truth", round(example.pose.distance_m, 2))
if answer.cam1_from_cam2 is not None:
    # Points in camera 2's frame, times this, are points in camera 1's frame.
    print(answer.cam1_from_cam2.round(3))
