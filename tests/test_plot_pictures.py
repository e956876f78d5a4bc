"""Pictures and terminal curves, looked at: SVG as XML, PNG as pixels, braille as dots."""

import io
import itertools
import math
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import metricsieve as ms
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metricsieve.exceptions import SinkWarning
from metricsieve.plotting import Axis, Chart, Curve, Panel, choose
from metricsieve.plotting.draw import draw, figure
from metricsieve.plotting.terminal import render
from rich.cells import cell_len

LOGS = Path(__file__).parents[1] / "examples" / "logs"
SVG = "{http://www.w3.org/2000/svg}"


def points(**columns):
    """Points; a text is the same for all."""
    rows = len(columns["value"])
    return pa.table(
        {name: [one] * rows if isinstance(one, str) else one for name, one in columns.items()}
    )


def pair(**columns):
    """Training that falls, validation that turns, over three rounds."""
    return points(
        metric=["train:error"] * 3 + ["validation:error"] * 3,
        value=[4.0, 2.0, 1.0, 5.0, 3.0, 6.0],
        round=[0, 1, 3] * 2,
        **columns,
    )


def svg_of(chart, tmp_path):
    """The parsed picture."""
    draw(chart, tmp_path / "a.svg")
    return ET.parse(tmp_path / "a.svg").getroot()


def part(root, name):
    """The group of a name."""
    return next(one for one in root.iter(f"{SVG}g") if one.get("id") == name)


def vertices(group):
    """The corners of its path, in the picture's units, y upwards."""
    numbers = [word for word in group.find(f"{SVG}path").get("d").split() if word not in "ML"]
    return [(float(x), -float(y)) for x, y in zip(numbers[::2], numbers[1::2], strict=True)]


def texts(root):
    """Every text of the picture."""
    return ["".join(one.itertext()).strip() for one in root.iter(f"{SVG}text")]


def test_an_svg_has_the_curves_where_the_values_are(tmp_path):
    """Corners are the values but for scale and place, the same for both curves."""
    root = svg_of(choose(pair()), tmp_path)
    curves = [vertices(part(root, f"panel-0-curve-{n}")) for n in (0, 1)]
    (left, top), (right, low) = curves[0][0], curves[0][2]
    across, up = (right - left) / 3, (top - low) / 3
    for drawn, values in zip(curves, ([4, 2, 1], [5, 3, 6]), strict=True):
        wanted = [
            (left + x * across, top + (y - 4) * up) for x, y in zip((0, 1, 3), values, strict=True)
        ]
        assert [one for pair in drawn for one in pair] == pytest.approx(
            [one for pair in wanted for one in pair], abs=0.01
        )
    star = part(root, "panel-0-best").find(f".//{SVG}use")
    assert (float(star.get("x")), -float(star.get("y"))) == pytest.approx(curves[1][1], abs=0.01)


def test_an_svg_has_its_labels_as_text(tmp_path):
    """Title, axis, legend, unit, the best value, and what is left out."""
    chart = choose(pair(source="train.log"))
    found = texts(svg_of(chart, tmp_path))
    for text in ("error", "round", "train:error", "validation:error", "train.log"):
        assert text in found
    assert "best 3 at round 1" in found
    gap = choose(points(metric="loss", value=[1.0, math.nan]))
    assert any("1 of 2 points are NaN" in text for text in texts(svg_of(gap, tmp_path)))


def test_a_pair_has_one_colour_and_two_kinds_of_line(tmp_path):
    """And another run another colour, with the same lines."""
    both = pa.concat_tables([pair(job="a"), pair(job="b")])
    root = svg_of(choose(both), tmp_path)
    styles = {}
    for number in range(4):
        style = part(root, f"panel-0-curve-{number}").find(f"{SVG}path").get("style")
        told = dict(one.strip().split(": ") for one in style.split(";"))
        styles[number] = (told["stroke"], "stroke-dasharray" in told)
    train_a, train_b, valid_a, valid_b = (styles[number] for number in range(4))
    assert train_a[0] == valid_a[0] != train_b[0] == valid_b[0]
    assert [one[1] for one in (train_a, train_b, valid_a, valid_b)] == [True, True, False, False]


def test_gaps_are_not_drawn_over(tmp_path):
    """A path that is lifted; a lonely point is a mark."""
    chart = choose(points(metric="loss", value=[1.0, 2.0, math.nan, 3.0, 4.0], epoch=[*range(5)]))
    path = part(svg_of(chart, tmp_path), "panel-0-curve-0").find(f"{SVG}path").get("d")
    assert [word for word in path.split() if word in "ML"] == ["M", "L", "M", "L"]
    lonely = choose(points(metric="loss", value=[1.0, math.nan] * 40))
    group = part(svg_of(lonely, tmp_path), "panel-0-curve-0")
    assert len(list(group.iter(f"{SVG}use"))) == 40


def test_a_png_has_the_colours_of_the_runs(tmp_path):
    """Pixels, not only a file of the right kind."""
    from matplotlib.image import imread

    draw(choose(pa.concat_tables([pair(job="a"), pair(job="b")])), tmp_path / "a.png")
    pixels = (imread(io.BytesIO((tmp_path / "a.png").read_bytes()))[:, :, :3] * 255).round()
    for color in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)):
        assert (abs(pixels - color).max(axis=2) < 3).sum() > 300
    assert (pixels == 255).all(axis=2).mean() > 0.8


def test_the_same_chart_gives_the_same_bytes(tmp_path):
    """So that pictures can be kept under version control."""
    for suffix in ("svg", "png", "pdf"):
        for name in "ab":
            draw(choose(pair()), tmp_path / f"{name}.{suffix}")
        one, other = ((tmp_path / f"{name}.{suffix}").read_bytes() for name in "ab")
        assert one == other
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF-")


def test_drawing_leaves_no_state_and_needs_no_window(tmp_path):
    """Neither pyplot nor a backend is touched; choosing does not even import matplotlib."""
    program = """
import sys
import pyarrow as pa, metricsieve as ms
points = pa.table({"metric": ["loss"] * 2, "value": [2.0, 1.0]})
ms.plot(points)
assert "matplotlib" not in sys.modules
import matplotlib
before = matplotlib.rcParams.copy()  # dict() would ask for the backend, which imports pyplot
for suffix in ("png", "svg"):
    ms.plot(points, f"{sys.argv[1]}/a.{suffix}")
assert "matplotlib.pyplot" not in sys.modules
assert matplotlib.rcParams.copy() == before
"""
    subprocess.run([sys.executable, "-c", program, tmp_path], check=True, timeout=60)


@pytest.mark.parametrize(
    "values",
    [[1e308, -1e308, 1.0], [5e-324, 1e308, 1.0], [0.0, 0.0], [1e300, 1e300], [3.0], [5e-324, 0.0]],
    ids=str,
)
def test_numbers_at_the_ends_of_the_range_are_drawn(tmp_path, values):
    """Diverged trainings have them."""
    chart = choose(points(metric="loss", value=values))
    draw(chart, tmp_path / "a.png")
    assert render(chart.panels[0]).plain


def test_odd_names_are_only_text(tmp_path):
    """No formula, no control character, no entry that a legend leaves out."""
    names = ["_hidden", "cost$x^$", "a<b>&\x1b[31m"]
    chart = choose(points(metric=names, value=[1.0] * 3, epoch=[1] * 3))
    found = texts(svg_of(chart, tmp_path))
    for name in ("_hidden", "cost$x^$", "a<b>&\\x1b[31m"):
        assert found.count(name) == 2  # the title and the legend


@pytest.mark.filterwarnings("error")
def test_names_that_pictures_cannot_have(tmp_path):
    """What XML forbids is visible text; a name of any length leaves room for the curve."""
    runs = ["x" * 150 + "a", "y" * 150]
    chart = choose(points(metric=["\ufffe\uffff"] * 2, value=[1.0, 2.0], epoch=[1, 2], source=runs))
    assert "\\ufffe\\uffff" in texts(svg_of(chart, tmp_path))
    draw(chart, tmp_path / "a.png")
    name = choose(points(metric=["損失"] * 2, value=[1.0, 2.0], epoch=[1, 2]))
    assert "損失" in texts(svg_of(name, tmp_path))
    with pytest.warns(SinkWarning, match=r"a\.png: some characters are not in the font"):
        draw(name, tmp_path / "a.png")


def test_steps_beyond_what_a_float_holds_stay_apart():
    """In words, too."""
    steps = [2**53, 2**53 + 1, 2**53 + 2]
    chart = choose(points(metric=["loss"] * 3, value=[3.0, 1.0, 2.0], step=steps))
    ((curve,),) = (panel.curves for panel in chart.panels)
    assert list(curve.x) == steps
    assert chart.panels[0].best_text() == "best 1 at step 9007199254740993"
    assert not list(chart.all_notes())


def test_dates_and_logarithms_are_axes(tmp_path):
    """Ticks say so."""
    from datetime import UTC, datetime, timedelta

    times = [datetime(2025, 3, 1, tzinfo=UTC) + timedelta(days=n) for n in range(4)]
    table = points(metric="lr", value=[1e-6, 1e-4, 1e-3, 1e-2], timestamp=times)
    found = texts(svg_of(choose(table, step="timestamp"), tmp_path))
    assert "timestamp (UTC)" in found
    assert any("Mar" in text for text in found)
    assert figure(choose(table)).axes[0].get_yscale() == "log"


def test_a_failed_picture_leaves_nothing(tmp_path):
    """An old one stays as it was."""
    with pytest.raises(ValueError, match="no point to draw"):
        ms.plot(points(metric="loss", value=[math.nan]), tmp_path / "a.svg")
    with pytest.raises(ms.SinkError, match="create the directory"):
        ms.plot(pair(), tmp_path / "missing" / "a.svg")
    with pytest.raises(ValueError, match=r"\.png, \.svg, \.pdf"):
        ms.plot(pair(), tmp_path / "a.jpeg")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("preset, log", [("xgboost", "xgboost"), ("keras", "keras")])
def test_real_logs_are_drawn(tmp_path, preset, log):
    """A panel for each metric, the best of validation found by looking at all its values."""
    held = ms.scan(LOGS / f"{log}.log", ms.DefinitionSet.preset(preset)).read_all()
    chart = ms.plot(held, tmp_path / "a.svg")
    rows = held.to_pylist()
    for panel in chart.panels:
        if panel.best is not None:
            values = [row["value"] for row in rows if row["metric"] == panel.best.metric]
            assert panel.best.role == "validation"
            assert panel.best.best[1] == (min if panel.direction == "min" else max)(values)
    root = ET.parse(tmp_path / "a.svg").getroot()
    names = {one.get("id") for one in root.iter(f"{SVG}g")}
    assert {f"panel-{n}-curve-0" for n in range(len(chart.panels))} <= names


def panel_of(y, x=None, role="validation", *, log=False, best=False):
    """A panel with one curve."""
    x = x or range(len(y))
    finite = [pair for pair in zip(x, y, strict=True) if not math.isnan(pair[1])]
    top = max(finite, key=lambda pair: pair[1]) if best else None
    curve = Curve("score", role, "", 0, tuple(x), tuple(y), top, len(y))
    return Panel("score", Axis("epoch"), (curve,), "max", log, None, curve if best else None)


def body(panel, width, height, *, ascii=False):
    """The lines of the drawing, without what stands before the edge."""
    lines = render(panel, width, height, ascii=ascii).plain.split("\n")[1 : height + 1]
    edge = max(line.find(one) for one in "|│┤" for line in lines)
    return [line[edge + 1 :] for line in lines], width - edge - 1


Y = st.lists(st.one_of(st.floats(-1e3, 1e3), st.just(math.nan)), min_size=1, max_size=40).filter(
    lambda y: not all(map(math.isnan, y))
)


@given(Y, st.integers(30, 120), st.integers(3, 20), st.booleans())
def test_every_point_is_a_dot_at_its_place(y, width, height, ascii):
    """Worked out from the definition of braille: two dots across, four down."""
    rows, columns = body(panel_of(y), width, height, ascii=ascii)
    wide, high = (1, 1) if ascii else (2, 4)
    finite = [value for value in y if not math.isnan(value)]
    bits = {(0, 0): 0, (1, 0): 1, (2, 0): 2, (0, 1): 3, (1, 1): 4, (2, 1): 5, (3, 0): 6, (3, 1): 7}
    for place, value in enumerate(y):
        if math.isnan(value):
            continue
        across = place / (len(y) - 1) if len(y) > 1 else 0.5
        span = max(finite) / 2 - min(finite) / 2
        up = (value / 2 - min(finite) / 2) / span if span > 0 else 0.5
        x = round(across * (columns * wide - 1))
        down = height * high - 1 - round(up * (height * high - 1))
        line = rows[down // high].ljust(columns)
        if ascii:
            assert line[x] == "o"
        else:
            assert ord(line[x // 2]) - 0x2800 >> bits[down % 4, x % 2] & 1


@given(Y, st.integers(30, 120), st.integers(3, 20), st.booleans())
def test_the_drawing_keeps_to_its_size(y, width, height, ascii):
    """No line is longer; the best value is marked once."""
    panel = panel_of(y, best=True)
    text = render(panel, width, height, ascii=ascii).plain
    lines = text.split("\n")
    assert len(lines) == height + 5  # title, axis, its ends, its name, legend
    assert max(map(len, lines)) <= width
    drawn = "".join(body(panel, width, height, ascii=ascii)[0])
    assert drawn.count("@" if ascii else "★") == 1
    assert not ascii or text.isascii()


@pytest.mark.parametrize("width", [30, 80])
def test_wide_characters_keep_to_the_size_of_the_terminal(width):
    """They take two cells."""
    runs = ["日本" * 30 + "a", "日本" * 30 + "b"]
    chart = choose(points(metric=["損失" * 30] * 2, value=[1.0, 2.0], epoch=[1, 2], source=runs))
    text = render(chart.panels[0], width, 12).plain
    assert max(map(cell_len, text.split("\n"))) <= width


@settings(max_examples=50)
@given(st.integers(2, 30), st.integers(2, 30))
def test_gaps_of_a_terminal_curve_are_empty(before, after):
    """Nothing is drawn between two stretches."""
    y = [1.0] * before + [math.nan] * 30 + [1.0] * after
    rows, columns = body(panel_of(y), 80, 5)
    drawn = rows[2].ljust(columns)
    last = (len(y) - 1) / (2 * columns - 1)
    for column in range(columns):
        place = 2 * column * last  # of the cell's left dot
        if before - 1 + last < place < before + 30 - 2 * last:
            assert drawn[column] == " "
    assert drawn.strip().count(" ") > 5


def test_names_beyond_ascii_do_not_break_plain_output():
    """Joined, shortened or foreign ones."""
    names = [f"train:ошибка{'x' * 50}", f"validation:ошибка{'x' * 50}"]
    both = points(metric=names * 2, value=[1.0] * 4, job=["a", "a", "b", "b"])
    (panel,) = choose(both).panels
    assert render(panel, ascii=True).plain.isascii()
    assert "ошибка" in render(panel).plain


def test_roles_differ_without_colours():
    """Training is dashed: fewer dots on the same way."""

    def dots(role):
        rows, _ = body(panel_of([float(n) for n in range(9)], role=role), 80, 12)
        return sum((ord(one) - 0x2800).bit_count() for row in rows for one in row if one != " ")

    assert 0.4 < dots("train") / dots("validation") < 0.6


def test_a_logarithmic_curve_is_straight_where_decades_are():
    """1, 10, 100 on one line, with the middle one as the middle tick."""
    panel = panel_of([1.0, 10.0, 100.0, 1000.0, 10000.0], log=True)
    rows, columns = body(panel, 40, 5, ascii=True)
    starts = [row.index("o") for row in rows[:-1]]  # the last row is half as long
    steps = {first - second for first, second in itertools.pairwise(starts)}
    assert max(steps) - min(steps) <= 2
    assert len(rows[0]) == columns
    assert " 100 |" in render(panel, 40, 5, ascii=True).plain


def test_the_chart_is_data():
    """What a page would be made of: notes carry the panel's title, labels what differs."""
    chart = Chart("x", (panel_of([1.0]),), ("a",))
    assert chart.all_notes() == ["a"]
    both = choose(pa.concat_tables([pair(job="a"), pair(job="b")])).panels[0]
    assert both.labels()[0] == "train:error · a"
    assert both.best_text() == "best 3 at round 1 (a)"
