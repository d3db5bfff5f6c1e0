"""Cameras, pixels, depth, poses and visibility: numpy only; knows no text, no files, no torch."""
