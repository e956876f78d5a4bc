"""The command `presets`, and presets where definitions are wanted."""

import json

import metricsieve as ms
from metricsieve import presets
from program import run
from test_cli import on_terminal


def test_the_list_names_all():
    """One line each."""
    done = run("presets")
    assert [line.split()[0] for line in done.stdout.splitlines()] == presets.names()


def test_one_is_written_as_a_definitions_file(tmp_path):
    """What is printed can be loaded."""
    path = tmp_path / "definitions.json"
    path.write_text(run("presets", "kmeans").stdout)
    assert ms.DefinitionSet.load(path) == ms.DefinitionSet.preset("kmeans")
    assert "did you mean 'kmeans'" in run("presets", "k-means").stderr


def test_scan_takes_presets_and_finds_out_by_itself(tmp_path):
    """`-p NAME`, several, and `-p auto`, which says what it picked."""
    log = tmp_path / "train.log"
    log.write_text("noise\n" * 1000 + "[0]\ttrain-rmse:8.25\tvalidation-rmse:8.5\n")
    names = {"train:rmse", "validation:rmse"}
    for chosen in (["-p", "xgboost"], ["-p", "kmeans", "-p", "xgboost"], ["-p", "auto"]):
        done = run("scan", log, *chosen)
        assert {json.loads(line)["metric"] for line in done.stdout.splitlines()} == names
    assert "preset xgboost" in done.stderr
    log.write_text("nothing to see\n")
    done = run("scan", log, "-p", "auto")
    assert done.returncode == 2
    assert "no preset" in done.stderr


def test_a_terminal_shows_the_definitions_that_fired(tmp_path):
    """Of a preset's many the silent ones are one line."""
    log = tmp_path / "train.log"
    log.write_text("[0]\ttrain-rmse:8.25\n[1]\ttrain-rmse:7.5\n")
    seen = on_terminal("scan", log, "-p", "xgboost", "--quiet")
    count = len(ms.DefinitionSet.preset("xgboost"))
    assert "train:rmse" in seen
    assert "train:auc" not in seen
    assert f"{count - 1} of {count} definitions found nothing" in seen
