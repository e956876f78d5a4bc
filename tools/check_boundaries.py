"""The rules of ARCHITECTURE.md that a tool can see.

Each rule is a line of `problems`; the script prints what is broken and exits 1. It is part of
`make check`.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "python" / "metricsieve"
DRAWING = "plotting/draw.py"
LIMIT = 550  # lines of a Python file of the package


def rust_dependencies(crate: str) -> set[str]:
    """Names of a workspace crate's direct dependencies, dev-dependencies left out."""
    command = ["cargo", "metadata", "--format-version=1", "--no-deps", "--locked"]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)
    (package,) = [package for package in metadata["packages"] if package["name"] == crate]
    return {item["name"] for item in package["dependencies"] if item["kind"] != "dev"}


def problems() -> list[str]:
    """All broken rules, as sentences."""
    found = []
    core, binding = rust_dependencies("metricsieve-core"), rust_dependencies("metricsieve-py")
    if "pyo3" in core:
        found.append("rust/core depends on pyo3")
    if engines := binding & {"regex", "regex-automata", "regex-syntax", "aho-corasick"}:
        found.append(f"rust/py depends on {sorted(engines)}: matching belongs to rust/core")
    for path in sorted((ROOT / "rust/core/src").rglob("*.rs")):
        text, name = path.read_text(), path.relative_to(ROOT).as_posix()
        if "/matcher/" in name and "arrow" in text:
            found.append(f"{name}: the matcher knows no Arrow")
        if path.name == "batch.rs" and "regex" in text:
            found.append(f"{name}: batches know no regex")
        if "/source/" not in name and re.search(r"std::fs|\bFile::open|std::env", text):
            found.append(f"{name}: only source/ touches files")
    for path in sorted(PACKAGE.rglob("*.py")):
        text, name = path.read_text(), path.relative_to(PACKAGE).as_posix()
        imports = set(re.findall(r"^\s*(?:from|import) +(metricsieve[\w.]*)", text, re.MULTILINE))
        if "import _native" in text:
            imports.add("metricsieve._native")
        if "metricsieve._native" in imports and name != "_engine.py":
            found.append(f"{name}: only _engine.py imports _native")
        of_cli = {one for one in imports if one.split(".")[:2] == ["metricsieve", "cli"]}
        if of_cli and name != "__main__.py" and not name.startswith("cli/"):
            found.append(f"{name}: nothing imports cli")
        if name.startswith("sinks/") and imports & {"metricsieve._scan", "metricsieve.definitions"}:
            found.append(f"{name}: sinks know neither scans nor definitions")
        if name.startswith("sources/") and imports & {
            "metricsieve._scan",
            "metricsieve._sources",
            "metricsieve.definitions",
        }:
            found.append(f"{name}: remote sources know neither scans nor definitions")
        of_following = {one for one in imports if one.startswith("metricsieve.following")}
        if of_following and name.startswith(("sinks/", "_scan", "_sources", "_render")):
            found.append(f"{name}: what follow builds on does not know it")
        if re.search(r"^\s*(?:from|import) +matplotlib", text, re.MULTILINE) and name != DRAWING:
            found.append(f"{name}: only {DRAWING} imports matplotlib")
        if len(text.splitlines()) > LIMIT:
            found.append(f"{name}: more than {LIMIT} lines; find the seam")
    return found


if __name__ == "__main__":
    broken = problems()
    print("\n".join(broken) or "boundaries hold")
    sys.exit(bool(broken))
