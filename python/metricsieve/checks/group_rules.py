r"""What can be wrong with the group that holds the value.

`RULES` are functions from an `Anatomy` to findings without index and name. They put numbers in
the group's place and look at what comes out, so that `[0-9.]+`, `\d+\.\d+` and `(.*?),` are
judged by what they do, not by how they are written.
"""

from __future__ import annotations

from collections.abc import Iterator

from metricsieve._text import shorten
from metricsieve.checks.finding import Finding
from metricsieve.checks.pattern import Anatomy, Part, can_be_empty

PLAIN = ("0.5", "0.123456", "99.5", "1.0", "12", "123", "5")
EXPONENT = "4.67e-05"
NEGATIVE = "-0.5"
# What a log may go on with behind a value, without a space.
FOLLOWING = ",next:1"
# Names of what is counted: an integer is all that is wanted.
_COUNTS = ("epoch", "step", "iter", "round", "count", "num", "batch", "episode", "sec", "second")


def reads_numbers(anatomy: Anatomy) -> bool:
    """Whether the group takes some plain number whole where it stands in the group's place."""
    return any(anatomy.read(number) == number for number in PLAIN)


def is_open(anatomy: Anatomy) -> bool:
    """Whether the group takes any text, not only what looks like a number."""
    return anatomy.accepts(anatomy.body, "abc")


def _of(anatomy: Anatomy, code: str, message: str, part: Part, hint: str | None = None) -> Finding:
    return Finding(code, message, None, None, anatomy.pattern, part.span, hint)


def always_empty(anatomy: Anatomy) -> Iterator[Finding]:
    """`loss: (.*?)`: a lazy group with nothing behind it."""
    if not can_be_empty(anatomy.body):
        return
    if all(anatomy.read(number, " next") == "" == anatomy.read(number) for number in PLAIN):
        yield _of(
            anatomy,
            "group-always-empty",
            "the group is empty in every match: it takes as little as it can, and nothing behind "
            "it makes it take more",
            anatomy.group,
        )


def holds_no_number(anatomy: Anatomy) -> Iterator[Finding]:
    """`(')?test_loss(')?:([0-9.]+)`: another group was meant."""
    if any(anatomy.accepts(anatomy.body, number) for number in (*PLAIN, EXPONENT, "1", "0")):
        return
    others = [
        part
        for part in anatomy.root.walk()
        if part.kind == "group" and part.detail not in (None, anatomy.value_group)
    ]
    meant = [one for one in others if anatomy.accepts(one.children[0], "0.5")]
    hint = None
    if meant:
        hint = (
            f"the number seems to be in group {meant[0].detail}: write the groups in front of it "
            "as (?:...), or name it (?P<value>...)"
        )
    yield _of(anatomy, "group-holds-no-number", "the value's group cannot hold a number",
              anatomy.group, hint)  # fmt: skip


def may_be_empty(anatomy: Anatomy) -> Iterator[Finding]:
    """`([0-9.]*)` matches where no number stands."""
    if can_be_empty(anatomy.body) and not is_open(anatomy):
        yield _of(
            anatomy,
            "group-may-be-empty",
            f"the group matches even where no number stands: {anatomy.body.text} can be empty",
            anatomy.body,
        )


def no_exponent(anatomy: Anatomy) -> Iterator[Finding]:
    """`([0-9.]+)` reads 4.67e-05 as 4.67."""
    if anatomy.read("0.5") == "0.5" or anatomy.read("0.123456") == "0.123456":
        yield from _cannot_hold(anatomy, "no-exponent", EXPONENT, "an exponent")


def no_sign(anatomy: Anatomy) -> Iterator[Finding]:
    """`([0-9.]+)` does not read -0.5."""
    if anatomy.read("0.5") == "0.5":
        yield from _cannot_hold(anatomy, "no-sign", NEGATIVE, "a sign")


def _cannot_hold(anatomy: Anatomy, code: str, number: str, what: str) -> Iterator[Finding]:
    read = anatomy.read(number)
    if read != number:
        seen = f"is read as {read}" if read else "is not matched"
        message = f"{number} {seen}: {shorten(anatomy.body.text)} cannot hold {what}"
        yield _of(anatomy, code, message, anatomy.body)


def no_decimal_point(anatomy: Anatomy) -> Iterator[Finding]:
    r"""`(\d+)` reads 0.5 as 0."""
    if anatomy.read("12") != "12" or any(anatomy.read(one) == one for one in PLAIN if "." in one):
        return
    if any(word in anatomy.head.lower() + anatomy.tail.lower() for word in _COUNTS):
        return
    read = anatomy.read("0.5")
    what = f"0.5 is read as {read}" if read else "0.5 is not matched"
    yield _of(
        anatomy,
        "no-decimal-point",
        f"{what}: {shorten(anatomy.body.text)} matches only integers",
        anatomy.body,
    )


def some_integers_only(anatomy: Anatomy) -> Iterator[Finding]:
    r"""`[0-9]+(.|e\-)[0-9]+` matches 123 and not 5."""
    longer = next((number for number in ("12", "123") if anatomy.read(number) == number), None)
    if longer is not None and anatomy.read("5") != "5":
        message = f"5 is not matched, though {longer} is"
        yield _of(anatomy, "some-integers-only", message, anatomy.body)


def unescaped_dot(anatomy: Anatomy) -> Iterator[Finding]:
    """`[0-9]*.[0-9]*`: the dot stands for any character."""
    if is_open(anatomy) or not reads_numbers(anatomy):
        return
    repeated = {
        part.children[0].span
        for part in anatomy.body.walk()
        if part.kind == "repeat" and part.detail != (0, 1, False)
    }
    for part in anatomy.body.walk():
        if part.kind == "any" and part.span not in repeated:
            yield _of(
                anatomy,
                "unescaped-dot",
                "the dot stands for any character, a letter or a comma too",
                part,
                r"write \. for a decimal point",
            )


def catch_all(anatomy: Anatomy) -> Iterator[Finding]:
    r"""`(\S+)` at the end takes `0.5,loss:3`."""
    if anatomy.read("0.5") != "0.5" or not all(map(can_be_empty, anatomy.after)):
        return
    read = anatomy.read("0.5", FOLLOWING)
    if read is None or read == "0.5":
        return
    message = f"the group takes what follows the number: from 0.5{FOLLOWING} it reads {read}"
    if anatomy.terminal and "\t" in anatomy.head:
        message += "; SageMaker itself, where a TAB is #011, takes all columns behind it"
    yield _of(anatomy, "catch-all", message, anatomy.group)


def unused_groups(anatomy: Anatomy) -> Iterator[Finding]:
    """Groups beside the value's or inside it."""
    for part in anatomy.root.walk():
        if part.kind != "group" or part.detail in (None, anatomy.value_group):
            continue
        if part.text.startswith("(?P<"):  # becomes a column
            continue
        inside = anatomy.group.start < part.start < anatomy.group.end
        where = "lies inside the value's" if inside else "is not read"
        yield _of(
            anatomy,
            "unused-group",
            f"group {part.detail} {where}: only group {anatomy.value_group} is the value",
            part,
            "write it as (?:...)",
        )


def quoted_number(anatomy: Anatomy) -> Iterator[Finding]:
    """`'loss': ([0-9.]+)`: Transformers 5 writes `'loss': '0.5123'`."""
    if not anatomy.head.endswith(("': ", '": ')) or not reads_numbers(anatomy):
        return
    if anatomy.read("'0.5'") is None:
        yield _of(
            anatomy,
            "quoted-number",
            "Transformers 5 and newer write the number in quotes, 'loss': '0.5123', which is not "
            "matched",
            anatomy.group,
            "write '? in front of the group",
        )


RULES = (
    always_empty,
    holds_no_number,
    may_be_empty,
    no_exponent,
    no_sign,
    no_decimal_point,
    some_integers_only,
    unescaped_dot,
    catch_all,
    unused_groups,
    quoted_number,
)
# With one of these nothing else about the group is worth a word.
FATAL = frozenset(["group-always-empty", "group-holds-no-number"])
