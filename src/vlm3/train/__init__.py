"""Training on text: packing, what a small model is shown, and the loop."""
