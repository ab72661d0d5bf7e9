"""Sampled answers of a causal language model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from guerdon.errors import ModelError
from guerdon.models import resolve
from guerdon.types import Message, Prompt, prompt_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def sample_answers(
    policy: str,
    prompts: Sequence[Prompt],
    *,
    per_prompt: int = 1,
    max_new_tokens: int = 128,
    temperature: float = 1.0,
    batch_size: int = 16,
    seed: int = 0,
) -> Iterator[list[str]]:
    """Samples answers with Hugging Face `generate`.

    Args:
        policy: `smollm2`, a folder, or a hub name of a causal language model.
        prompts: texts or chats.
        per_prompt: answers to each.
        max_new_tokens: longest answer, in tokens.
        temperature: of the softmax.
        batch_size: prompts generated side by side.
        seed: of the sampling.

    Yields:
        For each prompt in order, its `per_prompt` answers; an answer may be empty.

    Raises:
        ModelError: the policy cannot be loaded.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = resolve(policy)
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, padding_side="left")
        model: Any = AutoModelForCausalLM.from_pretrained(path, use_safetensors=True)
    except Exception as error:
        raise ModelError(f"cannot load the policy {policy!r}: {' '.join(str(error).split())[:300]}") from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = model.to(device=torch.device(device), dtype=torch.bfloat16 if device == "cuda" else torch.float32).eval()
    torch.manual_seed(seed)
    for start in range(0, len(prompts), batch_size):
        texts = [_generation_prompt(tokenizer, prompt) for prompt in prompts[start : start + batch_size]]
        chat = bool(tokenizer.chat_template)
        inputs = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=not chat).to(device)
        with torch.inference_mode():
            output = model.generate(
                **inputs,
                do_sample=True,
                temperature=temperature,
                top_k=0,
                max_new_tokens=max_new_tokens,
                num_return_sequences=per_prompt,
                pad_token_id=tokenizer.pad_token_id,
            )
        answers = tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        for index in range(len(texts)):
            yield [answer.strip() for answer in answers[index * per_prompt : (index + 1) * per_prompt]]


def _generation_prompt(tokenizer: PreTrainedTokenizerBase, prompt: Prompt) -> str:
    if not tokenizer.chat_template:
        return prompt_text(prompt) + "\n\n"
    turns = (Message("user", prompt),) if isinstance(prompt, str) else prompt
    messages = [{"role": turn.role, "content": turn.content} for turn in turns]
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
