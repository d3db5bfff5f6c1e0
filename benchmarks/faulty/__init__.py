"""Damage on purpose: what is damaged, how, and what must come of it (benchmarks/faults.py)."""
