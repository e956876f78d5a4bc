"""What metricsieve is measured against in Python, each in a fresh process of `entries.py`.

    echo '{"paths": [...], "definitions": [...], "terminal": false}' | python_peers.py re-loop

prints `{"count": points, "seconds": ...}`. Imports and the compilation of patterns are outside of
the time, for every peer. A peer whose package is missing prints `{"missing": name}`.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from re import _constants, _parser  # where the literals of a pattern are read
from typing import Any, NamedTuple

CONTROL = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]")
ESCAPES = {b"#011": b"\t", b"#015": b"\r", b"#010": b"\x08", b"#033": b"\x1b"}
RECORD_END = re.compile(rb"\r\n?|\n|\x08+")
CONTROL_TEXT = re.compile(CONTROL.pattern.decode())


class Job(NamedTuple):
    """What to read and what to find."""

    paths: list[str]
    names: list[str]
    regexes: list[str]
    terminal: bool

    def text(self) -> Iterator[bytes]:
        """Each file whole, normalised where that is needed."""
        for path in self.paths:
            with (gzip.open if path.endswith(".gz") else open)(path, "rb") as file:
                yield normalised(file.read()) if self.terminal else file.read()

    def lines(self) -> Iterator[str]:
        """Line by line, as a first script does it."""
        for path in self.paths:
            opened = gzip.open if path.endswith(".gz") else open
            with opened(path, "rt", encoding="utf-8", errors="replace") as file:
                for line in file:
                    if self.terminal:
                        yield from plain(line)
                    else:
                        yield line


def normalised(text: bytes) -> bytes:
    """Every record on a line of its own, without escapes and colours; whole text at a time."""
    for raw, char in ESCAPES.items():
        text = text.replace(raw, char)
    return CONTROL.sub(b"", RECORD_END.sub(b"\n", text))


def plain(line: str) -> Iterator[str]:
    """The same for one line."""
    for raw, char in ESCAPES.items():
        line = line.replace(raw.decode(), char.decode())
    for record in re.split(r"[\r\n]|\x08+", line):
        if record:
            yield CONTROL_TEXT.sub("", record)


def number(text: str | bytes | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


Peer = Callable[[Job], Callable[[], int]]


def re_loop(job: Job) -> Callable[[], int]:
    """The loop that people write."""
    patterns = [
        (name, re.compile(regex)) for name, regex in zip(job.names, job.regexes, strict=True)
    ]

    def run() -> int:
        rows = []
        for line in job.lines():
            for name, pattern in patterns:
                found = pattern.search(line)
                if found:
                    rows.append((name, number(found.group(1))))
        return len(rows)

    return run


def longest_literal(regex: str) -> str:
    """The longest run of characters that every match of `regex` holds; "" if there is none."""
    runs = [""]

    def walk(parsed: Any) -> None:
        for operation, argument in parsed:
            if operation is _constants.LITERAL:
                runs[-1] += chr(argument)
            elif operation is _constants.SUBPATTERN and not argument[1]:
                walk(argument[3])
            elif operation is _constants.MAX_REPEAT and argument[0] >= 1:
                runs.append("")
                walk(argument[2])
                runs.append("")
            else:
                runs.append("")

    parsed = _parser.parse(regex)
    if not parsed.state.flags & re.IGNORECASE:
        walk(parsed)
    return max(runs, key=len)


def re_union(job: Job) -> Callable[[], int]:
    """Python's best form on sparse text: literals over the whole text, patterns on their lines."""
    patterns = []
    for name, regex in zip(job.names, job.regexes, strict=True):
        literal = longest_literal(regex).encode()
        patterns.append((name, literal, re.compile(regex.encode())))
    literals = {literal for _, literal, _ in patterns}
    # A literal within another one is found by the shorter.
    literals = {a for a in literals if not any(b != a and b in a for b in literals)}
    each_line = rb"(?m)^(?!\Z)"
    wanted = b"|".join(re.escape(literal) for literal in sorted(literals)) or each_line
    union = re.compile(wanted)

    def run() -> int:
        rows = []
        for text in job.text():
            end = -1
            for hit in union.finditer(text):
                if hit.start() < end:
                    continue
                start = text.rfind(b"\n", 0, hit.start()) + 1
                end = text.find(b"\n", hit.start())
                end = end if end >= 0 else len(text)
                line = text[start:end]
                for name, literal, pattern in patterns:
                    if literal in line and (found := pattern.search(line)):
                        rows.append((name, number(found.group(1))))
        return len(rows)

    return run


def re_finditer(job: Job) -> Callable[[], int]:
    """Python's best form on dense text: each pattern over the whole text; first match of a line."""
    pairs = zip(job.names, job.regexes, strict=True)
    patterns = [(name, re.compile(regex.encode(), re.MULTILINE)) for name, regex in pairs]

    def run() -> int:
        rows = []
        for text in job.text():
            for name, pattern in patterns:
                end = 0
                for found in pattern.finditer(text):
                    if found.start() >= end:
                        rows.append((name, number(found.group(1))))
                        end = text.find(b"\n", found.end())
        return len(rows)

    return run


def re2_set(job: Job) -> Callable[[], int]:
    """google-re2: a set tells which patterns match a line, each of them captures."""
    import re2

    options = re2.Options()
    options.max_mem = 1 << 30
    union = re2.Set.SearchSet(options)
    for regex in job.regexes:
        union.Add(regex)
    union.Compile()
    patterns = [re2.compile(regex) for regex in job.regexes]

    def run() -> int:
        rows = []
        for text in job.text():
            for line in text.split(b"\n"):
                for index in union.Match(line) or ():
                    found = patterns[index].search(line)
                    rows.append((job.names[index], number(found.group(1))))
        return len(rows)

    return run


def before_group(regex: str) -> str:
    """What of `regex` stands before its first group: each match of the whole begins with it."""
    plain = re.match(r"(?:[^\\(\[|]|\\.|\[\^?\]?[^\]]*\])+(?=\()", regex)
    branches = any(operation is _constants.BRANCH for operation, _ in _parser.parse(regex))
    return plain.group() if plain and not branches else regex


def hyperscan_block(job: Job) -> Callable[[], int]:
    """Hyperscan over the whole text, Python's `re` for the groups on the lines that it names.

    It reports every place where a match may end, so it gets the patterns without their numbers.
    """
    import hyperscan

    flags = hyperscan.HS_FLAG_MULTILINE | hyperscan.HS_FLAG_ALLOWEMPTY
    database = hyperscan.Database()
    expressions = [before_group(regex).encode() for regex in job.regexes]
    database.compile(
        expressions=expressions,
        ids=list(range(len(expressions))),
        elements=len(expressions),
        flags=[flags] * len(expressions),
    )
    patterns = [re.compile(regex.encode()) for regex in job.regexes]

    def run() -> int:
        rows = []
        for text in job.text():
            ends = [0] * len(patterns)  # of the last line that each pattern was tried on

            def on_match(index: int, _: int, to: int, __: int, ___: Any, text=text, ends=ends):
                if to <= ends[index]:
                    return
                start = text.rfind(b"\n", 0, to) + 1
                end = text.find(b"\n", to)
                ends[index] = end if end >= 0 else len(text)
                found = patterns[index].search(text[start : ends[index]])
                if found:
                    rows.append((job.names[index], number(found.group(1))))

            database.scan(text, match_event_handler=on_match)
        return len(rows)

    return run


def polars(job: Job) -> Callable[[], int]:
    """A frame of lines, `str.extract` for each definition."""
    import polars as pl

    def run() -> int:
        parts = []
        for path in job.paths:
            lines = pl.read_csv(
                path,
                separator="\x01",
                has_header=False,
                quote_char=None,
                new_columns=["line"],
                schema={"line": pl.String},
            ).with_row_index("number")
            parts += [
                lines.lazy()
                .select(
                    pl.lit(name).alias("metric"),
                    "number",
                    pl.col("line").str.extract(regex).cast(pl.Float64).alias("value"),
                )
                .drop_nulls("value")
                for name, regex in zip(job.names, job.regexes, strict=True)
            ]
        return sum(part.height for part in pl.collect_all(parts))

    return run


def duckdb(job: Job) -> Callable[[], int]:
    """A table of lines, `regexp_extract` for each definition."""
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET threads = 1")
    quoted = [regex.replace("'", "''") for regex in job.regexes]
    selects = [
        f"SELECT {index} AS metric, number, regexp_extract(line, '{regex}', 1)::DOUBLE AS value"
        f" FROM lines WHERE regexp_matches(line, '{regex}')"
        for index, regex in enumerate(quoted)
    ]

    def run() -> int:
        connection.execute(
            "CREATE OR REPLACE TABLE lines AS SELECT row_number() OVER () AS number, line "
            "FROM read_csv(?, columns = {'line': 'VARCHAR'}, auto_detect = false, header = false, "
            "delim = '\x01', quote = '', escape = '', strict_mode = false)",
            [job.paths],
        )
        return len(connection.execute(" UNION ALL ".join(selects)).to_arrow_table())

    return run


def arrow(job: Job) -> Callable[[], int]:
    """pyarrow's compute functions on a column of lines."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import csv

    pa.set_cpu_count(1)
    named = [re.sub(r"(?<!\\)\((?!\?)", "(?P<value>", regex, count=1) for regex in job.regexes]

    def run() -> int:
        rows = 0
        for path in job.paths:
            lines = csv.read_csv(
                path,
                read_options=csv.ReadOptions(column_names=["line"], use_threads=False),
                parse_options=csv.ParseOptions(delimiter="\x01", quote_char=False),
                convert_options=csv.ConvertOptions(column_types={"line": pa.string()}),
            )["line"]
            for regex in named:
                kept = lines.filter(pc.match_substring_regex(lines, regex))
                groups = pc.extract_regex(kept, regex)
                rows += len(pc.struct_field(groups, "value").cast(pa.float64()))
        return rows

    return run


def pandas(job: Job) -> Callable[[], int]:
    """A series of lines, `str.extract` for each definition."""
    import pandas as pd

    def run() -> int:
        rows = 0
        for text in job.text():
            lines = pd.Series(text.decode().split("\n"))
            for regex in job.regexes:
                rows += len(lines.str.extract(regex)[0].dropna().astype(float))
        return rows

    return run


PEERS: dict[str, Peer] = {
    "re-loop": re_loop,
    "re-union": re_union,
    "re-finditer": re_finditer,
    "re2": re2_set,
    "hyperscan": hyperscan_block,
    "polars": polars,
    "duckdb": duckdb,
    "pyarrow": arrow,
    "pandas": pandas,
}
# The packages that must be there; the others need the standard library alone.
MODULES = {name: name for name in ("re2", "hyperscan", "polars", "duckdb", "pyarrow", "pandas")}


def main() -> None:
    given = json.load(sys.stdin)
    regexes = [d["Regex"] for d in given["definitions"]]
    if given["terminal"]:
        regexes = [regex.replace(r"\#011", r"\t").replace("#011", r"\t") for regex in regexes]
    names = [d["Name"] for d in given["definitions"]]
    run = PEERS[sys.argv[1]](Job(given["paths"], names, regexes, given["terminal"]))
    begin = time.perf_counter()
    count = run()
    print(json.dumps({"count": count, "seconds": time.perf_counter() - begin}))


if __name__ == "__main__":
    main()
