"""Why definitions match nothing: a table of near misses, each with its cause and its number."""

import re

import metricsieve as ms
import pytest

# A pattern, the line it was meant for, the cause, and the text that should have been captured.
NEAR_MISSES = [
    (
        r"'loss': ([0-9.]+)",
        "{'loss': '0.5123', 'learning_rate': '2e-05', 'epoch': '1'}",
        "quotes",
        "0.5123",
    ),
    (
        r".*\[[0-9]+\]#011validation-error:(\S+).*",
        "[0]#011train-error:0.077154#011validation-error:0.099099",
        "beginning",
        "0.099099",
    ),
    (r"loss: ([0-9.]+)", "Epoch 3: Loss: 0.53", "letter-case", "0.53"),
    (r"Test Loss: ([0-9.]+)", "test loss: 0.31", "letter-case", "0.31"),
    (r"loss=([0-9.]+)", "step 10 loss: 0.53", "separator", "0.53"),
    (r"accuracy : ([0-9.]+)", "accuracy = 0.91", "separator", "0.91"),
    (r"train-error:([0-9.]+) ", "[1]\ttrain-error:0.25\tval-error:0.3", "white-space", "0.25"),
    (r"epoch 1 loss ([0-9.]+)", "epoch\t1\tloss\t0.5", "white-space", "0.5"),
    (r"iter  loss: ([0-9.]+)", "iter loss: 0.5", "white-space", "0.5"),
    (r"loss:([0-9.]+)", "loss: 0.25 acc: 0.5", "optional-space", "0.25"),
    (r"avg_loss: ([0-9.]+)", "avg_loss:0.25", "optional-space", "0.25"),
    (r"val_acc: ([0-9.]+)", "- loss: 0.2 - val_accuracy: 0.9712", "names", "0.9712"),
    (r"- acc: ([0-9.]+)", "- loss: 0.2 - accuracy: 0.89", "names", "0.89"),
    (r"learning_rate: ([0-9.]+)", "epoch: 2 lr: 0.001", "names", "0.001"),
    (r"'eval_loss': (\d\.\d+),", "{'eval_loss': 12.53, 'epoch': 1.0}", "number", "12.53"),
    (r"reward=([0-9.]+)", "episode 7 reward=-12.3", "number", "-12.3"),
    (r"lr=([0-9.]+);", "lr=1e-05; loss=0.5;", "number", "1e-05"),
    (r"Loss = (.*?);", "Loss = 0.5", "end", "0.5"),
    (r"mAP: ([0-9.]+) \(best\)", "mAP: 0.413", "end", "0.413"),
    (r"^Training>.*loss=(\S+)", "[1,0]<stdout>:Training> loss=1.5", "anchors", "1.5"),
    (r"Accuracy=([0-9.]+)$", "Accuracy=0.5 (best so far)", "anchors", "0.5"),
    (r"\x1b\[32mloss=(\S+)", "\x1b[32mloss=0.5\x1b[0m", "escape-sequence", "0.5"),
    (r"#015loss=([0-9.]+)", "10%#015loss=0.5#015", "escape-sequence", "0.5"),
    (r"loss: (\\d+\\.\\d+)", "loss: 0.25", "doubled-backslash", "0.25"),
    (
        r"Root Relative Squared Error (RRSE): ([0-9.]+)",
        "Root Relative Squared Error (RRSE): 0.42",
        "other-group",
        "0.42",
    ),
    (r"metrics['f1'] = ([0-9.]+)", "metrics['f1'] = 0.91", "literally", "0.91"),
    (r"mAP@[0.5:0.95]: ([0-9.]+)", "mAP@[0.5:0.95]: 0.37", "literally", "0.37"),
    (r"top+1 accuracy: ([0-9.]+)", "top+1 accuracy: 0.37", "literally", "0.37"),
    (r"train_loss: ([0-9.]+)", "train-loss: 0.5", "joiners", "0.5"),
    (r"global step ([0-9]+)", "global_step 120", "joiners", "120"),
    (r"\"loss\": ([0-9.]+)", "{'loss': 0.5}", "quotes", "0.5"),
    (r"loss: ([0-9.]+)", "{'loss': 0.5, 'acc': 0.1}", "quotes", "0.5"),
]


def as_text(line):
    """What the line is once the escapes of log shippers are undone."""
    return re.sub(r"\x1b\[[0-9;]*m", "", line.replace("#011", "\t").replace("#015", "\r"))


@pytest.mark.parametrize("regex, line, cause, captured", NEAR_MISSES)
def test_the_cause_is_told_and_its_remedy_matches(regex, line, cause, captured):
    """The pattern misses by Python's `re`, the remedy finds the number by it."""
    pattern = re.sub(r"\\?#011", r"\\t", regex)
    found = re.search(pattern, as_text(line))
    assert not (found and found.group(1) and re.fullmatch(r"[-+0-9.e]+", found.group(1)))
    log = f"starting\n{line}\nnoise without a number\n".encode()
    told = ms.explain({"Name": "metric", "Regex": regex}, log)
    assert told.points == 0
    first = told.remedies[0]
    assert first.causes == (cause,), [one.causes for one in told.remedies]
    compiled = re.compile(re.sub(r"\\?#011", r"\\t", first.pattern))
    records = as_text(line).split("\r")
    matched = [one for one in map(compiled.search, records) if one]
    assert captured in [group for one in matched for group in one.groups()]


def test_two_causes_at_once():
    """Where one is not enough."""
    told = ms.explain(r"validation loss=([0-9.]+)", b"Validation loss: 0.5\n")
    assert told.remedies[0].causes == ("letter-case", "separator")


def test_the_nearest_record_and_where_it_stops():
    """The longest beginning of the pattern that stands in a record."""
    log = b"epoch 1\nepoch 2 train_acc=0.5\nepoch 3 train_err=0.5\n"
    told = ms.explain(r"epoch \d+ train_loss=([0-9.]+)", log)
    (first, *_) = told.nearest
    assert (first.source, first.line) == ("<bytes:0>", 2)
    assert told.definition.regex[: first.stopped] == r"epoch \d+ train_"
    assert first.text[slice(*first.matched)] == "epoch 2 train_"
    assert len(told.nearest) == 2


def test_literals_are_counted():
    """A text that never occurs says it all."""
    told = ms.explain(r"val_loss: ([0-9.]+)", b"loss: 1\nloss: 2\n")
    assert told.literals == [("val_loss: ", 0)]
    assert told.records == 2


def test_a_definition_that_matches_is_not_explained():
    """Points, and nothing else."""
    told = ms.explain(r"loss: ([0-9.]+)", b"loss: 1\n")
    assert (told.points, told.nearest, told.remedies) == (1, [], [])


def test_rejects_are_told():
    """It matched, and what it took is no number."""
    told = ms.explain(r"loss: (\S+)", b"loss: high\n")
    assert (told.points, told.rejects["not_a_number"]) == (0, 1)
    assert told.reject_examples == ["high"]


def test_streams_are_refused():
    """They cannot be read again."""
    with pytest.raises(TypeError, match="stream"):
        ms.explain(r"loss: (\S+)", iter([b"loss: 1\n"]))


def test_preview_tells_of_each_line():
    """Points, rejects, and lines without a match."""
    definitions = {"loss": r"loss=(\S+)", "acc": r"acc=(\S+)"}
    lines = ms.preview(definitions, ["loss=0.5 acc=high", "nothing", "a#015loss=1%"])
    told = [[(m.name, m.text, m.value, m.reason) for m in line.matches] for line in lines]
    assert told == [
        [("loss", "0.5", 0.5, None), ("acc", "high", None, "not_a_number")],
        [],
        [("loss", "1%", 1.0, None)],
    ]
