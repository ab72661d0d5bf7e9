"""Whatever is wrong with the input: one message that says so, exit status 2, no traceback, nothing half-written."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from guerdon.cli.main import main
from guerdon.rewards.transformer import TransformerReward
from json_lines import write_lines

GOOD = [
    {"prompt": f"Question {n}?", "chosen": f"A good answer, number {n}.", "rejected": f"A bad one, {n}."}
    for n in range(20)
]


def lines(*records: object) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def without(name: str) -> dict[str, object]:
    return {key: value for key, value in GOOD[0].items() if key != name}


BAD_DATA: dict[str, tuple[str, bytes, str]] = {
    "empty file": ("x.jsonl", b"", "no row"),
    "broken JSON line": ("x.jsonl", lines(*GOOD) + b'{"prompt": \n', "x.jsonl:21: broken JSON"),
    "missing column": ("x.jsonl", lines(*GOOD, without("rejected")), "x.jsonl:21"),
    "unknown columns": ("x.jsonl", lines({"left": "a", "right": "b"}), "left"),
    "NaN score": ("x.jsonl", b'{"prompt": "a", "response": "b", "score": NaN}\n', "must be a finite number"),
    "equal chosen and rejected": ("x.jsonl", lines(GOOD[0] | {"rejected": GOOD[0]["chosen"]}), "same text"),
    "not UTF-8": ("x.jsonl", lines(*GOOD) + b'{"prompt": "\xff"}\n', "UTF-8"),
    "binary file": ("x.jsonl", bytes(range(256)) * 8, "binary"),
    "huge line": ("x.jsonl", b'{"prompt": "' + b"a" * (65 * 2**20) + b'"}\n', "64 MiB"),
    "gzip cut off": ("x.jsonl.gz", gzip.compress(lines(*GOOD) * 50)[:-20], "x.jsonl.gz"),
    "parquet by name only": ("x.parquet", b"PAR1 no", "x.parquet"),
    "broken JSON array": ("x.json", b'[{"prompt": "a"', "x.json"),
    "CSV with a ragged row": ("x.csv", b"prompt,chosen,rejected\na,b,c,d,e\n", "x.csv:2"),
    "unknown ending": ("x.docx", lines(*GOOD), ".docx"),
    "one prompt only": ("x.jsonl", lines(*[GOOD[0] | {"chosen": f"good {n}"} for n in range(9)]), "group"),
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a good file in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.jsonl").write_bytes(lines(*GOOD))
    return tmp_path


def tree(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def refused(arguments: list[str], place: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Runs a command that must be refused without a trace; gives its one message."""
    before = tree(place)
    try:
        status = main(arguments)
    except SystemExit as stop:  # the option parser's own way out
        status = int(stop.code or 0)
    printed = capsys.readouterr()
    message = printed.err + printed.out
    assert status == 2, message
    assert "Traceback" not in message
    assert message.strip()
    assert printed.err.count(": error:") <= 1
    left = {name for name in tree(place) if name not in before}
    assert not left
    assert {name: content for name, content in tree(place).items() if name in before} == before
    return message


@pytest.mark.parametrize("name", BAD_DATA)
def test_data(name: str, tiny_bert: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, content, words = BAD_DATA[name]
    (place / file).write_bytes(content)
    assert words in refused(["train", file, "--out", "out", "--backbone", tiny_bert], place, capsys)


def headless(model: str, place: Path) -> str:
    """A backbone without a reward head."""
    from transformers import AutoModel, AutoTokenizer

    AutoModel.from_pretrained(model).save_pretrained(place / "headless")
    AutoTokenizer.from_pretrained(model).save_pretrained(place / "headless")
    return "headless"


def no_weights(model: str, place: Path) -> str:
    (place / "hollow").mkdir()
    (place / "hollow" / "config.json").write_text((Path(model) / "config.json").read_text())
    return "hollow"


def broken_card(model: str, place: Path) -> str:
    (place / "broken").mkdir()
    (place / "broken" / "guerdon.json").write_text("{")
    return "broken"


def newer_card(model: str, place: Path) -> str:
    (place / "newer").mkdir()
    (place / "newer" / "guerdon.json").write_text('{"format": 99, "kind": "transformer"}')
    return "newer"


BAD_MODELS: dict[str, tuple[Callable[[str, Path], str], str]] = {
    "unknown model": (lambda *_: "./nowhere", "nowhere"),
    "a file": (lambda *_: "good.jsonl", "good.jsonl"),
    "missing head": (headless, "missing"),
    "no weights": (no_weights, "hollow"),
    "broken contract": (broken_card, "guerdon.json"),
    "newer contract": (newer_card, "upgrade"),
    "module that is not there": (lambda *_: "no_such_module:Scorer", "no_such_module"),
    "object that is no scorer": (lambda *_: "json:decoder", "Scorer"),
}


@pytest.mark.parametrize("verb", ["evaluate", "score"])
@pytest.mark.parametrize("name", BAD_MODELS)
def test_model(name: str, verb: str, tiny_bert: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make, words = BAD_MODELS[name]
    model = make(tiny_bert, place)
    arguments = [verb, model, "good.jsonl", *(["--out", "scores.jsonl"] if verb == "score" else [])]
    assert words in refused(arguments, place, capsys)


OPTIONS: dict[str, tuple[list[str], str]] = {
    "all option faults at once": (["--epochs", "0", "--label-smoothing", "0.7"], "--label-smoothing must be below 0.5"),
    "objective that does not fit": (["--objective", "regression"], "regression"),
    "unknown objective": (["--objective", "magic"], "magic"),
    "unknown option": (["--no-such-option", "1"], "no-such-option"),
    "text for a number": (["--epochs", "many"], "many"),
    "max_length beyond the model": (["--max-length", "100000"], "max_length"),
    "pooling that does not fit": (["--pooling", "last", "--backbone", "{llama}", "--lora-r", "-1"], "lora-r"),
    "mean of a decoder": (["--pooling", "mean", "--backbone", "{llama}"], "decoder"),
    "group column that is not there": (["--group", "topic"], "topic"),
    "broken regular expression": (["--group", "prompt", "--group-regex", "("], "("),
    "policy without references": (["--negatives-policy", "{llama}", "--objective", "bradley-terry"], "reference"),
    "unknown backbone": (["--backbone", "./nowhere"], "nowhere"),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_option(name: str, tiny_bert: str, tiny_llama: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options, words = OPTIONS[name]
    given = [option.replace("{llama}", tiny_llama) for option in options]
    backbone = [] if "--backbone" in given else ["--backbone", tiny_bert]
    assert words in refused(["train", "good.jsonl", "--out", "out", *backbone, *given], place, capsys)


def test_over_long_text(tiny_bert: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "long.jsonl").write_bytes(lines(*GOOD, GOOD[0] | {"chosen": "word " * 5000}))
    arguments = ["train", "long.jsonl", "--out", "out", "--backbone", tiny_bert, "--overlong", "error"]
    assert f"long.jsonl:{len(GOOD) + 1}: too long" in refused(arguments, place, capsys)


@pytest.mark.parametrize("verb", ["score", "evaluate"])
def test_over_long_text_of_a_saved_model(
    verb: str, tiny_bert: str, place: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path_factory.mktemp("model")
    TransformerReward.create(tiny_bert).save(model)
    (place / "long.jsonl").write_bytes(lines(*GOOD, GOOD[0] | {"chosen": "word " * 5000}))
    assert f"long.jsonl:{len(GOOD) + 1}: too long" in refused(
        [verb, str(model), "long.jsonl", "--overlong", "error"], place, capsys
    )


@pytest.mark.parametrize(
    ("out", "words"),
    [("/dev/full", "disk is full"), ("/sys/guerdon/scores.jsonl", "cannot write"), ("good.jsonl/x", "cannot write")],
)
def test_place_that_cannot_be_written(out: str, words: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert words in refused(["score", "longest", "good.jsonl", "--out", out], place, capsys)


@pytest.mark.parametrize(
    "verb", ["train", "score", "evaluate", "data check", "data info", "data convert", "quickstart"]
)
def test_file_that_is_not_there(verb: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = {
        "train": ["absent.jsonl", "--out", "out"],
        "score": ["longest", "absent.jsonl"],
        "evaluate": ["longest", "absent.jsonl"],
        "data convert": ["absent.jsonl", "new.jsonl"],
        "quickstart": ["--data", "absent.jsonl", "--out", "out"],
    }.get(verb, ["absent.jsonl"])
    assert "absent.jsonl" in refused([*verb.split(), *source], place, capsys)


def test_a_pattern_that_the_shell_has_expanded(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [
        write_lines(place / name, {"prompt": "p", "chosen": "a", "rejected": "b"}) for name in ("1.jsonl", "2.jsonl")
    ]
    with pytest.raises(SystemExit):
        main(["data", "check", *files])
    assert f"parted by commas, {files[0]},{files[1]}, or given as a quoted pattern" in capsys.readouterr().err
    assert main(["data", "check", ",".join(files)]) == 0
