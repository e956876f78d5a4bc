"""Where points go: one file per kind of output behind `Sink`.

`open_sink` chooses by suffix or scheme (`_targets`); `_base` says what every sink offers.
"""

from metricsieve.sinks._base import Sink, warn_of
from metricsieve.sinks._places import check_targets
from metricsieve.sinks._targets import (
    SUFFIXES,
    Target,
    check_target,
    deliver,
    is_directory,
    is_url,
    is_written_at_end,
    open_sink,
    target_of,
)

__all__ = [
    "SUFFIXES",
    "Sink",
    "Target",
    "check_target",
    "check_targets",
    "deliver",
    "is_directory",
    "is_url",
    "is_written_at_end",
    "open_sink",
    "target_of",
    "warn_of",
]
