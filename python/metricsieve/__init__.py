"""metricsieve: training logs and SageMaker metric definitions in, metric points out, as Arrow.

The way in is `scan`:

    >>> import metricsieve as ms
    >>> log = b"[1]#011train-error:0.25"
    >>> definitions = [{"Name": "train:error", "Regex": r"#011train-error:([0-9.]+)"}]
    >>> ms.scan(log, definitions).read_all()["value"].to_pylist()
    [0.25]

`DefinitionSet` and `MetricDefinition` say what to look for, `Scan` gives the rows, `Report` says
what was found and what was not. Everything that can fail raises a `MetricsieveError` or the
built-in exception that fits. pyarrow and the engine are imported on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from metricsieve.exceptions import (
    DebugBuildWarning,
    DefinitionError,
    DefinitionProblem,
    DefinitionWarning,
    MetricsieveError,
    MetricsieveWarning,
    ScanUsedError,
    SinkError,
    SinkWarning,
    SourceError,
    SourceWarning,
    StateError,
)

if TYPE_CHECKING:
    from metricsieve._engine import native_version as __version__
    from metricsieve._jobs import from_training_job, from_tuning_job
    from metricsieve._report import Report
    from metricsieve._scan import Scan, scan
    from metricsieve.checks import Finding
    from metricsieve.datasets import write_dataset
    from metricsieve.definitions import DefinitionSet, MetricDefinition
    from metricsieve.explaining import Explanation, LinePreview, explain, preview
    from metricsieve.following import Follow, follow
    from metricsieve.plotting import Chart, plot
    from metricsieve.results import (
        analytics,
        attempts,
        final_metrics,
        last_attempt,
        objective,
        summary,
        wide,
    )
    from metricsieve.sources.cloudwatch_logs import CloudWatchLogs
    from metricsieve.sources.object_store import RemotePath
    from metricsieve.suggesting import Suggestion, suggest

__all__ = [
    "Chart",
    "CloudWatchLogs",
    "DebugBuildWarning",
    "DefinitionError",
    "DefinitionProblem",
    "DefinitionSet",
    "DefinitionWarning",
    "Explanation",
    "Finding",
    "Follow",
    "LinePreview",
    "MetricDefinition",
    "MetricsieveError",
    "MetricsieveWarning",
    "RemotePath",
    "Report",
    "Scan",
    "ScanUsedError",
    "SinkError",
    "SinkWarning",
    "SourceError",
    "SourceWarning",
    "StateError",
    "Suggestion",
    "__version__",
    "analytics",
    "attempts",
    "explain",
    "final_metrics",
    "follow",
    "from_training_job",
    "from_tuning_job",
    "last_attempt",
    "objective",
    "plot",
    "preview",
    "scan",
    "suggest",
    "summary",
    "wide",
    "write_dataset",
]

_LAZY = {
    "Chart": ("plotting", "Chart"),
    "CloudWatchLogs": ("sources.cloudwatch_logs", "CloudWatchLogs"),
    "DefinitionSet": ("definitions", "DefinitionSet"),
    "Explanation": ("explaining", "Explanation"),
    "Finding": ("checks", "Finding"),
    "Follow": ("following", "Follow"),
    "LinePreview": ("explaining", "LinePreview"),
    "MetricDefinition": ("definitions", "MetricDefinition"),
    "RemotePath": ("sources.object_store", "RemotePath"),
    "Report": ("_report", "Report"),
    "Scan": ("_scan", "Scan"),
    "Suggestion": ("suggesting", "Suggestion"),
    "__version__": ("_engine", "native_version"),
    "analytics": ("results", "analytics"),
    "attempts": ("results", "attempts"),
    "explain": ("explaining", "explain"),
    "final_metrics": ("results", "final_metrics"),
    "follow": ("following", "follow"),
    "from_training_job": ("_jobs", "from_training_job"),
    "from_tuning_job": ("_jobs", "from_tuning_job"),
    "last_attempt": ("results", "last_attempt"),
    "objective": ("results", "objective"),
    "plot": ("plotting", "plot"),
    "preview": ("explaining", "preview"),
    "scan": ("_scan", "scan"),
    "suggest": ("suggesting", "suggest"),
    "summary": ("results", "summary"),
    "wide": ("results", "wide"),
    "write_dataset": ("datasets", "write_dataset"),
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'metricsieve' has no attribute {name!r}")
    module, attribute = _LAZY[name]
    value = getattr(importlib.import_module(f"metricsieve.{module}"), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
