"""Damage on purpose: what is damaged, how, and what must come of it. Run by benchmarks/faults.py."""
