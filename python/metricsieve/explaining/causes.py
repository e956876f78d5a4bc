r"""Known reasons why a pattern misses a line that it was meant for.

`CAUSES` are rewritings: each gives the pattern as it would be if one assumption about the log were
dropped (a TAB, upper case, no quotes around the number). `explain` tries them on the log; one
that then matches is the reason, and its pattern the remedy.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from metricsieve._patterns import NUMBER
from metricsieve.checks.pattern import Anatomy, Part, edited

# Words that frameworks and their versions use for the same thing.
SYNONYMS = (
    ("acc", "accuracy", "categorical_accuracy", "binary_accuracy", "sparse_categorical_accuracy"),
    ("val", "valid", "validation", "eval", "dev", "test"),
    ("train", "training", "tr"),
    ("loss", "train_loss", "training_loss"),
    ("lr", "learning_rate", "learning-rate"),
    ("epoch", "Epoch", "ep"),
    ("iter", "iteration", "step", "global_step"),
    ("mse", "mean_squared_error"),
    ("mae", "mean_absolute_error"),
    ("auc", "roc_auc", "auroc"),
    ("f1", "f1_score", "f1-score"),
    ("error", "err", "merror"),
)


@dataclass(frozen=True, slots=True)
class Cause:
    """One assumption that a log may not keep.

    Attributes:
        code: its name.
        message: one sentence, if it is the reason.
        rewrite: the pattern without the assumption; the same, or None, if it does not make it.
    """

    code: str
    message: str
    rewrite: Callable[[Anatomy], str | None]


Edit = tuple[int, int, str]


def _outside(anatomy: Anatomy) -> list[Part]:
    """The smallest pieces that are not inside the value's group."""
    found: list[Part] = []
    for part in (*anatomy.before, *anatomy.after):
        found += [one for one in part.walk() if not one.children]
    return found


def _is_space(part: Part) -> bool:
    return (part.kind == "literal" and part.detail in " \t") or part.text == r"\s"


def _space_runs(anatomy: Anatomy, text: str) -> list[Edit]:
    edits: list[Edit] = []
    for part in (one for side in (anatomy.before, anatomy.after) for one in side):
        blank = part.children[0] if part.kind == "repeat" else part
        if not _is_space(blank):
            continue
        if edits and edits[-1][1] == part.start:
            edits[-1] = (edits[-1][0], part.end, text)
        else:
            edits.append((part.start, part.end, text))
    return edits


def white_space(anatomy: Anatomy) -> str:
    """One kind of white space for another."""
    return edited(anatomy.pattern, _space_runs(anatomy, r"\s+"))


def optional_space(anatomy: Anatomy) -> str:
    """More or less white space, or none at all."""
    edits = _space_runs(anatomy, r"\s*")
    covered = {end for _, end, _ in edits} | {start for start, _, _ in edits}
    for part in anatomy.before:
        if part.kind == "literal" and part.detail in ":=," and part.end not in covered:
            edits.append((part.end, part.end, r"\s*"))
        if part.kind == "literal" and part.detail in ":=" and part.start not in covered:
            edits.append((part.start, part.start, r"\s*"))
    return edited(anatomy.pattern, edits)


def quotes(anatomy: Anatomy) -> str:
    """Quotes around the number or the key, of either kind, or none."""
    edits = [
        (part.start, part.end, "['\"]?")
        for part in _outside(anatomy)
        if part.kind == "literal" and part.detail in "'\""
    ]
    at = anatomy.group.start
    if not any(end == at for _, end, _ in edits):
        edits.append((at, at, "['\"]?"))
    for part in anatomy.before:
        # 'key': where the pattern has key:
        is_mark = part.kind == "literal" and part.detail in ":="
        if is_mark and not any(end == part.start for _, end, _ in edits):
            edits.append((part.start, part.start, "['\"]?"))
    return edited(anatomy.pattern, edits)


def letter_case(anatomy: Anatomy) -> str | None:
    """Upper case for lower case."""
    if anatomy.pattern.startswith("(?") and re.match(r"\(\?[a-z]*i", anatomy.pattern):
        return None
    return f"(?i){anatomy.pattern}"


def separator(anatomy: Anatomy) -> str | None:
    """`=` for `:`, with white space around it."""
    last = len(anatomy.before)
    while last and _is_space(anatomy.before[last - 1]):
        last -= 1
    if not last:
        return None
    mark = anatomy.before[last - 1]
    if mark.kind != "literal" or mark.detail not in ":=,|-> ":
        first = last
    else:
        first = last - 1
        while first and _is_space(anatomy.before[first - 1]):
            first -= 1
    start = anatomy.before[first - 1].end if first else 0
    return edited(anatomy.pattern, [(start, anatomy.group.start, r"\s*[:=|>,\s-]\s*")])


def number(anatomy: Anatomy) -> str:
    """A number that the group cannot hold."""
    return edited(anatomy.pattern, [(*anatomy.body.span, NUMBER)])


def anchors(anatomy: Anatomy) -> str:
    """No anchors."""
    edits = [
        (part.start, part.end, "")
        for part in _outside(anatomy)
        if part.kind == "assertion" and part.text in ("^", "$", r"\A", r"\Z", r"\b")
    ]
    return edited(anatomy.pattern, edits)


def end(anatomy: Anatomy) -> str | None:
    """Nothing behind the value; a lazy group needs another one then."""
    if not anatomy.after:
        return None
    edits = [(anatomy.after[0].start, anatomy.after[-1].end, "")]
    return edited(anatomy.pattern, [*edits, (*anatomy.body.span, NUMBER)])


def beginning(anatomy: Anatomy) -> str | None:
    """Of what stands in front of the value only the last word."""
    pieces = anatomy.before
    at = len(pieces)
    while at and not (pieces[at - 1].kind == "literal" and pieces[at - 1].detail.isalnum()):
        at -= 1
    while (
        at
        and pieces[at - 1].kind == "literal"
        and (pieces[at - 1].detail.isalnum() or pieces[at - 1].detail in "_-/")
    ):
        at -= 1
    if at == 0:
        return None
    return edited(anatomy.pattern, [(pieces[0].start, pieces[at - 1].end, "")])


def joiners(anatomy: Anatomy) -> str:
    """`_`, `-`, `/`, `.` and blanks inside a name, one for another."""
    edits = []
    for left, part, right in zip(
        anatomy.before, anatomy.before[1:], anatomy.before[2:], strict=False
    ):
        sides = all(one.kind == "literal" and one.detail.isalnum() for one in (left, right))
        if sides and part.kind in ("literal", "any") and part.detail in (None, *"_-/. :"):
            edits.append((part.start, part.end, "[-_/. :]"))
    return edited(anatomy.pattern, edits)


def literally(anatomy: Anatomy) -> str | None:
    """Brackets, pipes and dots in front of the value as characters of the log."""
    start = anatomy.group.start
    front = anatomy.pattern[:start]
    if "(" in front.replace(r"\(", ""):  # the value's group is not the first parenthesis
        return None
    plain = re.sub(r"\\(.)", r"\1", front)
    return edited(anatomy.pattern, [(0, start, re.escape(plain).replace(r"\ ", " "))])


def other_group(anatomy: Anatomy) -> str | None:
    """`loss (train): ([0-9.]+)`: the first parentheses are text, the last the value."""
    groups = [
        one
        for one in anatomy.root.walk()
        if one.kind == "group" and one.detail not in (None, anatomy.value_group)
    ]
    if not groups or groups[-1].start < anatomy.group.end:
        return None
    last = groups[-1]
    front = re.escape(re.sub(r"\\(.)", r"\1", anatomy.pattern[: last.start]))
    return front.replace(r"\ ", " ") + anatomy.pattern[last.start :]


def backslashes(anatomy: Anatomy) -> str:
    r"""`\\d` for `\d`."""
    return anatomy.pattern.replace("\\\\", "\\")


def sequences(anatomy: Anatomy) -> str:
    """Colours and other control characters, which are taken out before matching."""
    changed = re.sub(
        r"(?:\\x1b|\\033|\\u001b|#033|\x1b)(?:\\?\[[0-9;?]*[A-Za-z])?|\\?#01[05]|\\r|\\b(?=\\b)",
        "",
        anatomy.pattern,
    )
    return re.sub(r"\\\[[0-9;]*m|\\\[[JK](?![A-Za-z])", "", changed)


def names(anatomy: Anatomy) -> str:
    """Words that other versions of a framework use."""
    text = "".join(
        one.detail if one.kind == "literal" and len(one.text) == 1 else "\0"
        for one in anatomy.before
    )
    edits: list[Edit] = []
    for group in SYNONYMS:
        words = "|".join(sorted(map(re.escape, group), key=len, reverse=True))
        alone = rf"(?<![A-Za-z0-9])(?:{words})(?![A-Za-z0-9])"
        for found in re.finditer(alone, text, re.IGNORECASE):
            start = anatomy.before[found.start()].start
            end = anatomy.before[found.end() - 1].end
            # A longer name that was found before holds this one.
            if not any(left < end and start < right for left, right, _ in edits):
                written = text[found.start() : found.end()]
                others = sorted({written, *group}, key=len, reverse=True)
                edits.append((start, end, f"(?:{'|'.join(others)})"))
    return edited(anatomy.pattern, edits)


# The likeliest first, those that give up most of the pattern last.
CAUSES = (
    Cause("escape-sequence", "the pattern wants control characters or colours, which are taken "
          "out of terminal text before matching", sequences),
    Cause("doubled-backslash", "backslashes are doubled, so the pattern wants backslashes in the "
          "log", backslashes),
    Cause("white-space", "the log has other white space here, such as a TAB (#011) or several "
          "blanks", white_space),
    Cause("optional-space", "the log has more or less white space around the separator",
          optional_space),
    Cause("quotes", "the log has quotes where the pattern has none, or none where it has some, "
          "as between Transformers 4 and 5", quotes),
    Cause("letter-case", "the log writes it in other letters: upper and lower case differ",
          letter_case),
    Cause("number", "the number in the log has a form that the group cannot hold", number),
    Cause("anchors", "the text does not stand at the beginning, or end, of the record", anchors),
    Cause("separator", "the log has another separator between name and number", separator),
    Cause("joiners", "the log joins the words of the name in another way", joiners),
    Cause("literally", "brackets, dots, pipes or plus signs are read as an expression, and the "
          "log holds them as text", literally),
    Cause("other-group", "parentheses that stand in the log are read as the value's group",
          other_group),
    Cause("names", "the log uses another word for it, as other versions of a framework do", names),
    Cause("end", "what the pattern wants behind the number is not there", end),
    Cause("beginning", "what the pattern wants in front of the name is not there", beginning),
)  # fmt: skip
