"""Curves of metrics: what to draw (`chart`), files (`draw`), a terminal (`terminal`).

The way in is `plot`. What is drawn is chosen apart from how, so that another way to draw only
needs a `Chart`.
"""

from metricsieve.plotting._plot import plot
from metricsieve.plotting.chart import Axis, Chart, Curve, Panel, choose

__all__ = ["Axis", "Chart", "Curve", "Panel", "choose", "plot"]
