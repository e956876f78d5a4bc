#!/usr/bin/env python3
"""Check examples/definitions against examples/logs with Python's ``re`` alone.

For every definition: it compiles and is within SageMaker's limits; it matches in each
log of its family and in no other; a raw log and its escaped twin give the same values;
it captures whole numbers (signs, exponents, nan); searched as SageMaker does, verbatim
in a line of the escaped text, it finds a number too. Needs only the standard library.
"""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

HERE = Path(__file__).resolve().parent
CONTROL = {"#010": "\b", "#011": "\t", "#015": "\r", "#033": "\x1b"}
PROBES = ("-1.5e-07", "+3E+05", "0.0000e+00", "12", ".5", "7.", "nan", "-nan", "NaN", "-inf")


def read(path: Path) -> str:
    """Read a log without touching its line ends."""
    raw = path.read_bytes()
    return (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()


def records(text: str) -> list[str]:
    """Undo the escapes, split at LF, CR and backspace runs, drop ANSI sequences."""
    text = re.sub("#(?:010|011|015|033)", lambda m: CONTROL[m[0]], text)
    parts = re.split(r"\r\n|[\r\n]|\x08+", text)
    return [re.sub(r"\x1b\[[0-?]*[ -/]*[@-~]", "", part) for part in parts]


def values(pattern: re.Pattern[str], lines: list[str]) -> list[str]:
    """Return the first capture of every line that matches."""
    return [m[1] for m in map(pattern.search, lines) if m]


def main() -> None:
    """Run the checks; an AssertionError names what failed."""
    families = {
        path.stem: json.loads(path.read_text()) for path in sorted((HERE / "definitions").iterdir())
    }
    merged = json.loads((HERE / "definitions.json").read_text())
    by_name = {d["Name"]: d for ds in families.values() for d in ds}
    assert by_name == {d["Name"]: d for d in merged}, "definitions.json is not the union"
    assert len(by_name) == len(merged) == sum(map(len, families.values())), "names repeat"
    assert len(merged) <= 40, "more than SageMaker takes"

    texts = {path.name: read(path) for path in sorted((HERE / "logs").iterdir())}
    lines = {name: records(text) for name, text in texts.items()}
    for family, definitions in families.items():
        own = {name for name in texts if re.split("[.-]", name)[0] == family}
        assert own, f"no log of {family}"
        for definition in definitions:
            name, regex = definition["Name"], definition["Regex"]
            assert len(name) <= 255 and len(regex) <= 500, name
            assert not re.search(r"\(\?(?:[=!>(]|<[=!]|P=)|\\[1-9]", regex), f"{name}: dialect"
            pattern = re.compile(regex.replace("#011", r"\t"))
            assert pattern.groups == 1, name
            counts = {}
            for log, its_lines in lines.items():
                found = values(pattern, its_lines)
                assert bool(found) == (log in own), f"{name}: {len(found)} matches in {log}"
                if log not in own:
                    continue
                counts[log] = len(found)
                for text in found:
                    float(text)
                twin = log.replace(".escaped.log", ".log").replace(".gz", "")
                assert found == values(pattern, lines[twin]), f"{name}: {log} differs"
                for match in filter(None, map(pattern.search, its_lines)):
                    assert not re.match(r"[\w.]", match.string[match.end(1) :]), (name, match[0])
                    for probe in PROBES:
                        start, end = match.span(1)
                        line = match.string[:start] + probe + match.string[end:]
                        assert pattern.search(line)[1] == probe, (name, probe, line)
                if ".escaped." in log:
                    verbatim = values(re.compile(regex), texts[log].split("\n"))
                    assert verbatim and [float(v) for v in verbatim], (name, log)
            shown = ", ".join(f"{log} {n}" for log, n in counts.items() if ".escaped" not in log)
            print(f"{name}: {shown}")
    print(f"{len(merged)} definitions, {len(texts)} logs: all well")


if __name__ == "__main__":
    main()
