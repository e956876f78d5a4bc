"""The commands `explain` and `preview`."""

import pytest
from program import run


@pytest.fixture
def log(tmp_path):
    """Losses in upper case."""
    path = tmp_path / "train.log"
    path.write_text("start\nLoss: 0.5\nacc=1\n")
    return path


def test_explain_shows_the_record_and_a_pattern(log):
    """For people: where it stopped, and what would match; exit 1 while something is silent."""
    done = run("explain", log, "-m", "loss=loss: ([0-9.]+)", "-m", r"acc=acc=(\d)")
    assert (done.returncode, done.stderr) == (1, "")
    silent, matching = done.stdout.split("'acc'")
    assert "'loss: '" in silent
    assert "in 0 records" in silent
    assert "try: (?i)loss: ([0-9.]+)" in silent
    assert "1 point, such as 0.5" in silent
    assert "nothing to explain" in matching


def test_explain_can_look_at_one_definition(log):
    """`--only` chooses by name; a name that is not there is an error."""
    definitions = ["-m", "loss=loss: ([0-9.]+)", "-m", r"acc=acc=(\d)"]
    done = run("explain", log, *definitions, "--only", "acc")
    assert done.returncode == 0
    assert "loss" not in done.stdout
    assert "no definition is called lr" in run("explain", log, *definitions, "--only", "lr").stderr


def test_explain_refuses_what_can_be_read_once(log):
    """Standard input cannot be read again."""
    done = run("explain", "-", "-m", "loss=loss: (.*)")
    assert done.returncode == 2
    assert "name files" in done.stderr


def test_preview_of_arguments_and_of_stdin():
    """Carets under what is captured, and the value."""
    expected = "loss=4e-05\n     ^^^^^\n    loss = 4e-05\nnothing\n    no match\n"
    given = ["preview", "-m", r"loss=loss=(\S+)"]
    assert run(*given, "loss=4e-05", "nothing").stdout == expected
    assert run(*given, input="loss=4e-05\nnothing\n").stdout == expected
