"""What goes wrong between text and tokens is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tokenizers.processors import TemplateProcessing

from guerdon.evaluate.health.patient import Texts
from guerdon.rewards.encode import Encoder
from guerdon.rewards.transformer import TransformerReward
from guerdon.text.chat import RenderedChat

Foreign = Callable[..., Path]
PLAIN = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
ENDED = "{% for m in messages %}{{ m['content'] + '<|im_end|>' }}{% endfor %}"
DATED = "{{ strftime_now('%d %b %Y') }}" + PLAIN + "<|im_start|>"


def one(prompt: str, response: str) -> Texts:
    return Texts([prompt], [response], [None])


# --- the template


def test_a_template_that_leaves_out_responses_is_found(tiny_qwen: str, foreign: Foreign, look: Any) -> None:
    assert look("template", TransformerReward.create(tiny_qwen)).verdict == "pass"
    short = "{% for m in messages %}{{ m['content'][:12] + '<|im_end|>' }}{% endfor %}"
    found = look("template", foreign(tiny_qwen, chat_template=short))
    assert found.verdict == "fail"
    assert "leaves out parts of" in found.message


def test_reasoning_that_a_template_leaves_out_is_told(tiny_qwen: str, foreign: Foreign, look: Any) -> None:
    thoughtless = "{% for m in messages %}{{ m['content'].split('</think>')[-1] + '<|im_end|>' }}{% endfor %}"
    assert look("template", foreign(tiny_qwen, chat_template=thoughtless)).verdict == "warning"


def test_an_encoder_reads_no_template(tiny_bert: str, look: Any) -> None:
    reward = TransformerReward.create(tiny_bert)
    for name in ("template", "template date", "EOS"):
        assert look(name, reward).verdict == "not applicable"


# --- the date


def test_a_date_that_moves_scores_is_found_unless_the_contract_has_it(
    tiny_qwen: str, foreign: Foreign, look: Any, tmp_path: Path
) -> None:
    folder = foreign(tiny_qwen, chat_template=DATED)
    found = look("template date", folder)
    assert found.verdict == "fail"
    assert found.difference is not None
    assert found.difference > 1e-3
    assert look("template date", folder, decided=True).verdict == "pass"
    reward = TransformerReward.load(folder)
    reward.save(tmp_path / "ours")
    assert look("template date", tmp_path / "ours").verdict == "pass"
    ours = TransformerReward.create(str(folder))
    ours.save(tmp_path / "trained")
    assert "stands still in the folder" in look("template date", tmp_path / "trained").message


def test_a_clock_that_moves_no_score_is_told(tiny_qwen: str, foreign: Foreign, look: Any) -> None:
    silent = "{% set today = strftime_now('%Y') %}" + ENDED
    found = look("template date", foreign(tiny_qwen, chat_template=silent))
    assert found.verdict == "pass"
    assert found.difference == 0


# --- BOS and EOS


def test_bos_twice_is_found(tiny_gemma_like: str, foreign: Foreign, look: Any) -> None:
    reward = TransformerReward.create(tiny_gemma_like)
    found = look("BOS", reward)
    assert found.verdict == "warning"
    assert "Template and tokenizer both write it: where both do, scores differ by up to" in found.message
    assert "add_special_tokens=False" in found.mend
    assert found.difference is not None
    assert found.difference > 1e-3
    doubled = "{{ bos_token }}{{ bos_token }}" + PLAIN
    assert look("BOS", foreign(tiny_gemma_like, chat_template=doubled)).verdict == "fail"


def test_bos_that_the_tokenizer_adds_to_what_has_it_is_found(tiny_gemma_like: str, look: Any) -> None:
    """As where rendered texts are tokenized with `add_special_tokens`."""
    reward = TransformerReward.create(tiny_gemma_like)
    plain = replace(reward.contract, rendering="plain", chat_template_sha256="")
    reward.contract, reward.encoder = plain, Encoder(reward.tokenizer, plain, "auto")
    assert look("BOS", reward, one("egg", "good")).verdict == "pass"
    found = look("BOS", reward, one("<bos><start_of_turn>user\negg<end_of_turn>\n", "good"))
    assert found.verdict == "fail"
    assert "1 of 1 texts begin with BOS ('<bos>') twice" in found.message


def test_eos_twice_or_behind_some_texts_alone_is_found(tiny_qwen: str, foreign: Foreign, look: Any) -> None:
    folder = foreign(tiny_qwen, chat_template=ENDED)
    assert look("EOS", folder).verdict == "pass"
    assert look("EOS", folder, one("egg", "good<|im_end|>")).verdict == "fail"
    some = PLAIN + "{% if messages[-1]['content']|length > 9 %}<|im_end|>{% endif %}"
    found = look("EOS", foreign(tiny_qwen, chat_template=some))
    assert found.verdict == "fail"
    assert "the others do not" in found.message
    assert "'<|im_end|>') and 'Ċ' behind it" in look("EOS", TransformerReward.create(tiny_qwen)).message


def test_eos_that_the_tokenizer_adds_to_what_has_it_is_told(tiny_qwen: str, foreign: Foreign, look: Any) -> None:
    folder = foreign(tiny_qwen, chat_template=ENDED)
    reward = TransformerReward.load(folder)
    eos: Any = ("<|im_end|>", reward.tokenizer.eos_token_id)
    own = TemplateProcessing(single=f"$A {eos[0]}", special_tokens=[eos])
    reward.tokenizer.backend_tokenizer.post_processor = own
    found = look("EOS", reward)
    assert found.verdict == "warning"
    assert found.difference is not None
    assert "Template and tokenizer both write it" in found.message


def test_a_value_head_without_eos_is_told(tiny_llama: str, tmp_path: Path, look: Any) -> None:
    import shutil

    import torch
    from safetensors.torch import save_file

    shutil.copytree(tiny_llama, tmp_path / "foreign")
    save_file({"value_head.weight": torch.ones(1, 32)}, tmp_path / "foreign" / "value_head.safetensors")
    found = look("EOS", tmp_path / "foreign")
    assert found.verdict == "warning"
    assert '"ends_with_eos": true' in found.mend


# --- vocabulary and length


def test_unknown_text_is_told(tiny_bert: str, look: Any) -> None:
    reward = TransformerReward.create(tiny_bert)
    assert look("vocabulary", reward).verdict == "pass"
    assert look("vocabulary", reward, one("How do I boil an egg? " + "龘" * 6, "鱻鱻")).verdict == "warning"
    found = look("vocabulary", reward, one("龘" * 99, "鱻鱻"))
    assert found.verdict == "fail"
    assert "it reads next to nothing" in found.message


@pytest.mark.parametrize("name", ["tiny_bert", "tiny_roberta", "tiny_llama", "tiny_gemma_like"])
def test_a_long_text_keeps_its_response(name: str, request: pytest.FixtureRequest, look: Any) -> None:
    reward = TransformerReward.create(request.getfixturevalue(name))
    assert look("truncation", reward).verdict == "pass"
    found = look("truncation", reward, one("egg", "egg " * 600))
    assert found.verdict == "warning"
    assert "their ends do not count" in found.message


def test_a_response_that_is_cut_first_is_found(tiny_llama: str, look: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As tokenizers cut by themselves: from the right."""
    reward = TransformerReward.create(tiny_llama)
    fit = Encoder._fit

    def from_the_right(self: Encoder, text: RenderedChat, *rest: Any) -> Any:
        tokens, *others = fit(self, text, *rest)
        whole = self.tokenizer(text.text, add_special_tokens=False, verbose=False)["input_ids"]
        return replace(tokens, ids=tuple(whole[: self.contract.max_length])), *others

    monkeypatch.setattr(Encoder, "_fit", from_the_right)
    found = look("truncation", reward)
    assert found.verdict == "fail"
    assert "the response does not reach the model whole" in found.message

    def not_at_all(self: Encoder, text: RenderedChat, *rest: Any) -> Any:
        tokens, *others = fit(self, text, *rest)
        return replace(tokens, ids=(1,) * 9999) if len(text.text) > 999 else tokens, *others

    monkeypatch.setattr(Encoder, "_fit", not_at_all)
    assert "A long text takes 9999 tokens" in look("truncation", reward).message
