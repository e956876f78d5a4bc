"""What is drawn, chosen without drawing: pairs, axes, best values, gaps; against plain Python."""

import math
from datetime import UTC, datetime, timedelta

import metricsieve as ms
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from metricsieve._result_files import is_result, read_result
from metricsieve.plotting import choose
from metricsieve.plotting._names import direction, read_name
from metricsieve.plotting._thin import thin

# Names that belong together, as people and frameworks write them, and the title of their panel.
PAIRS = [
    ("error", {"train": "train:error", "validation": "validation:error"}),  # XGBoost, SageMaker
    ("rmse", {"train": "train-rmse", "validation": "validation-rmse"}),  # XGBoost's log
    ("loss", {"train": "train_loss", "validation": "val_loss"}),  # Lightning
    ("loss", {"train": "train_loss", "validation": "eval_loss", "test": "test_loss"}),  # Trainer
    ("loss_epoch", {"train": "train_loss_epoch", "validation": "val_loss_epoch"}),
    ("loss", {"train": "train/loss", "validation": "eval/loss"}),  # TensorBoard's tags
    ("Loss", {"train": "Training Loss", "validation": "Validation Loss"}),  # notebooks
    ("loss", {"train": "loss", "validation": "val_loss"}),  # Keras
    ("accuracy", {"train": "accuracy", "validation": "val_accuracy"}),
    ("Loss", {"train": "trainLoss", "validation": "valLoss"}),
    ("RMSE", {"train": "trainRMSE", "test": "testRMSE"}),
    ("LOSS", {"train": "TRAIN_LOSS", "validation": "VAL_LOSS"}),
    ("loss", {"train": "train.loss", "validation": "val.loss"}),  # DLLogger
    ("l2", {"train": "train's l2", "validation": "validation's l2"}),  # LightGBM's log
    ("l2", {"train": "training:l2", "validation": "valid_1:l2"}),
    ("logloss", {"train": "train-logloss", "validation": "validation_0-logloss"}),
    ("xgboost:auc", {"train": "xgboost:train:auc", "validation": "xgboost:validation:auc"}),
    ("keras:loss", {"train": "keras:loss", "validation": "keras:val_loss"}),
    ("reward", {"train": "reward-training", "test": "reward-testing"}),  # RL Coach
    ("loss:batch", {"train": "train:loss:batch", "validation": "validation:loss:batch"}),
    ("cross-entropy", {"train": "train:cross-entropy", "validation": "validation:cross-entropy"}),
    ("loss", {"train": "train_loss", "validation": "dev_loss"}),
    ("lm loss", {"train": "lm loss", "validation": "validation:lm loss"}),  # Megatron
    ("loss", {"train": "loss (train)", "validation": "loss (val)"}),
    ("learn / test", {"train": "learn", "test": "test"}),  # CatBoost
]


def table(**columns):
    """Points; `metric` may be one name for all."""
    rows = max(len(one) for one in columns.values() if not isinstance(one, str))
    return pa.table(
        {name: [one] * rows if isinstance(one, str) else one for name, one in columns.items()}
    )


@pytest.mark.parametrize("title, names", PAIRS, ids=lambda one: str(one)[:40])
def test_metrics_of_the_same_kind_share_a_panel(title, names):
    """Whatever stands in front, behind or between."""
    (panel,) = choose(table(metric=[*names.values()], value=[1.0] * len(names))).panels
    assert {curve.role: curve.metric for curve in panel.curves} == names
    assert panel.title == title


def test_of_several_words_the_last_tells_the_role():
    """What stands before is a namespace."""
    assert [read_name(name).role for name in ("eval/test_acc", "train/val_loss")] == [
        "test",
        "validation",
    ]


@pytest.mark.parametrize(
    "first, second",
    [
        ("train:loss", "trainer:loss"),
        ("val_loss", "value_loss"),
        ("test_acc", "latest_acc"),
        ("learning_rate", "rate"),
        ("loss_std_dev", "loss_std"),
        ("train:loss", "train:loss:batch"),
        ("valid_0:l1", "valid_0:l2"),
    ],
)
def test_other_metrics_do_not(first, second):
    """A word is a whole word, and only words of roles are left out."""
    assert len(choose(table(metric=[first, second], value=[1.0, 2.0])).panels) == 2


def test_every_preset_pairs_training_and_validation():
    """Where a preset has `train:x` and `validation:x` (or its kin), they meet."""
    kinds = [("train:", "validation:"), ("train/", "val/"), ("train_", "val_"), ("train:", "test:")]
    kinds += [("training:", "valid_0:"), ("", "val_"), ("train_", "eval_"), ("", "validation:")]
    met = 0
    for preset in ("xgboost", "keras", "lightgbm", "huggingface", "linear-learner", "object2vec"):
        names = {one.name for one in ms.DefinitionSet.preset(preset)}
        for front, back in kinds:
            for name in names:
                partner = back + name.removeprefix(front)
                if name.startswith(front) and partner in names and partner != name:
                    assert read_name(name).stem == read_name(partner).stem
                    met += 1
    assert met > 100


@pytest.mark.parametrize(
    "names, better",
    [
        ("train:error validation:rmse loss eval_loss lm_loss val/perplexity ppl l1 test:L2", "min"),
        (
            "train-mlogloss merror cox-nloglik cross-entropy WER mean_absolute_error mse_score",
            "min",
        ),
        ("test:wQuantileLoss[0.9] total_cost best_constant's_loss binary_crossentropy", "min"),
        ("accuracy val_acc auc aucpr train:f1_macro binary_f r2_score ndcg@5 mAP50-95", "max"),
        ("validation:mIOU val/mIoU val/mAcc bbox_mAP_50 val/accuracy/top1 eval_bleu", "max"),
        ("eval_rougeL eval_exact_match episode_reward_mean train:mean_rho test:pwll", "max"),
        ("neg_mean_squared_error", "max"),
        ("negative_log_likelihood", "min"),
        ("learning_rate lr grad_norm epoch throughput loss_scale samples_per_second", None),
        ("train_runtime consumed_samples total_batches_seen entropy", None),
    ],
)
def test_what_is_better(names, better):
    """By name; unknown where no word tells."""
    assert {name: direction(name) for name in names.split()} == dict.fromkeys(names.split(), better)


def test_what_is_better_can_be_said():
    """For metrics and for panels; contradictions and unknown names are errors."""
    points = table(metric=["train:odd", "validation:odd"] * 2, value=[1.0, 4.0, 2.0, 3.0])
    assert choose(points).panels[0].best is None
    assert choose(points, maximize=["odd"]).panels[0].best.best == (1, 4.0)
    assert choose(points, minimize=["train:odd"]).panels[0].best.best == (2, 3.0)
    with pytest.raises(ValueError, match="both name odd"):
        choose(points, maximize=["odd"], minimize=["odd"])
    with pytest.raises(ValueError, match="did you mean 'train:odd'"):
        choose(points, maximize=["train:od"])
    with pytest.raises(TypeError, match="maximize must be a list"):
        choose(points, maximize="odd")


NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)
TIMES = [NOON, NOON + timedelta(seconds=90)]
AXES = [
    ({"epoch": [3, 4], "round": [1, 2]}, None, ("epoch", "number"), (3, 4)),
    ({"epoch": [None, None], "round": [1, 2]}, None, ("round", "number"), (1, 2)),
    ({"global_step": [10, 20], "iteration": [1, 2]}, None, ("global_step", "number"), (10, 20)),
    ({"step": ["a", "b"], "epoch": [0.5, 1.5]}, None, ("epoch", "number"), (0.5, 1.5)),
    ({"epoch": [3, 4], "round": [1, 2]}, "round", ("round", "number"), (1, 2)),
    ({"epoch": [3, 4]}, "point", ("point", "number"), (1, 2)),
    ({"timestamp": TIMES}, None, ("timestamp", "elapsed"), (0, 90)),
    ({"timestamp": TIMES, "epoch": [3, 4]}, None, ("epoch", "number"), (3, 4)),
    ({"timestamp": [NOON, None]}, None, ("point", "number"), (1, 2)),
    ({"timestamp": TIMES}, "timestamp", ("timestamp", "date"), (NOON.timestamp(),) * 2),
    ({}, None, ("point", "number"), (1, 2)),
]


@pytest.mark.parametrize("columns, step, axis, x", AXES)
def test_which_axis(columns, step, axis, x):
    """The first of the step columns with values, then the time, then the count."""
    (panel,) = choose(table(metric="loss", value=[1.0, 2.0], **columns), step=step).panels
    assert (panel.axis.column, panel.axis.kind) == axis
    if axis[1] == "date":
        x = (x[0], x[0] + 90)
    assert panel.curves[0].x == x


def test_the_axis_that_the_scan_names_comes_first():
    """Presets say which column is the step."""
    points = table(metric="loss", value=[1.0], step=[1], batch=[7])
    named = points.replace_schema_metadata({b"metricsieve.step": b"batch"})
    assert choose(named).panels[0].axis.column == "batch"


def test_an_axis_that_all_curves_of_a_panel_have_is_preferred():
    """Validation without a step would not be seen."""
    points = table(
        metric=["train_loss", "val_loss"], value=[1.0, 2.0], step=[5, None], epoch=[1, 1]
    )
    assert choose(points).panels[0].axis.column == "epoch"


@pytest.mark.parametrize("step", ["nothing", "metric"])
def test_an_axis_that_cannot_be_is_an_error(step):
    """The message names what can be one."""
    with pytest.raises(ValueError, match=step):
        choose(table(metric="loss", value=[1.0], epoch=[1]), step=step)


VALUES = st.one_of(
    st.sampled_from([math.nan, math.inf, -math.inf, None]), st.floats(-100, 100), st.just(1.0)
)
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["train_loss", "val_loss", "acc", "odd"]),
        VALUES,
        st.one_of(st.none(), st.integers(-3, 12)),
        st.sampled_from([None, "job-a", "job-b"]),
        st.sampled_from(["x.log", "y.log"]),
    ),
    max_size=60,
)
BETTER = {"train_loss": min, "val_loss": min, "acc": max, "odd": None}


@given(ROWS)
def test_curves_are_those_of_plain_python(rows):
    """Sorted by step, the last of each step, gaps for what is not finite, one curve a run."""
    expected: dict = {}
    for metric, value, step, job, source in rows:
        if value is not None and step is not None:
            run = expected.setdefault((metric, job or source), {})
            run[step] = value if math.isfinite(value) else math.nan
    expected = {
        key: sorted(run.items())
        for key, run in expected.items()
        if not all(map(math.isnan, run.values()))
    }
    columns = [*zip(*rows, strict=True)] or [()] * 5
    kinds = [pa.string(), pa.float64(), pa.int64(), pa.string(), pa.string()]
    names = ["metric", "value", "epoch", "job", "source"]
    arrays = [pa.array(cells, kind) for cells, kind in zip(columns, kinds, strict=True)]
    chart = choose(pa.table(arrays, names), step="epoch")
    curves = [curve for panel in chart.panels for curve in panel.curves]
    found = {(one.metric, one.run): [*zip(one.x, one.y, strict=True)] for one in curves}
    assert repr(found) == repr({key: expected.get(key) for key in found})
    assert found.keys() == expected.keys()
    for one in curves:
        pick = BETTER[one.metric]
        finite = [y for y in one.y if not math.isnan(y)]
        best = pick and next(
            pair for pair in zip(one.x, one.y, strict=True) if pair[1] == pick(finite)
        )
        assert one.best == best
    for panel in chart.panels:
        told = [curve for curve in panel.curves if curve.role in ("validation", "other")]
        of = [curve.best[1] for curve in told or panel.curves if curve.best]
        pick = BETTER[panel.curves[0].metric]
        assert (panel.best and panel.best.best[1]) == (pick(of) if pick and of else None)


def test_what_is_left_out_is_told():
    """Gaps, points without a step, repeated steps, rejects."""
    points = table(
        metric="loss", value=[1.0, math.nan, 3.0, 2.0, None], epoch=[1, 2, 3, 3, 4], job="a"
    )
    points = pa.concat_tables(
        [points, table(metric="loss", value=[9.0], epoch=[None], job="a")],
        promote_options="permissive",
    )
    chart = choose(points)
    assert chart.panels[0].curves[0].y[2] == 2.0
    assert chart.all_notes() == [
        "1 point without a value left out",
        "loss: 1 of 5 points have no epoch: left out",
        "loss: 1 of 5 points came before another at the same epoch: the last one counts",
        "loss: 1 of 5 points are NaN or infinite: gaps",
    ]


def test_hosts_and_ranks_are_curves_where_a_run_has_several():
    """One host is not worth a word; nor is a line that does not tell it."""
    several = table(
        metric="loss", value=[1.0, 2.0, 3.0, 4.0], job="j", host=["a", "b", "a", None], rank=[0] * 4
    )
    assert {one.run: one.y for one in choose(several).panels[0].curves} == {
        "j": (4.0,),
        "j · a": (1.0, 3.0),
        "j · b": (2.0,),
    }
    one = table(metric="loss", value=[1.0, 2.0], job="j", host=["a", None], rank=[3, 3])
    assert {curve.run for curve in choose(one).panels[0].curves} == {"j"}
    ranks = table(metric="loss", value=[1.0, 2.0], source="x.log", rank=[0, 1])
    assert [curve.run for curve in choose(ranks).panels[0].curves] == [
        "x.log · rank 0",
        "x.log · rank 1",
    ]


def test_too_many_runs_and_metrics_are_cut_with_a_note():
    """Eight colours, two dozen panels; a run keeps its colour across panels."""
    runs = table(metric="loss", value=[1.0] * 10, source=[f"logs/{n}.log" for n in range(10)])
    (panel,) = choose(runs).panels
    assert [curve.run for curve in panel.curves] == [f"{n}.log" for n in range(8)]
    assert panel.notes == ("2 more runs not shown: 8.log, 9.log",)
    metrics = choose(
        table(
            metric=[f"loss{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(30)],
            value=[1.0] * 30,
        )
    )
    assert len(metrics.panels) == 24
    assert metrics.notes == (
        "6 more metrics not shown: lossay, lossaz, lossba, lossbb, lossbc and 1 more",
    )
    two = choose(table(metric=["a", "a", "b"], value=[1.0] * 3, job=["x", "y", "y"]))
    colors = {(one.metric, one.run): one.color for panel in two.panels for one in panel.curves}
    assert colors == {("a", "x"): 0, ("a", "y"): 1, ("b", "y"): 1}


def test_metrics_are_chosen_by_name_and_bring_their_partners():
    """By the name of one, or of the panel."""
    points = table(metric=["train:error", "validation:error", "lr"], value=[1.0, 2.0, 3.0])
    for name in ("error", "train:error"):
        (panel,) = choose(points, metrics=[name]).panels
        assert panel.labels() == ["train:error", "validation:error"]
    with pytest.raises(ValueError, match="'errors'"):
        choose(points, metrics=["errors"])


@pytest.mark.parametrize(
    "values, given, log",
    [
        ([1.0, 1000.0], None, False),
        ([1.0, 1001.0], None, True),
        ([0.0, 1e6], None, False),
        ([-1.0, 1e6], None, False),
        ([math.nan, 1e-9, 1.0], None, True),
        ([1.0, 1e6], False, False),
        ([1.0, 2.0], True, True),
        ([0.0, 2.0], True, False),
    ],
)
def test_when_the_scale_is_logarithmic(values, given, log):
    """Positive, and wide; or as said, where that can be."""
    panel = choose(table(metric="loss", value=values), log=given).panels[0]
    assert panel.log is log
    assert any("no logarithmic" in note for note in panel.notes) is (given is True and not log)


NUMBERS = st.lists(st.one_of(st.floats(-1e9, 1e9), st.just(math.nan)), max_size=200)


@given(NUMBERS, st.integers(5, 60))
def test_thinning_keeps_the_picture(y, limit):
    """Ends, extremes and gaps stay; every point lies between kept ones that are near."""
    x = [float(n) for n in range(len(y))]
    kept_x, kept_y = thin(x, y, limit)
    places = [int(one) for one in kept_x]
    assert places == sorted(set(places))
    assert repr(kept_y) == repr(tuple(y[one] for one in places))
    assert len(places) <= max(limit, 0)
    if not y:
        return
    assert (places[0], places[-1]) == (0, len(y) - 1)
    assert any(map(math.isnan, kept_y)) == any(map(math.isnan, y))
    bucket = math.ceil(len(y) / (limit // 5))
    for place, value in enumerate(y):
        near = [y[one] for one in places if abs(one - place) <= bucket and not math.isnan(y[one])]
        assert math.isnan(value) or min(near) <= value <= max(near)


def test_long_curves_are_thinned_and_say_so():
    """Ten thousand points; the best one was found before."""
    y = [math.sin(n) + (5 if n == 7777 else 0) for n in range(10_000)]
    (panel,) = choose(table(metric="score", value=y, step=[*range(10_000)])).panels
    (curve,) = panel.curves
    assert len(curve.y) <= 4000
    assert curve.points == 10_000
    assert curve.best == (7777, y[7777])
    assert {max(y), min(y)} <= {*curve.y}
    assert panel.notes[0].startswith(f"{10_000 - len(curve.y):,} of 10,000 points are not drawn")


def points_of(x):
    """What is drawn of x, without the notes."""
    return [(one.metric, one.x, one.y) for panel in choose(x).panels for one in panel.curves]


def test_points_come_from_whatever_holds_arrow():
    """A scan, a table, a reader, other libraries' frames."""
    pl, pd = pytest.importorskip("polars"), pytest.importorskip("pandas")
    log = b"epoch 1 loss=2\nepoch 2 loss=1\n"
    definitions, context = {"loss": r"loss=(\S+)"}, {"epoch": r"epoch (\d+)"}

    def scan():
        return ms.scan(log, definitions, context=context)

    expected = [("loss", (1, 2), (2.0, 1.0))]
    frame = pl.DataFrame(scan())
    categories = frame.with_columns(pl.col("metric").cast(pl.String).cast(pl.Categorical))
    held = scan().read_all()
    for x in (scan(), held, held.to_reader(), held.to_batches()[0], frame, categories):
        assert points_of(x) == expected
    assert points_of(pd.DataFrame(frame.select("metric", "value", "epoch").to_dicts())) == expected
    with pytest.raises(TypeError, match="not from list"):
        choose([1.0])
    with pytest.raises(ValueError, match="no column 'metric'"):
        choose(pa.table({"value": [1.0]}))


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".feather", ".csv", ".jsonl", ".ndjson"])
def test_files_of_points_are_read_as_they_were_written(tmp_path, suffix):
    """By every sink; NaN, infinities, nulls and times included."""
    log = b"2025-01-01T12:00:00Z epoch 1 loss=nan\nepoch 2 loss=-inf\nepoch 3 loss=?\nloss=1e-300\n"

    def scan():
        return ms.scan(
            log, {"loss": r"loss=(\S+)"}, context={"epoch": r"epoch (\d+)"}, on_reject="null"
        )

    path = tmp_path / f"points{suffix}"
    scan().write(path)
    assert is_result(path)
    expected, found = scan().read_all(), read_result(path).read_all()
    for name in ("metric", "value", "epoch", "line", "timestamp"):
        assert repr(found[name].to_pylist()) == repr(expected[name].to_pylist())
    assert repr(points_of(path)) == repr(points_of(expected))


def test_a_directory_of_parts_is_a_result(tmp_path):
    """In the order of the names; hidden files and directories are none of it."""
    for part, value in (("b", 2.0), ("a", 1.0), (".c", 3.0)):
        pq.write_table(table(metric="loss", value=[value]), tmp_path / f"{part}.parquet")
    assert read_result(tmp_path).read_all()["value"].to_pylist() == [1.0, 2.0]
    (tmp_path / "logs").mkdir()
    assert not is_result(tmp_path / "logs")


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "a.jsonl"])
def test_damaged_files_of_points_are_source_errors(tmp_path, name):
    """With the file's name."""
    path = tmp_path / name
    path.write_bytes(b"PAR1 nonsense")
    with pytest.raises(ms.SourceError, match=name):
        choose(path)
    with pytest.raises(FileNotFoundError):
        choose(tmp_path / "missing.parquet")


def test_nothing_to_draw_is_an_empty_chart():
    """No row, or no finite value, which is told."""
    assert choose(pa.table({"metric": pa.array([], pa.string()), "value": []})).panels == ()
    chart = choose(table(metric="loss", value=[math.nan]))
    assert (chart.panels, chart.notes) == ((), ("loss: 1 of 1 points are NaN or infinite: gaps",))


def test_units_are_those_of_the_definitions():
    """They travel in the schema."""
    definition = {"Name": "cpu", "Regex": r"cpu=(\S+)", "Unit": "Percent"}
    assert choose(ms.scan(b"cpu=3\n", [definition])).panels[0].unit == "Percent"
