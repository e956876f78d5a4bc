r"""What can be wrong with a pattern apart from the value's group.

`RULES` are functions from an `Anatomy` to findings without index and name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from metricsieve.checks.finding import Finding
from metricsieve.checks.pattern import Anatomy, Part, can_be_empty

# Names of metrics that longer names end with: val_loss, root_mse, eval/accuracy.
SHORT_NAMES = frozenset(
    [
        *("acc", "accuracy", "auc", "bleu", "err", "error", "f1", "iou", "iter", "kl", "logloss"),
        *("loss", "lr", "mae", "map", "mape", "mse", "ndcg", "perplexity", "ppl", "precision"),
        *("recall", "return", "reward", "rmse", "rouge", "score", "speed", "step", "time"),
    ]
)
# Rests of ESC [ 0 m, ESC [ K and their like.
_REST_OF_SEQUENCE = re.compile(r"\[(?:[0-9;]+m|[JK](?![A-Za-z]))")


def _of(anatomy: Anatomy, code: str, message: str, span: tuple[int, int],
        hint: str | None = None) -> Finding:  # fmt: skip
    return Finding(code, message, None, None, anatomy.pattern, span, hint)


def _is_any_run(part: Part) -> bool:
    return part.kind == "repeat" and part.children[0].kind == "any" and part.detail[1] is None


def leading(anatomy: Anatomy) -> Part | None:
    """A `.*` that the pattern begins with."""
    first = anatomy.before[0] if anatomy.before else None
    return first if first and _is_any_run(first) and first.detail[0] == 0 else None


def trailing(anatomy: Anatomy) -> list[Part]:
    """The last pieces behind the group, which match wherever the ones before them do."""
    found: list[Part] = []
    body = anatomy.body
    lazy = any(part.kind == "repeat" and part.detail[2] for part in body.walk())
    rest = list(anatomy.after)
    if rest and rest[-1].text in ("$", r"\Z") and len(rest) > 1 and rest[-2].text == ".*":
        found = [rest.pop()]
    while rest and can_be_empty(rest[-1]) and rest[-1].kind != "assertion":
        found.insert(0, rest.pop())
    # Behind a lazy group everything decides how much it takes.
    return [] if lazy and not rest else found


def needless_ends(anatomy: Anatomy) -> Iterator[Finding]:
    r"""`.*` in front, `.*` or `\s*` or `,?` behind."""
    first = leading(anatomy)
    if first is not None:
        yield _of(
            anatomy,
            "needless-ends",
            "patterns are searched for, so .* in front is not needed; with it the last "
            "occurrence in a record is read, not the first",
            first.span,
        )
    last = trailing(anatomy)
    if last:
        yield _of(
            anatomy,
            "needless-ends",
            "what stands here can be empty, so it changes nothing",
            (last[0].start, last[-1].end),
        )


def part_of_longer_name(anatomy: Anatomy) -> Iterator[Finding]:
    """`loss: ` also stands in `val_loss: `."""
    skip = leading(anatomy)
    before = anatomy.before[1:] if skip is not None else anatomy.before
    text = "".join(map(anatomy.witness, before))
    found = re.match(r"([a-z][a-z0-9]*)\W{0,3}\Z", text)
    if not found or found.group(1) not in SHORT_NAMES or before[0].kind != "literal":
        return
    name = found.group(1)
    longer = "val_" + text
    if anatomy.read_in(longer, anatomy.tail, "0.5") is None:
        return
    length = len(name)
    yield _of(
        anatomy,
        "part-of-longer-name",
        f"{name!r} also ends longer names: this matches {longer!r} too",
        (before[0].start, before[min(length, len(before)) - 1].end),
        rf"write \b{name} if only the word itself is meant",
    )


def unescaped_dot(anatomy: Anatomy) -> Iterator[Finding]:
    """`IoU=0.5` in a pattern matches `IoU=0x5`."""
    for part in anatomy.root.walk():
        items = part.items()
        for left, dot, right in zip(items, items[1:], items[2:], strict=False):
            sides = (left, right)
            if dot.kind == "any" and all(
                one.kind == "literal" and one.detail.isalnum() for one in sides
            ):
                yield _of(
                    anatomy,
                    "unescaped-dot",
                    f"the dot between {left.detail!r} and {right.detail!r} stands for any "
                    "character",
                    dot.span,
                    r"write \. for the dot itself",
                )


def doubled_backslash(anatomy: Anatomy) -> Iterator[Finding]:
    r"""`\\d+` matches a backslash and `d`s."""
    for part in anatomy.root.walk():
        if part.kind == "literal" and part.text == "\\\\":
            following = anatomy.pattern[part.end : part.end + 1]
            if following and following in "dDsSwWbB.[](){}+*?|^$":
                yield _of(
                    anatomy,
                    "doubled-backslash",
                    f"\\\\{following} matches a backslash; \\{following} was probably meant",
                    (part.start, part.end + 1),
                    "in JSON a backslash is written twice, in Python's r'...' once",
                )
        if part.kind == "class" and "\\\\" in part.text:
            at = part.start + part.text.index("\\\\")
            yield _of(
                anatomy,
                "doubled-backslash",
                "the class holds a backslash",
                (at, at + 2),
                "in a class a dot needs no backslash",
            )


def line_break(anatomy: Anatomy) -> Iterator[Finding]:
    """A record holds no line feed."""
    for part in anatomy.root.walk():
        if part.kind == "literal" and part.detail == "\n":
            yield _of(
                anatomy,
                "never-in-text",
                "a record is one line, so a line feed in a pattern never matches",
                part.span,
            )


def rest_of_sequence(anatomy: Anatomy) -> Iterator[Finding]:
    r"""`\[J1`: what a terminal's erase sequence leaves where ESC is not shown."""
    if not anatomy.terminal:
        return
    for part in anatomy.root.walk():
        items = part.items()
        run = "".join(one.detail if one.kind == "literal" else "\0" for one in items)
        for found in _REST_OF_SEQUENCE.finditer(run):
            yield _of(
                anatomy,
                "never-in-text",
                f"{found.group()} looks like the rest of an escape sequence (colours, erasing), "
                "which is taken out before matching",
                (items[found.start()].start, items[found.end() - 1].end),
            )


def anchored(anatomy: Anatomy) -> Iterator[Finding]:
    """`^Training`: a time or a rank prefix in front defeats it."""
    for part in anatomy.before:
        if part.kind == "assertion" and part.text in ("^", r"\A"):
            yield _of(
                anatomy,
                "anchored",
                "matches only at the beginning of a record: a time stamp or a rank such as "
                "[1,0]<stdout>: in front of the text defeats it",
                part.span,
            )


def engine_difference(anatomy: Anatomy) -> Iterator[Finding]:
    r"""Where results may differ from Python's, on rare text."""
    beyond = not anatomy.pattern.isascii()
    for part in anatomy.root.walk():
        if part.kind == "repeat" and can_be_empty(part.children[0]):
            message = "what is repeated here can be empty; Python goes on differently then"
        elif beyond and part.kind == "assertion" and part.text in (r"\b", r"\B"):
            message = "beside characters beyond ASCII word boundaries may differ from Python's"
        else:
            continue
        yield _of(anatomy, "engine-difference", message, part.span)


RULES = (
    needless_ends,
    part_of_longer_name,
    unescaped_dot,
    doubled_backslash,
    line_break,
    rest_of_sequence,
    anchored,
    engine_difference,
)
