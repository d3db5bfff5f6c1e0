"""A room: its walls, windows and doors, its light, and what stands in it by its use."""
