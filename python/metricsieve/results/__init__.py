"""What to do with points: final values, summaries, one column a metric, what SageMaker shows.

Every function takes a `Scan`, an Arrow table or stream, or a result file, and is built on `Rows`
(`_rows`), which reads them batch by batch, and on `_groups`, which tells what belongs together.
docs/results.md shows each on an example.
"""

from metricsieve.results._analytics import analytics
from metricsieve.results._attempts import attempts, last_attempt
from metricsieve.results._final import final_metrics
from metricsieve.results._summary import objective, summary
from metricsieve.results._wide import wide

__all__ = [
    "analytics",
    "attempts",
    "final_metrics",
    "last_attempt",
    "objective",
    "summary",
    "wide",
]
