"""Make text from logs, patterns and paths safe to print.

`visible` is fed by exceptions and the command line; whatever came from outside goes through it
before it reaches a terminal, because an escape sequence in a metric name can retitle the window
or write to the clipboard.
"""

from __future__ import annotations

import re

# C0 and C1 controls, DEL, line and paragraph separators, bidirectional controls, the byte order
# mark, two that are no characters and not allowed in XML, and lone surrogates (bytes of a path that
# are no UTF-8).
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]"
)
_SHORT = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}


def _escape(match: re.Match[str]) -> str:
    char = match.group()
    code = ord(char)
    return _SHORT.get(char) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def visible(text: str) -> str:
    r"""Replace control, bidirectional and unencodable characters by their escapes.

    Args:
        text: any text, as found in a log, a definition or a path.

    Returns:
        Text without a character that a terminal would act on.

    Example:
        >>> visible("loss\x1b]0;title\x07")
        'loss\\x1b]0;title\\x07'
    """
    return _UNSAFE.sub(_escape, text)


def shorten(text: str, limit: int = 64) -> str:
    """Cut `text` to at most `limit` characters, the last one an ellipsis when it was longer.

    Example:
        >>> shorten("abcdef", 4)
        'abc…'
    """
    return text if len(text) <= limit else text[: limit - 1] + "…"
