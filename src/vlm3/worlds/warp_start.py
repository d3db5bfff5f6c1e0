"""Warp's start, without its line about a missing CUDA driver, which no setting of it hides."""

import os
from functools import cache

import warp as wp


@cache
def start_warp() -> None:
    """Starts Warp, once a process."""
    wp.config.log_level = wp.LOG_ERROR
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        wp.init()
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)
