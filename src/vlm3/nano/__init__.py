"""Nano's own trainer: a small model from random weights to four tasks in minutes of one GPU."""
