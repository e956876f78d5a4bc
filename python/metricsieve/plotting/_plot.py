"""The function `plot`: points in, a chart out, and a picture where one is asked for."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

from metricsieve.plotting.chart import Chart, choose


def plot(
    x: Any,
    output: str | os.PathLike[str] | None = None,
    *,
    metrics: Sequence[str] | None = None,
    step: str | None = None,
    maximize: Iterable[str] = (),
    minimize: Iterable[str] = (),
    log: bool | None = None,
) -> Chart:
    """Draw the curves of metrics, training and validation of the same metric together.

    Args:
        x: a table, a scan, anything with `__arrow_c_stream__`, or a file of points
            (`.parquet`, `.arrow`, `.feather`, `.csv`, `.jsonl`, a directory of Parquet parts).
        output: the picture, `.png`, `.svg` or `.pdf`, written whole or not at all; None draws
            nothing. Needs matplotlib: `pip install 'metricsieve[plot]'`.
        metrics: names of metrics or panels; None takes all. The partners of a metric come along.
        step: the column of the axis; None is the scan's step column, else the first of `step`,
            `global_step`, `iteration`, `epoch`, `round` that has values, else the time, else the
            number of the point, which is also `"point"`.
        maximize: names of metrics or panels of which more is better, whatever their names say.
        minimize: names of those of which less is.
        log: logarithmic scales: True, False, or None for where values span three decades.

    Returns:
        What was drawn, as data: a `Chart` of `Panel`s. It has no panel where there is no point.

    Raises:
        ImportError: matplotlib is missing.
        SinkError: the picture cannot be written.
        TypeError: x holds no points.
        ValueError: a name or column that is not there, an output of another kind, no point to draw.

    Example:
        >>> import metricsieve as ms
        >>> log = b"loss=4 val_loss=5\\nloss=2 val_loss=3\\nloss=1 val_loss=6\\n"
        >>> names = {"loss": r"\\bloss=(\\S+)", "val_loss": r"val_loss=(\\S+)"}
        >>> panel = plot(ms.scan(log, names)).panels[0]
        >>> panel.labels(), panel.best_text()
        (['loss', 'val_loss'], 'best 3 at point 2')
    """
    if output is not None:
        from metricsieve.plotting.draw import check_output

        check_output(output)
    chart = choose(x, metrics=metrics, step=step, maximize=maximize, minimize=minimize, log=log)
    if output is not None:
        from metricsieve.plotting.draw import draw

        draw(chart, output)
    return chart
