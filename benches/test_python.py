"""pytest-benchmark: the parts of the Python package that a scan's throughput does not show.

Run by hand, `.venv/bin/python -m pytest benches/test_python.py`; `make test` leaves it out.
"""

from __future__ import annotations

import random

import metricsieve as ms
import pytest
from lines import trainer_definitions
from plans import many, sparse

pytest.importorskip("pytest_benchmark", reason="the extra `bench` is not installed")


@pytest.fixture(scope="module")
def small() -> tuple[bytes, int]:
    """About 40 KB of log, as one notebook cell prints it, and its number of points."""
    chunks = sparse(random.Random("small"), share=0.1).chunks(random.Random("text"))
    text, points, _ = next(chunks)
    return text, points


@pytest.mark.parametrize("count", [8, 200, 1000])
def test_definition_set_build(benchmark, count):
    """Checking definitions: every pattern is parsed and translated."""
    definitions = many(random.Random("build"), count).definitions
    built = benchmark(ms.DefinitionSet, definitions)
    assert len(built) == count


def test_definition_set_from_names(benchmark):
    """A handful of definitions given as a mapping."""
    mapping = {d["Name"]: d["Regex"] for d in trainer_definitions()}
    assert len(benchmark(ms.DefinitionSet, mapping)) == len(mapping)


def test_small_bytes_to_table(benchmark, small):
    """The whole way of a small text, with everything that a scan sets up."""
    text, points = small
    definitions = ms.DefinitionSet(trainer_definitions())
    table = benchmark(lambda: ms.scan(text, definitions).read_all())
    assert table.num_rows == points


def test_small_bytes_unchecked_definitions(benchmark, small):
    """The same with definitions as a list, as a notebook calls it."""
    text, points = small
    definitions = trainer_definitions()
    table = benchmark(lambda: ms.scan(text, definitions).read_all())
    assert table.num_rows == points


def test_to_pandas(benchmark, small):
    """A frame of the points."""
    pytest.importorskip("pandas")
    text, points = small
    definitions = ms.DefinitionSet(trainer_definitions())
    assert len(benchmark(lambda: ms.scan(text, definitions).to_pandas())) == points


@pytest.mark.parametrize("count", [8, 1000])
def test_report_to_dict(benchmark, small, count):
    """What a program asks for after a scan."""
    definitions = ms.DefinitionSet(many(random.Random("report"), count).definitions)
    scan = ms.scan(small[0], definitions)
    scan.read_all()
    assert len(benchmark(lambda: scan.report.to_dict())["definitions"]) == count


def test_write_parquet(benchmark, small, tmp_path):
    """A small file of points."""
    text, points = small
    definitions = ms.DefinitionSet(trainer_definitions())
    target = tmp_path / "points.parquet"
    report = benchmark(lambda: ms.scan(text, definitions).write(target))
    assert report.points == points
