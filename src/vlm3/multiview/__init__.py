"""Many views from pairs: motions between pairs of pictures, averaged into one world.

A model answers about two pictures at a time. Here its answers become the cameras of a whole scene,
against outliers, and their depth maps one cloud. Needs scipy (the extra `scene`).
"""
