"""Floats in JSON, which has no number for NaN and infinities: wherever points become JSON.

They are texts that `float()` and most readers parse back; null already means that there is no
value. Used by the sinks and the command line, and by `_result_files`, which reads them again.
"""

from __future__ import annotations

import math

NO_NUMBERS = ("NaN", "Infinity", "-Infinity")


def json_float(value: float) -> float | str:
    """A float as JSON can hold it.

    Example:
        >>> json_float(0.5), json_float(float("nan")), json_float(float("-inf"))
        (0.5, 'NaN', '-Infinity')
    """
    if math.isfinite(value):
        return value
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
