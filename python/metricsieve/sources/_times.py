"""Times as users write them, for ranges of logs."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_RELATIVE = re.compile(r"([0-9]+)([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

Time = datetime | timedelta | str


def milliseconds(time: Time, now: datetime | None = None) -> int:
    """A point in time as CloudWatch counts it, milliseconds since 1970.

    Args:
        time: a `datetime`; a `timedelta` before now; text in ISO 8601, or a number with one of
            the units s, m, h, d, w before now. Without a zone it is UTC.
        now: what relative times are counted from.

    Raises:
        ValueError: a text that is neither.

    Example:
        >>> milliseconds("1970-01-02T00:00:01+01:00")
        82801000
        >>> milliseconds("2h", datetime(1970, 1, 1, 3, tzinfo=UTC))
        3600000
    """
    if isinstance(time, str):
        relative = _RELATIVE.fullmatch(time.strip())
        if relative:
            time = timedelta(**{_UNITS[relative[2]]: int(relative[1])})
        else:
            try:
                time = datetime.fromisoformat(time.strip())
            except ValueError:
                raise ValueError(
                    f"{time!r} is no time: write 2026-11-25T10:00:00Z, or 2h for two hours ago "
                    "(s, m, h, d, w)"
                ) from None
    if isinstance(time, timedelta):
        time = (now or datetime.now(UTC)) - time
    if not isinstance(time, datetime):
        raise TypeError(f"a time is a datetime, timedelta or text, not {type(time).__name__}")
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return int(time.timestamp() * 1000)
