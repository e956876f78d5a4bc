"""Result files of formats that know no types: what their texts are read as."""

import metricsieve as ms
import pyarrow as pa
import pytest
from metricsieve._result_files import read_result
from metricsieve.exceptions import SourceError
from metricsieve.sinks import open_sink


def test_texts_of_a_csv_file_are_numbers_only_where_none_is_lost(tmp_path):
    """Names that look like numbers stay apart, and come back as they are; so do large numbers."""
    columns = {
        "run": ["007", "7", "0x7", None],
        "version": ["1.10", "1.1", "1", None],
        "id": pa.array([12345678901234567890, 12345678901234567891, 1, None], pa.uint64()),
        "long": ["123456789012345678901", "123456789012345678902", "1", None],
        "mixed": ["9007199254740993", "9007199254740992", "0.5", None],
        "odd": ["NaN", "nan", "Infinity", None],
        "rate": [0.1, 1e-05, float("inf"), None],
        "count": [-1, 0, 2**62, None],
        "=text": ["=x", "'=x", "''-y", "'z"],
    }
    table = pa.table({"metric": ["a"] * 4, "value": [1.0, 2.0, 3.0, 4.0], **columns})
    for name in ("points.csv", "points.jsonl"):
        sink = open_sink(str(tmp_path / name), table.schema)
        for batch in table.to_batches():
            sink.write(batch)
        sink.close()
        assert read_result(tmp_path / name).read_all().to_pydict() == table.to_pydict()
    (tmp_path / "steps.csv").write_text("metric,value,step\na,1,1.0\na,2,2.50\na,3,3\n")
    assert ms.wide(tmp_path / "steps.csv", index=("step",))["step"].to_pylist() == [1.0, 2.5, 3.0]
    (tmp_path / "mixed.jsonl").write_text(
        "".join(f'{{"metric": "a", "value": 1, "n": {n}}}\n' for n in (2**53 + 1, 2**53, 0.5))
    )
    assert ms.summary(tmp_path / "mixed.jsonl", by="n").num_rows == 3


def test_a_result_without_points_is_one(tmp_path):
    """Also where the format has no header."""
    (tmp_path / "none.jsonl").write_text("")
    assert ms.final_metrics(tmp_path / "none.jsonl") == []
    assert ms.summary(tmp_path / "none.jsonl").num_rows == 0


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.csv", "metric,value,x,x\na,1,2,3\n", "2 columns are called 'x'"),
        ("a.jsonl", "[" * 100_000 + "\n", "line 1"),
        ("a.jsonl", '{"metric": "a", "value": true}\n', "line 1: true is no number"),
        ("a.jsonl", '{"metric": "a", "value": "1_000"}\n', 'line 1: "1_000" is no number'),
    ],
)
def test_columns_and_lines_that_cannot_be_read_are_told(name, content, why, tmp_path):
    """No traceback of a library."""
    (tmp_path / name).write_text(content)
    with pytest.raises((ValueError, SourceError), match=why):
        ms.summary(tmp_path / name)
