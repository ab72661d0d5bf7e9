"""`guerdon optimize rl`: a run from start to the policy that is kept, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import guerdon
from guerdon.cli.main import main
from json_lines import write_lines

PROMPTS = ["How do I boil an egg?", "planet?", "怎样煮鸡蛋？"]
SAMPLED = ["--n", "4", "--max-new-tokens", "6"]


@pytest.fixture
def prompts(tmp_path: Path) -> str:
    return write_lines(tmp_path / "prompts.jsonl", *({"prompt": prompt} for prompt in PROMPTS))


def files(out: Path) -> dict[str, bytes | list[dict[str, object]]]:
    """The files of a run; of its log what does not depend on the clock. TensorBoard's names hold the time."""
    found: dict[str, bytes | list[dict[str, object]]] = {}
    for path in sorted(path for path in out.rglob("*") if path.is_file()):
        name = str(path.relative_to(out))
        if name.startswith("run/tensorboard"):
            found["run/tensorboard"] = b""
        elif name == "run/metrics.jsonl":
            lines = map(json.loads, path.read_text(encoding="utf-8").splitlines())
            found[name] = [{n: repr(v) for n, v in line.items() if not n.startswith("seconds")} for line in lines]
        else:
            found[name] = path.read_bytes()
    return found


def test_function_and_command_write_the_same_files(tiny_llama: str, prompts: str, tmp_path: Path) -> None:
    options = ["--policy", tiny_llama, "--num-generations", "2", "--max-new-tokens", "4", "--prompts-per-step", "3"]
    command = ["optimize", "rl", "shortest", prompts, "--out", str(tmp_path / "a" / "out"), *options]
    assert main([*command, "--epochs", "2", "--validation", prompts, "--gold", "longest"]) == 0
    config = guerdon.RLConfig(policy=tiny_llama, num_generations=2, max_new_tokens=4, prompts_per_step=3, epochs=2.0)
    out = tmp_path / "b" / "out"
    policy = guerdon.train_rl_policy("shortest", prompts, out, config, validation=prompts, gold="longest")
    assert policy.model is not None
    mine, theirs = files(out), files(tmp_path / "a" / "out")
    assert {"policy.json", "monitor.html", "run/metrics.jsonl", "run/monitor.jsonl", "run/run.json"} <= set(mine)
    assert mine == theirs
    assert not list(out.rglob("checkpoint-*"))


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
    assert "holds a run already" in capsys.readouterr().err
    again = ["optimize", "best-of-n", "longest", prompts, "--policy", str(out), "--out", str(tmp_path / "n"), *SAMPLED]
    assert main(again) == 0
    assert main([*command[:-2], "--algorithm", "a2c", "--prompts-per-step", "0"]) == 2
    assert "--prompts-per-step must be above 0" in capsys.readouterr().err
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main([*command, "--num-env-runners", "1"]) == 2
    assert 'pip install "guerdon[rl]"' in capsys.readouterr().err
