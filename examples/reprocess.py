#!/usr/bin/env python3
"""Read the example logs with metricsieve and print where every metric ended.

    pip install metricsieve
    python examples/reprocess.py

The training is long over: the metrics come from the text it left behind, and may be
defined, corrected and read again at any time.
"""

from pathlib import Path

import metricsieve as ms

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Print the last value and the number of points of each metric in each log."""
    # A SageMaker list, as in CreateTrainingJob: [{"Name": ..., "Regex": ...}, ...].
    definitions = ms.DefinitionSet.load(HERE / "definitions.json")

    # A directory is read recursively, compressed files too. Nothing is read yet.
    # Plain strings, because pyarrow does not sort by dictionary columns.
    scan = ms.scan(HERE / "logs", definitions, strings="plain")

    # A pyarrow.Table, a row a point, in the order of the log: the last row is the end.
    table = scan.read_all()
    final = (
        table.group_by(["metric", "source"], use_threads=False)  # "last" needs the order
        .aggregate([("value", "last"), ("value", "count")])
        .sort_by([("metric", "ascending"), ("source", "ascending")])
    )
    for row in final.to_pylist():
        log = Path(row["source"]).name
        print(f"{row['metric']:34} {log:24} {row['value_last']:>12.6g} {row['value_count']:>6}")

    report = scan.report.to_dict()
    print(
        f"\n{report['points']:,} points in {report['matched']:,} of {report['records']:,} records; "
        f"{report['rejects']:,} rejected texts; {report['sources']['complete']} sources complete"
    )

    # What did not go well is counted: rejected captures, definitions without a point, ...
    for definition in report["definitions"]:
        if not definition["points"]:
            print(f"no point: {definition['name']}")


if __name__ == "__main__":
    main()
