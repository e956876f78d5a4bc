"""Logs that grow: `follow` reads what is there, then what comes, and goes on after a restart.

The way through the package: `_follow` is the loop; `_watches` finds what to read, `_file_watch` and
`_files` the generations of a rotated log (`_rotation`, `_identity`, `_packed`), `_streams` pipes;
`_outputs` and `_parts` take the rows; `_state` keeps how far everything got. Bytes come through the
protocols of `_feed`, so that another kind of source is one more module.
"""

from metricsieve.following._follow import Follow, follow

__all__ = ["Follow", "follow"]
