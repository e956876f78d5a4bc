"""The screen of `preview --screen`: a pattern is edited above, its matches appear below.

Needs the extra `metricsieve[screen]` (textual).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.widgets import Footer, Input, Static

from metricsieve._text import visible
from metricsieve.explaining.trying import Tried, TriedLine, try_pattern

# Findings that are shown; there is room for the lines.
MAX_FINDINGS = 4


class PatternApp(App[str]):
    """Edits one pattern on the records of a log; gives the pattern back when it ends.

    Args:
        records: what is shown.
        regex: the pattern to begin with.
    """

    TITLE = "metricsieve preview"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Input { border: round $accent; }
    #status { height: auto; padding: 0 1; }
    #lines { padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape", "leave", "Leave"),
        ("ctrl+t", "take", "Take suggestion"),
        ("ctrl+o", "narrow", "Matching only"),
    ]

    def __init__(self, records: Sequence[str], regex: str = "") -> None:
        super().__init__()
        self._records = list(records)
        self._regex = regex
        self._matching_only = False
        self._tried = try_pattern(regex, self._records)

    def compose(self) -> ComposeResult:
        """The pattern, what is said of it, and the lines."""
        yield Input(self._regex, placeholder="a regular expression, such as loss=([0-9.]+)")
        yield Static(id="status")
        with VerticalScroll():
            yield Static(id="lines")
        yield Footer()

    def on_mount(self) -> None:
        """Shows what the first pattern finds."""
        self._show()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Runs the pattern after each key."""
        self._regex = event.value
        self._tried = try_pattern(self._regex, self._records)
        self._show()

    def on_resize(self) -> None:
        """Cuts lines for the new width."""
        self._show()

    def action_leave(self) -> None:
        """Ends with the pattern as it is."""
        self.exit(self._regex)

    def action_take(self) -> None:
        """Puts the suggested pattern in place of this one."""
        for finding in self._tried.findings:
            if finding.suggestion:
                self.query_one(Input).value = finding.suggestion
                return

    def action_narrow(self) -> None:
        """Shows the lines that match, or all."""
        self._matching_only = not self._matching_only
        self._show()

    def _show(self) -> None:
        self.query_one("#status", Static).update(status(self._tried))
        shown = [
            line for line in self._tried.lines if line.match is not None or not self._matching_only
        ]
        # What does not match is there to be seen, not to be read.
        width = max(20, self.size.width - 4)
        texts = [marked(line) for line in shown]
        for line, text in zip(shown, texts, strict=True):
            if line.match is None:
                text.truncate(width, overflow="ellipsis")
        self.query_one("#lines", Static).update(Text("\n").join(texts))


def status(tried: Tried) -> Text:
    """What is wrong with the pattern, or what it finds and what the linter says."""
    if tried.problem is not None:
        text = Text(visible(tried.problem.message), style="bold red")
        if tried.problem.hint:
            text.append(f"\n{visible(tried.problem.hint)}", style="red")
        return text
    counted = f"{tried.matches:,} of {len(tried.lines):,} lines match, {tried.points:,} points"
    text = Text(counted, style="bold green" if tried.points else "bold")
    for finding in tried.findings[:MAX_FINDINGS]:
        style = {"error": "red", "warning": "yellow"}.get(finding.severity, "dim")
        text.append(f"\n{finding.severity}: {visible(finding.message)}", style=style)
    more = len(tried.findings) - MAX_FINDINGS
    if more > 0:
        text.append(f"\n… and {more} more", style="dim")
    suggestion = next((one.suggestion for one in tried.findings if one.suggestion), None)
    if suggestion:
        text.append(f"\ntry: {visible(suggestion)}", style="cyan")
    return text


def marked(line: TriedLine) -> Text:
    """A line with its match underlined, the value's group in reverse, and the number behind it."""
    if line.match is None:
        return Text(visible(line.text), style="dim")
    start, end = line.match
    group = line.group or (end, end)
    text = Text(visible(line.text[:start]))
    text.append(visible(line.text[start : group[0]]), style="underline")
    text.append(visible(line.text[group[0] : group[1]]), style="bold reverse")
    text.append(visible(line.text[group[1] : end]), style="underline")
    text.append(visible(line.text[end:]))
    if line.value is not None:
        text.append(f"  = {line.value!r}", style="bold green")
    else:
        text.append(f"  {line.reason}", style="bold red")
    return text
