"""The examples run as they stand; only the models' names are replaced by ones that are there."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def example(name: str, **replaced: Any) -> SimpleNamespace:
    """An example as a module, with some of its names replaced."""
    found = runpy.run_path(str(EXAMPLES / name), run_name="example")
    found["main"].__globals__.update(replaced)
    return SimpleNamespace(**found)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    file = tmp_path / "data.jsonl"
    rows = [
        {"prompt": f"boil egg {i % 8}", "chosen": f"polite answer {'good ' * (i % 5)}", "rejected": "rude water " * 3}
        for i in range(48)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def test_reward_with_transformers(tiny_bert, data, tmp_path, capsys) -> None:
    out = str(tmp_path / "model")
    example("reward_with_transformers.py", MODEL=str(tiny_bert), DATA=str(data), OUT=out).main()
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if "by Transformers" in line]
    assert len(lines) == 2
    for line in lines:
        assert float(line[0]) == pytest.approx(float(line[3]), abs=2e-4)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # RLlib's and Tune's own
def test_reward_with_rllib(tiny_bert, data, tmp_path, capsys) -> None:
    pytest.importorskip("ray.rllib")
    out = str(tmp_path / "reward")
    module = example("reward_with_rllib.py", ENCODER=str(tiny_bert))
    assert module.main([str(data), "--iterations", "2", "--out", out]) > 0.9
    assert "the longer response" in capsys.readouterr().out
