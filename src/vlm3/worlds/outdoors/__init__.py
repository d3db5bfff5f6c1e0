"""A street: its ground, the houses along it, and what stands, drives and walks there."""
