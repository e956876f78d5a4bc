"""Instructions per byte of text, counted by valgrind: a figure that load and clock do not move.

The program `decode` of `micro` reads a workload's file into memory and decodes it; only its
function `decode` is counted. Results replace benches/record/instructions.json, and the change
against what was there is printed. valgrind knows AVX2 but no AVX-512, so paths that are chosen at
run time for the latter are not the ones counted.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from workloads import Workload, make

HERE = Path(__file__).parent
RECORD = HERE / "record" / "instructions.json"
WORKLOADS = ("sparse-8", "dense-8", "dotstar", "many-200", "bars", "coloured")
MB = 4
FUNCTION = "metricsieve_bench_micro::decode"


def build() -> Path:
    target = HERE / "target"
    manifest = HERE / "micro" / "Cargo.toml"
    command = ["cargo", "build", "--quiet", "--release", "--manifest-path", str(manifest)]
    subprocess.run([*command, "--target-dir", str(target)], check=True)
    return target / "release" / "decode"


def instructions(program: Path, workload: Workload) -> int:
    """Instructions that `program` spends in its decoding function.

    Raises:
        AssertionError: it found a wrong number of points.
    """
    with tempfile.TemporaryDirectory() as home:
        patterns = Path(home) / "patterns"
        patterns.write_text("".join(d["Regex"] + "\n" for d in workload.definitions))
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={home}/out"]
        # Rust appends a hash to the name.
        command += [f"--toggle-collect={FUNCTION}*", str(program), str(patterns)]
        done = subprocess.run(
            [*command, str(workload.paths[0])], capture_output=True, text=True, check=True
        )
    points = int(done.stdout)
    assert points == workload.points, f"{points:,} points, not {workload.points:,}"
    found = re.search(r"Collected : ([0-9]+)", done.stderr)
    if found is None or int(found.group(1)) == 0:
        raise RuntimeError(f"valgrind counted nothing in {FUNCTION}:\n{done.stderr}")
    return int(found.group(1))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("workloads", nargs="*", default=WORKLOADS)
    parser.add_argument("--data", type=Path, default=HERE / ".data", help="where files are kept")
    parser.add_argument("--dry", action="store_true", help="leave the record as it is")
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        print("valgrind is not on the PATH: no instructions are counted")
        return 0
    options.data.mkdir(parents=True, exist_ok=True)
    before = json.loads(RECORD.read_text())["per_byte"] if RECORD.exists() else {}
    program, now = build(), {}
    for name in options.workloads:
        workload = make(name, options.data, MB)
        now[name] = round(instructions(program, workload) / workload.text_bytes, 4)
        change = f"  {now[name] / before[name] - 1:+.1%}" if name in before else ""
        print(f"{name:10} {now[name]:10.3f} instructions a byte{change}", flush=True)
    if not options.dry:
        rustc = subprocess.check_output(["rustc", "--version"], text=True).strip()
        content = {"text_mb": MB, "rustc": rustc, "per_byte": {**before, **now}}
        RECORD.parent.mkdir(exist_ok=True)
        RECORD.write_text(json.dumps(content, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
