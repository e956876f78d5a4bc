"""The engine against the oracle, on definitions and logs that hypothesis makes up.

HYPOTHESIS_PROFILE chooses the number of examples: 2,000 without it, 10,000 for `acceptance`,
1,000,000 for `nightly`. `pytest -s` prints the share of examples that hold each feature.
"""

import os
from collections import Counter

import strategies
from comparison import assert_equal
from hypothesis import HealthCheck, given, settings

EXAMPLES = {"acceptance": 10_000, "nightly": 1_000_000}
MAX_EXAMPLES = EXAMPLES.get(os.environ.get("HYPOTHESIS_PROFILE", ""), 2_000)
SHARES = {
    "matched": 0.35,
    "escape": 0.12,
    "ansi": 0.12,
    "cr_or_bs": 0.12,
    "invalid": 0.12,
    "translated": 0.12,
    "context": 0.05,
    "unfit": 0.02,
}


def test_engine_equals_oracle_b1_b3_b4_b5_b10_b12_r8_r13_v1_v3_v4_v7():
    """Rows, rejects and counts equal Python's on every case, and the cases are not idle ones."""
    counts: Counter[str] = Counter()

    @settings(
        max_examples=MAX_EXAMPLES,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(strategies.cases())
    def check(case: strategies.Case) -> None:
        rows, report = assert_equal(
            case.data,
            case.definitions,
            normalize=case.normalize,
            number=case.number,
            max_record_bytes=case.max_record_bytes,
            context=case.context,
        )
        counts.update(strategies.features(case))
        counts.update(["context"] * any(column.values for column in report.context))
        counts.update(["unfit"] * any(column.rejects for column in report.context))
        counts.update(["examples"] + ["matched"] * (report.matched > 0) + ["points"] * bool(rows))

    check()
    examples = counts.pop("examples")
    shares = {name: count / examples for name, count in sorted(counts.items())}
    print(f"\n{examples} examples: " + ", ".join(f"{n} {s:.1%}" for n, s in shares.items()))
    assert {
        name: shares.get(name, 0) for name, least in SHARES.items() if shares.get(name, 0) < least
    } == {}
