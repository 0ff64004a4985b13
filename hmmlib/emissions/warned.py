"""Warnings that point to the caller's line, however deep inside they are raised."""

import inspect
import warnings

INSIDE = {"hmmlib", "functools", "torch", "contextlib"}


def warn(message: str) -> None:
    """Warn, with the line outside of this library as the place."""
    frame, level = inspect.currentframe(), 1
    while frame.f_back and frame.f_globals["__name__"].split(".")[0] in INSIDE:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level)
