"""Curves of metrics: what to draw (`chart`), chosen apart from how."""

from metricsieve.plotting.chart import Axis, Chart, Curve, Panel, choose

__all__ = ["Axis", "Chart", "Curve", "Panel", "choose"]
