"""From what a user names to what is opened; no file is read here."""

import errno
import io
import os
import tempfile

import pytest
from metricsieve._sources import resolve


def labels(sources):
    return [source.label for source in resolve(sources)]


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A directory with files, a dot file, a dot directory and a link to itself."""
    for name in ("b.log", "a.log", "a/z.log", "a-b.log", ".hidden.log", ".git/x.log", "a/t.txt"):
        path = tmp_path / "logs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "logs" / "loop").symlink_to(tmp_path / "logs", target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_directory_is_read_recursively_by_path_bytes(tree):
    """Dot names are left out and links to directories not followed."""
    expected = ["logs/a-b.log", "logs/a.log", "logs/a/t.txt", "logs/a/z.log", "logs/b.log"]
    assert labels("logs") == expected
    assert labels(tree / "logs") == [str(tree / path) for path in expected]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("logs/*.log", ["logs/a-b.log", "logs/a.log", "logs/b.log"]),
        ("logs/**/*.log", ["logs/a-b.log", "logs/a.log", "logs/a/z.log", "logs/b.log"]),
        ("**/**/z.*", ["logs/a/z.log"]),
        ("l?gs/[ab].log", ["logs/a.log", "logs/b.log"]),
        ("logs/.*.log", ["logs/.hidden.log"]),
        ("logs/a/**", ["logs/a/t.txt", "logs/a/z.log"]),
        ("*/a/z.log", ["logs/a/z.log"]),
    ],
)
def test_a_glob_gives_regular_files_in_order(tree, pattern, expected):
    """`**` stands for any depth."""
    assert labels(pattern) == expected


def test_a_directory_is_in_the_order_of_path_bytes(tmp_path):
    """A name that goes on with less than a slash comes before what is in the directory."""
    names = [
        "a/x",
        "a-b",
        "a",
        "a.log",
        "ab/a/c",
        "ab/a0",
        "ab!",
        "\u00e9",
        "\ue000",
        "\U00010000",
        "z",
    ]
    names += [os.fsdecode(b"\xff"), os.fsdecode(b"\xf1/x")]
    paths = []
    for name in names:
        path = tmp_path / ("dir" if name == "a" else name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"loss=1\n")
        paths.append(str(path))
    found = [source.object for source in resolve(tmp_path)]
    assert found == sorted(paths, key=os.fsencode)


def test_the_order_given_is_kept(tree):
    """Only what one name expands to is sorted."""
    assert labels(["logs/b.log", "logs/a.log"]) == ["logs/b.log", "logs/a.log"]


def test_f6_the_same_file_is_read_once(tree):
    """By name, glob, hard link and link; the first name counts."""
    os.link("logs/b.log", "logs/hard.log")
    os.symlink("b.log", "logs/soft.log")
    assert labels(["logs/b.log", "logs/*.log", "logs/soft.log"]) == [
        "logs/b.log",
        "logs/a-b.log",
        "logs/a.log",
    ]


def test_f6_two_links_upwards_do_not_multiply(tree):
    """`glob.glob` would walk 2^40 paths here."""
    os.symlink("..", "logs/a/up1")
    os.symlink("..", "logs/a/up2")
    assert len(labels("logs/**/*.log")) == 4
    assert len(labels("logs")) == 5


def test_an_existing_path_wins_over_glob_syntax(tree):
    """A file may be called `run[1].log`."""
    (tree / "run[1].log").write_text("x")
    (tree / "run1.log").write_text("x")
    assert labels("run[1].log") == ["run[1].log"]


@pytest.mark.parametrize(
    "missing", ["no.log", "logs/*.csv", "logs/a.log/x", "", "no/**/x", "empty"]
)
def test_nothing_there_is_file_not_found(tree, missing):
    """A missing path, and a glob or directory without a regular file."""
    (tree / "empty").mkdir()
    with pytest.raises(FileNotFoundError) as caught:
        resolve(missing)
    assert caught.value.errno == errno.ENOENT
    assert caught.value.filename == missing


def test_f7_what_vanished_is_listed_for_the_report(tree):
    """A dangling link in a directory is a source that will fail, not silence."""
    os.symlink("gone", "logs/dangling.log")
    assert "logs/dangling.log" in labels("logs")


def test_f8_globs_and_directories_skip_what_is_not_regular(tree):
    """A FIFO is read only when it is named, and is not opened to find that out."""
    os.mkfifo("logs/pipe.log")
    assert "logs/pipe.log" not in labels(["logs", "logs/*.log"])
    assert labels("logs/pipe.log") == ["logs/pipe.log"]


def test_objects_are_told_apart():
    """bytes-like, file objects and streams, each numbered by kind."""
    sources = [b"a", bytearray(b"b"), io.BytesIO(b"c"), memoryview(b"d"), iter([b"e"])]
    assert [(s.label, s.kind) for s in resolve(sources)] == [
        ("<bytes:0>", "bytes"),
        ("<bytes:1>", "chunks"),
        ("<stream:0>", "reader"),
        ("<bytes:2>", "chunks"),
        ("<stream:1>", "chunks"),
    ]
    assert resolve(b"a")[0].kind == "bytes"
    assert resolve(chunk for chunk in [b"a", b"b"])[0].kind == "chunks"


def test_a_mapping_gives_labels(tree):
    """One that stands for several files is a prefix."""
    assert labels({"one": "logs/b.log", "two": b"x", "three": "logs/a"}) == [
        "one",
        "two",
        "three/logs/a/t.txt",
        "three/logs/a/z.log",
    ]


def test_dash_is_stdin_once():
    """However often it is named."""
    assert labels(["-", "-"]) == ["-"]


def test_text_files_are_refused(tmp_path):
    """With the remedy."""
    for file in (io.StringIO("x"), tempfile.NamedTemporaryFile("w+")):  # noqa: SIM115
        with file, pytest.raises(TypeError, match="'rb'"):
            resolve(file)


@pytest.mark.parametrize("wrong", [3, None, [{"a": b"x"}], {1: b"x"}])
def test_what_is_no_source_is_a_type_error(wrong):
    """Named by its type."""
    with pytest.raises(TypeError):
        resolve(wrong)


def test_f9_a_name_that_is_no_utf8_has_a_readable_label(tmp_path):
    """The path itself stays exact."""
    path = os.fsencode(tmp_path) + b"/\xff.log"
    with open(path, "wb") as file:
        file.write(b"x")
    (source,) = resolve(tmp_path)
    assert source.label.endswith("/\\xff.log")
    assert os.fsencode(source.object) == path
