"""`guerdon optimize rl`: a run from start to the policy that is kept, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from guerdon.cli.main import main

PROMPTS = ["How do I boil an egg?", "planet?", "怎样煮鸡蛋？"]
SAMPLED = ["--n", "4", "--max-new-tokens", "6"]


@pytest.fixture
def prompts(tmp_path: Path) -> str:
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in PROMPTS), encoding="utf-8")
    return str(path)


@pytest.mark.slow
def test_rl(
    tiny_llama: str, prompts: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    options = ["--policy", tiny_llama, "--num-generations", "2", "--max-new-tokens", "4", "--prompts-per-step", "3"]
    command = ["optimize", "rl", "shortest", prompts, "--out", str(out), *options]
    assert main([*command, "--epochs", "2", "--validation", prompts, "--gold", "longest"]) == 0
    printed = capsys.readouterr()
    assert f"policy: {out}" in printed.out
    assert "kept: step" in printed.out
    page = (out / "monitor.html").read_text(encoding="utf-8")
    assert "out, by shortest" in page
    assert PROMPTS[0] in page
    assert "step 2/2" in printed.err
    assert main(command) == 2
    assert "holds a training run already" in capsys.readouterr().err
    again = ["optimize", "best-of-n", "longest", prompts, "--policy", str(out), "--out", str(tmp_path / "n"), *SAMPLED]
    assert main(again) == 0
    assert main([*command[:-2], "--algorithm", "a2c", "--prompts-per-step", "0"]) == 2
    assert "--prompts-per-step must be above 0" in capsys.readouterr().err
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(command) == 2
    assert 'pip install "guerdon[rl]"' in capsys.readouterr().err
