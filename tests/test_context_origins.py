"""Context columns where several hosts or ranks write to one log: none takes another's epoch."""

import random
import re

import metricsieve as ms
import pytest
import wrapping
from test_envelopes import START, TELLS
from wrapping import Event

LOSS = {"loss": r"loss=(\S+)"}
# One pattern has a literal and one has none; alone, and together.
COLUMNS = {"epoch": r"Epoch (\w+)", "step": r"\b(\d+)\W9\b"}
CHOICES = [["epoch"], ["step"], ["epoch", "step"]]


def interleaved(count, seed):
    """What three hosts say: epochs, steps and losses, texts that are no number among them."""
    draw = random.Random(seed)
    events = []
    for number in range(count):
        parts = ["2023 is no step", f"{number}/9", f"{number}/9 loss={number}", f"loss={number}"]
        parts += [f"Epoch {number}", f"Epoch {number} loss={number}", "Epoch x", "Epoch y loss=0"]
        # Each host is silent for a while now and then.
        host = f"algo-{1 + (number // 40 + draw.randrange(3)) % 3}"
        message = "\n".join(draw.choices(parts, k=draw.choice([1, 1, 2, 4])))
        events.append(Event(START + number, host, message))
    return events


def expected(events, names, key):
    """Each loss with the columns' values, as Python's `re` reads them; texts that do not fit."""
    rows, unfit = [], dict.fromkeys(names, 0)
    memories = {}
    for event in events:
        memory = memories.setdefault(key(event), {name: [None, 0] for name in names})
        for record in event.message.split("\n"):
            values = {}
            for name in names:
                found = re.search(COLUMNS[name], record)
                if found and found[1].isdigit():
                    memory[name] = [int(found[1]), 0]
                elif found:
                    memory[name][1] += 1
                values[name] = memory[name][0] if not found or found[1].isdigit() else None
            if found := re.search(LOSS["loss"], record):
                rows.append({"value": float(found[1]), **values})
                for name in names:
                    unfit[name] += memory[name][1]
                    memory[name][1] = 0
    return rows, unfit


def found(source, names, **options):
    """The same of a scan."""
    context = {name: COLUMNS[name] for name in names}
    scan = ms.scan(source, LOSS, context=context, columns=["value", *names], **options)
    rows = scan.read_all().to_pylist()
    return rows, {told.name: told.rejects["count"] for told in scan.report.context}


@pytest.mark.parametrize("names", CHOICES, ids="-".join)
@pytest.mark.parametrize("shape", TELLS)
def test_values_are_carried_among_records_of_one_host(shape, names):
    """Where the wrapping tells hosts; else all records are of one."""
    envelope, tells = TELLS[shape]
    for seed in range(5):
        events = interleaved(400, seed)
        text = getattr(wrapping, shape)(events).encode()
        told = expected(events, names, lambda event: event.host if "host" in tells else None)
        assert found(text, names, envelope=envelope) == told
        assert found(iter([text[:5_000], text[5_000:]]), names, envelope=envelope) == told


@pytest.mark.parametrize("names", CHOICES, ids="-".join)
@pytest.mark.parametrize("shape", ["mpirun", "compose_v1", "tail_plain", "operator", "export"])
def test_on_threads_each_host_waits_for_its_own_value(tmp_path, shape, names):
    """Splits of a file begin where values of some hosts are not known and of others are."""
    events = interleaved(300, 1)
    quiet = [Event(START, f"algo-{1 + number % 2}", "noise " * 20) for number in range(90_000)]
    quiet[::3_000] = [Event(START, "algo-3", "loss=3") for _ in quiet[::3_000]]
    quiet[1::2_500] = [Event(START, "algo-2", "loss=2") for _ in quiet[1::2_500]]
    events = events + quiet + interleaved(300, 2) + quiet
    path = tmp_path / "large.log"
    path.write_text(getattr(wrapping, shape)(events))
    assert path.stat().st_size > 24 << 20
    envelope, tells = TELLS[shape]
    told = expected(events, names, lambda event: event.host if "host" in tells else None)
    for threads in (1, 2, 4):
        assert found(path, names, envelope=envelope, threads=threads) == told


def test_ranks_of_one_host_are_told_apart_and_what_names_no_rank_is_for_itself():
    """A launcher's own lines neither give to ranks nor take from them."""
    text = (
        "Epoch 1\nloss=1\n[1,0]<stdout>:Epoch 2\n[1,1]<stderr>:Epoch 3\nloss=4\n"
        "[1,0]<stderr>:loss=5\n[1,1]<stdout>:loss=6\n[1,2]<stdout>:loss=7\n"
    )
    table = ms.scan(text.encode(), LOSS, context={"epoch": COLUMNS["epoch"]}).read_all()
    assert table["epoch"].to_pylist() == [1, 1, 2, 3, None]
    assert table["rank"].to_pylist() == [None, None, 0, 1, 2]


def test_the_outputs_of_one_container_share_their_values():
    """`stdout` and `stderr` are of one process."""
    stamp = "2019-04-30T02:12:41Z"
    cri = f"{stamp} stdout F Epoch 3\n{stamp} stderr F loss=1\n"
    docker = "".join(
        f'{{"log":"{text}\\n","stream":"{stream}","time":"{stamp}"}}\n'
        for text, stream in (("Epoch 3", "stdout"), ("loss=1", "stderr"))
    )
    for text, envelope in ((cri, "cri"), (docker, "docker-json")):
        scan = ms.scan(text.encode(), LOSS, context={"epoch": COLUMNS["epoch"]}, envelope=envelope)
        table = scan.read_all()
        assert table["epoch"].to_pylist() == [3]
        assert table["stream"].to_pylist() == ["stderr"]
