"""The head is found by the weights alone, whatever a trainer called it and wherever it was put."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from guerdon.errors import ModelError
from guerdon.weight_files import no_head_error, pickled_weights, stored_head, tensors_of, weight_tensors

BODY = {"model.norm.weight": torch.ones(4), "model.layers.0.mlp.up_proj.weight": torch.ones(8, 4)}


def write(folder: Path, file: str, **tensors: torch.Tensor) -> Path:
    save_file({name.replace("__", "."): tensor for name, tensor in tensors.items()}, folder / file)
    return folder


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("score.weight", "score"),
        ("classifier.weight", "classifier"),
        ("classifier.out_proj.weight", "classifier.out_proj"),
        ("classification_head.out_proj.weight", "classification_head.out_proj"),
        ("logits_proj.weight", "logits_proj"),
        ("v_head.summary.weight", "v_head.summary"),
        ("v_head.weight", "v_head"),
        ("value_head.weight", "value_head"),
        ("reward_head.weight", "reward_head"),
        ("base_model.model.score.weight", "score"),
        ("base_model.model.classifier.modules_to_save.default.weight", "classifier"),
        ("pretrained_model.v_head.summary.weight", "v_head.summary"),
        ("model.layers.0.score.weight", None),
        ("lm_head.weight", None),
        ("score.lora_A.weight", None),
    ],
)
@pytest.mark.parametrize("outputs", [1, 5])
def test_a_head_has_many_names(name: str, layer: str | None, outputs: int, tmp_path: Path) -> None:
    tensors = BODY | {name: torch.ones(outputs, 4), name.replace(".weight", ".bias"): torch.zeros(outputs)}
    save_file(tensors, tmp_path / "model.safetensors")
    head = stored_head(tmp_path)
    if layer is None:
        assert head is None
        return
    assert head is not None
    assert (head.layer, head.weight, head.outputs) == (layer, name, outputs)
    weight, bias = head.load()
    assert weight.shape == (outputs, 4)
    assert bias.shape == (outputs,)


def test_a_head_may_lie_in_a_shard_or_in_a_file_of_its_own(tmp_path: Path) -> None:
    write(tmp_path, "model-00001-of-00002.safetensors", **{"model.norm.weight": torch.ones(4)})
    write(tmp_path, "model-00002-of-00002.safetensors", **{"score.weight": torch.ones(1, 4, dtype=torch.bfloat16)})
    index = {
        "weight_map": {
            "score.weight": "model-00002-of-00002.safetensors",
            "model.norm.weight": "model-00001-of-00002.safetensors",
        }
    }
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert set(weight_tensors(tmp_path)) == {"score.weight", "model.norm.weight"}
    head = stored_head(tmp_path)
    assert head is not None
    assert head.native
    assert head.load()[0].dtype == torch.float32
    write(tmp_path, "value_head.safetensors", **{"v_head.summary.weight": torch.ones(1, 4)})
    head = stored_head(tmp_path)
    assert head is not None
    assert head.file.name == "value_head.safetensors", "what the trainer added goes before what the backbone had"


def test_a_matrix_alone_in_its_file_is_a_head_where_there_is_no_other(tmp_path: Path) -> None:
    save_file(BODY, tmp_path / "model.safetensors")
    write(tmp_path, "reward.safetensors", weight=torch.ones(1, 4), bias=torch.ones(1))
    head = stored_head(tmp_path)
    assert head is not None
    assert (head.weight, head.bias, head.layer) == ("weight", "bias", "")
    write(tmp_path, "model.safetensors", **BODY, **{"score.weight": torch.ones(1, 4)})
    assert stored_head(tmp_path).layer == "score"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff" * 64, b"\x02\0\0\0\0\0\0\0[]", b'\x0a\0\0\0\0\0\0\0{"a": {}}  ']
)
def test_what_is_no_safetensors_file_is_a_model_error(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match="cannot be read as safetensors"):
        tensors_of(tmp_path / "model.safetensors")


def test_a_pickled_head_is_not_read_and_the_command_converts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save({"v_head.summary.weight": torch.ones(1, 4).T.contiguous().T}, tmp_path / "value_head.bin")
    (tmp_path / "training_args.bin").touch()
    assert [file.name for file in pickled_weights(tmp_path)] == ["value_head.bin"]
    message = str(no_head_error(tmp_path))
    assert "pickled" in message
    _python, _c, code = shlex.split(message[message.index("python -c") :])
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    head = stored_head(tmp_path)
    assert head is not None
    assert head.load()[0].tolist() == [[1.0] * 4]
