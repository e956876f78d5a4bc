"""The real program with a write that fails: any call, any error.

Principal type: `Faults`. It compiles `faults.c`, and keeps a process with everything imported, of
which each run of the program is a fork: 30 ms instead of a second, so that a test can afford to
fail every call of it.
"""

import atexit
import contextlib
import ctypes
import errno
import gc
import importlib
import io
import json
import os
import pkgutil
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import NamedTuple

_HEAVY = (
    "deltalake",
    "duckdb",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "pandas",
    "pyarrow.compute",
    "pyarrow.csv",
    "pyarrow.parquet",
    "sqlite3",
    "tensorboardX.proto.event_pb2",
    "tensorboardX.record_writer",
)
_SECONDS = 60  # that a run may take


class Fault(NamedTuple):
    """What happens to one call.

    Attributes:
        error: its errno.
        stays: the device is full from this call on: a write is cut in half, later ones fail.
    """

    error: int
    stays: bool = False


EIO = Fault(errno.EIO)
ENOSPC = Fault(errno.ENOSPC)
FULL = Fault(errno.ENOSPC, stays=True)


class Ran(NamedTuple):
    """How a run ended.

    Attributes:
        code: its exit code, negative for a signal.
        output: what it wrote to stdout and stderr.
        calls: how many calls could have failed.
        call: which one did, and of which path; empty where none did.
    """

    code: int
    output: str
    calls: int
    call: str


class Faults:
    """Runs the program with faults below a directory; a context manager.

    Args:
        home: where the library is built.
    """

    def __init__(self, home: Path) -> None:
        library = home / "faults.so"
        source = Path(__file__).with_suffix(".c")
        subprocess.run(
            [compiler(), "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True
        )
        self._driver = subprocess.Popen(
            [sys.executable, __file__, str(library)],
            env={**os.environ, "LD_PRELOAD": str(library), "OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, arguments, directory, call=0, fault=EIO) -> Ran:
        """Run `metricsieve` with this call below the directory failing; 0 fails none."""
        told = [[*map(str, arguments)], str(directory), call, *fault]
        self._driver.stdin.write(json.dumps(told) + "\n")
        self._driver.stdin.flush()
        return Ran(*json.loads(self._driver.stdout.readline()))

    def close(self) -> None:
        """End the process."""
        self._driver.stdin.close()
        self._driver.wait()
        self._driver.stdout.close()


def compiler() -> str | None:
    """A C compiler."""
    return shutil.which("cc")


def _drive(library: str) -> None:
    """In the process that is forked: answer requests until there are no more."""
    import metricsieve
    from metricsieve.cli import main

    for module in pkgutil.walk_packages(metricsieve.__path__, "metricsieve."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in _HEAVY:
        importlib.import_module(name)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        sys.argv = ["metricsieve", "presets", "xgboost"]  # what the command line itself imports
        main()
    # So that a dataset of two small logs has two parts.
    metricsieve.datasets.DatasetWriter.__init__.__kwdefaults__["part_rows"] = 1
    native = ctypes.CDLL(library)
    for function in (native.faults_call, native.faults_path):
        function.restype = ctypes.c_char_p
    native.faults_calls.restype = ctypes.c_long
    gc.freeze()  # or a collection in a fork would copy everything
    for line in sys.stdin:
        arguments, directory, call, error, stays = json.loads(line)
        native.faults_reset()
        with tempfile.TemporaryFile() as output:
            child = os.fork()
            if not child:
                signal.alarm(_SECONDS)
                for descriptor in (1, 2):
                    os.dup2(output.fileno(), descriptor)
                native.faults_arm(directory.encode(), ctypes.c_long(call), error, stays)
                _become(arguments)
            _, status = os.waitpid(child, 0)
            output.seek(0)
            text = output.read().decode(errors="replace")
        named = ""
        if native.faults_failed():
            named = f"{native.faults_call().decode()} {native.faults_path().decode()}"
        ran = [os.waitstatus_to_exitcode(status), text, native.faults_calls(), named]
        print(json.dumps(ran), flush=True)


def _become(arguments: list[str]) -> None:
    """In the fork: run the program, and end as it would."""
    from metricsieve.cli import main

    sys.argv = ["metricsieve", *arguments]
    code = 1
    try:
        main()
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # to take the interpreter apart costs three times as much as all the rest


if __name__ == "__main__":
    _drive(sys.argv[1])
