"""Both systems are timed over the same pairs, and the tokens that are counted are those computed."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

import pytest
import torch

import memory
import train_decoder
from guerdon.collation import SharedRow, Tokens, collate
from guerdon.data.write import write_rows
from guerdon.runs.loop import Step
from guerdon.types import AnyRow, Comparison

ROWS: list[AnyRow] = [
    Comparison(prompt=f"boil egg {n}", chosen="good " * (1 + n % 3), rejected="rude " * (1 + n % 2)) for n in range(16)
]


def test_tokens_are_counted_once_and_without_padding() -> None:
    tokens = [Tokens((1, 2, 3, 4)), Tokens((1, 2, 5)), Tokens((6, 7))]
    own = [SharedRow((item,), 0, len(tokens[item])) for item in range(3)]
    joined = [SharedRow((0, 1), 2, 5), SharedRow((2,), 0, 2)]
    for layout, rows, expected in (("padded", own, 9), ("shared", joined, 7), ("packed", joined, 7)):
        batch = collate(tokens, rows, pad_id=0, positions=True, layout=layout)  # type: ignore[arg-type]
        assert train_decoder.real_tokens(Step([(batch, {})], 1)) == expected


def test_a_shape_is_a_model_of_random_weights(monkeypatch: pytest.MonkeyPatch, tiny_llama: str) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    shape = memory.Shape(64, 128, 2, 4, 2, 16, 900)
    monkeypatch.setitem(memory.SHAPES, "small", shape)
    monkeypatch.setattr(train_decoder, "resolve", lambda name: tiny_llama)
    with train_decoder.backbone("small") as path:
        model = AutoModelForSequenceClassification.from_pretrained(path, dtype=torch.float32)
        assert sum(weight.numel() for weight in model.parameters()) == shape.parameters
        assert len(AutoTokenizer.from_pretrained(path)) == len(AutoTokenizer.from_pretrained(tiny_llama))
    assert not Path(path).exists()


def test_a_run_gives_its_rate_and_what_a_pair_takes(tiny_llama: str) -> None:
    arguments = Namespace(batch_size=8, max_length=64, warm_up=1)
    run = train_decoder.guerdon_run(ROWS, tiny_llama, arguments)  # type: ignore[arg-type]
    assert run["rate"] > 0
    assert 10 < run["tokens"] < 2 * 64


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")  # TRL's own configuration uses names that Transformers will drop
def test_the_benchmark_writes_medians_and_shares_of_the_peak(
    tiny_llama: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("trl")
    monkeypatch.setattr(train_decoder, "peaks", lambda: {"float32": 0.1})
    write_rows(ROWS, tmp_path / "rows.jsonl")
    train_decoder.main(
        [
            "--data", str(tmp_path / "rows.jsonl"), "--model", tiny_llama, "--pairs", "16", "--batch-size", "8",
            "--max-length", "64", "--repeats", "2", "--micro-batches", "4", "--warm-up", "1",
            "--json", str(tmp_path / "result.json"),
        ]
    )  # fmt: skip
    found = json.loads((tmp_path / "result.json").read_text())["results"]
    assert list(found) == ["guerdon", "TRL, defaults", "TRL, grouped, micro-batch 4"]
    assert all(len(one["runs"]) == 2 and 0 < one["share_of_peak"] < 1 for one in found.values())
    assert found["guerdon"]["tokens_a_pair"] < found["TRL, defaults"]["tokens_a_pair"], "the prompt counts once"
    assert "guerdon / TRL at its best:" in capsys.readouterr().out
