"""Why definitions match what they match: `explain` on whole logs, `preview` on a few lines."""

from metricsieve.explaining.lines import LinePreview, MatchPreview, preview
from metricsieve.explaining.logs import Explanation, NearMiss, Remedy, explain

__all__ = [
    "Explanation",
    "LinePreview",
    "MatchPreview",
    "NearMiss",
    "Remedy",
    "explain",
    "preview",
]
