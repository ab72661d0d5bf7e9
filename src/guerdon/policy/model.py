"""A language model as a policy: prompts in, sampled responses out."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from guerdon import hf
from guerdon.errors import TextError
from guerdon.files import staged
from guerdon.merged import whole_model
from guerdon.policy.decode import Sample, Sampling, decode, supports_batched_decoding
from guerdon.policy.static_rows import StaticMemory, replays_steps
from guerdon.text.chat import ChatRenderer
from guerdon.types import Dtype, Message, Prompt, prompt_text

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

_STEPS_WORTH_COMPILING = 20_000
"""Compiling takes as long as a GPU needs for about so many steps of a small model as they are."""


class Policy:
    """A causal or sequence-to-sequence language model with its tokenizer."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        self.model: Any = model
        self.tokenizer: Any = tokenizer
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        self._memory: StaticMemory | None = None
        self._many_steps = False

    @classmethod
    def load(
        cls,
        name: str,
        *,
        device: str | None = None,
        dtype: Dtype = "auto",
        trust_remote_code: bool = False,
    ) -> Policy:
        """Loads a policy.

        Args:
            name: `smollm2`, a folder, or a hub name.
            device: `cpu`, `cuda` ...; None takes a GPU where there is one.
            dtype: `auto` is bfloat16 on a GPU and float32 elsewhere.
            trust_remote_code: run code that comes with the model; only for models you trust.

        Raises:
            ModelError: it cannot be loaded.
        """
        path = whole_model(name, trust_remote_code)
        where, precision = hf.device_and_dtype(device, dtype)
        model, tokenizer = hf.load_language_model(path, precision, trust_remote_code)
        return cls(model.to(where).eval(), tokenizer)  # type: ignore[arg-type]  # a stub of Transformers

    @cached_property
    def eos_ids(self) -> tuple[int, ...]:
        """Tokens that end a response."""
        given = self.model.generation_config.eos_token_id
        several = given if isinstance(given, list) else [given]
        return tuple(sorted({one for one in (*several, self.tokenizer.eos_token_id) if one is not None}))

    @property
    def context_length(self) -> int:
        """The most tokens, prompt and response together, that the model reads."""
        config = self.model.config.get_text_config()
        return int(getattr(config, "max_position_embeddings", None) or self.tokenizer.model_max_length)

    @cached_property
    def _renderer(self) -> ChatRenderer:
        return ChatRenderer(self.tokenizer, owner="policy", keep_reasoning=True)

    def render(self, prompt: Prompt) -> str:
        """The text that a response follows."""
        if self.tokenizer.chat_template:
            return self._renderer.prompt(prompt)
        return prompt_text(prompt) + ("" if self.model.config.is_encoder_decoder else "\n\n")

    def encode_prompts(
        self,
        prompts: Sequence[Prompt],
        *,
        max_new_tokens: int,
        begun: Sequence[str] = (),
        skipped: dict[int, TextError] | None = None,
    ) -> list[list[int]]:
        """Token ids of n prompts; with `begun`, of prompts each followed by the beginning of a response.

        Those that are too long get into `skipped`, by index, where it is given.

        Raises:
            TextError: a prompt leaves less than `max_new_tokens` tokens for the response.
        """
        texts = [self.render(prompt) + start for prompt, start in zip(prompts, begun or repeat(""), strict=False)]
        found = self._tokenize(texts, special=not self.tokenizer.chat_template)  # a template writes its own BOS
        reserved = 0 if self.model.config.is_encoder_decoder else max_new_tokens
        for index, ids in enumerate(found):
            if len(ids) + reserved > self.context_length:
                error = TextError(
                    index,
                    f"too long: the prompt takes {len(ids)} tokens, the policy reads {self.context_length}, response "
                    f"included; it begins {prompt_text(prompts[index])[:60]!r}. Fix: shorten it, allow fewer new "
                    f"tokens (now {max_new_tokens}), or choose a policy that reads more",
                )
                if skipped is None:
                    raise error
                skipped[index] = error
        return found

    def encode_responses(
        self, encoded_prompts: Sequence[Sequence[int]], texts: Sequence[tuple[Prompt, str]]
    ) -> list[list[int]]:
        """Token ids of responses as the policy would have written them, the end of the turn included.

        `encoded_prompts` are as `encode_prompts` gives them; `texts` are the same prompts, each with its response.

        Raises:
            TextError: prompt and response are too long.
        """
        written = texts
        if self.tokenizer.chat_template:
            written = [(prompt, self._renderer.continuation(prompt, text)) for prompt, text in texts]
        found = self._tokenize([text for _, text in written])
        for index, (prompt, ids) in enumerate(zip(encoded_prompts, found, strict=True)):
            stop = self._end_of(ids)
            found[index] = ids[:stop] if stop else [*ids, self.tokenizer.eos_token_id]
            if (length := len(prompt) + len(found[index])) > self.context_length:
                raise TextError(
                    index,
                    f"too long: prompt and response take {length} tokens, the policy reads "
                    f"{self.context_length}. Fix: shorten them, or choose a policy that reads more",
                )
        return found

    def encode_environment_turn(self, conversation: Sequence[Message], *, finished: bool) -> list[int]:
        """Token ids between a response of the policy and its next one: the end of its turn, and the turn after it.

        The conversation ends with both turns. The end of a response that did not end by itself (`finished`) is part of
        what follows.
        """
        ends = [] if finished else [int(self.tokenizer.eos_token_id)]
        if not self.tokenizer.chat_template:
            following = f"\n\n{conversation[-1].content}\n\n"
        else:
            closing, ends_of_turn = self._renderer.closing, (self.tokenizer.decode([one]) for one in self.eos_ids)
            ended = min((closing.index(eos) + len(eos) for eos in ends_of_turn if eos in closing), default=0)
            following = self._renderer.between(conversation)[ended:]
        return ends + self._tokenize([following])[0]

    def _tokenize(self, texts: Sequence[str], *, special: bool = False) -> list[list[int]]:
        coded = self.tokenizer(list(texts), add_special_tokens=special, truncation=False, verbose=False)
        return [list(ids) for ids in coded["input_ids"]]

    def _end_of(self, ids: Sequence[int]) -> int | None:
        """How many tokens stand up to the first that ends a response, itself included; None where none does."""
        return next((place + 1 for place, token in enumerate(ids) if token in self.eos_ids), None)

    def text(self, sample: Sample) -> str:
        """The text of a sample: without special tokens, stripped; may be empty."""
        return str(self.tokenizer.decode(sample.ids, skip_special_tokens=True)).strip()

    def text_so_far(self, ids: Sequence[int]) -> str:
        """The beginning of `text` that the first tokens of a sample give."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=True)).lstrip()

    def add_lora(self, rank: int, alpha: int) -> None:
        """Puts LoRA adapters (Hu et al. 2021) on the linear layers; nothing else is then trained."""
        task = "SEQ_2_SEQ_LM" if self.model.config.is_encoder_decoder else "CAUSAL_LM"
        self.model = hf.add_lora(self.model, hf.Lora(rank, alpha), task)

    def save(self, folder: str | Path, *, training: Mapping[str, Any]) -> None:
        """Writes weights (adapters merged), tokenizer and `policy.json`, each file whole or not at all.

        Raises:
            OutputError: the folder cannot be written.
        """
        self.model = hf.merge(self.model)
        with staged(folder) as stage:
            hf.save_model(self.model, stage)
            self.tokenizer.save_pretrained(stage)
            (stage / "policy.json").write_text(json.dumps({"training": dict(training)}, indent=2), encoding="utf-8")

    def sample_texts(
        self,
        prompts: Sequence[Prompt],
        *,
        num_generations: int = 1,
        sampling: Sampling | None = None,
        seed: int = 0,
        batch_size: int = 64,
        begun: Sequence[str] = (),
        done: Collection[int] = (),
    ) -> Iterator[tuple[int, list[str]]]:
        """Samples responses, `batch_size` of them side by side, prompts of like length together.

        Where `begun` has the beginning of a response to each prompt, what comes is how it goes on.

        With the same seed, the same prompts get the same responses; those with an index in `done` have theirs already,
        and the others get those of an unbroken run.

        Yields:
            Index of a prompt and its `num_generations` responses, each other prompt once, in no particular order.

        Raises:
            TextError: a prompt is too long.
        """
        sampling = sampling or Sampling()
        encoded = self.encode_prompts(prompts, max_new_tokens=sampling.max_new_tokens, begun=begun)
        order = sorted(range(len(prompts)), key=lambda index: (len(encoded[index]), index))
        width = max(1, batch_size // num_generations)
        self.expect_steps(-(-len(order) // width) * sampling.max_new_tokens)
        for start in range(0, len(order), width):
            chosen = order[start : start + width]
            if all(index in done for index in chosen):
                continue
            # A seed for each batch, so that a run that was cut short goes on as if it had not been.
            own_seed = hashlib.blake2b(f"{seed} {start}".encode(), digest_size=7).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(own_seed))
            samples = self.sample_tokens([encoded[index] for index in chosen], num_generations, sampling, generator)
            for index, own in zip(chosen, samples, strict=True):
                if index not in done:
                    yield index, [self.text(sample) for sample in own]

    def expect_steps(self, steps: int) -> None:
        """Tells how many tokens, one after the other, are going to be sampled: many are worth compiling on a GPU."""
        self._many_steps |= steps >= _STEPS_WORTH_COMPILING

    def sample_tokens(
        self, prompts: Sequence[Sequence[int]], num_generations: int, sampling: Sampling, generator: torch.Generator
    ) -> list[list[Sample]]:
        """Samples responses to prompts given as token ids, all side by side; see `guerdon.policy.decode.decode`."""
        if supports_batched_decoding(self.model):
            ids: dict[str, Any] = {"pad_id": self.tokenizer.pad_token_id, "eos_ids": self.eos_ids}
            memory = self._static_memory()
            return decode(self.model, prompts, num_generations, sampling, generator=generator, memory=memory, **ids)
        return self._generate(prompts, num_generations, sampling, generator)

    def _static_memory(self) -> StaticMemory | None:
        """Where a GPU makes the responses of this model; None where it cannot replay its steps."""
        if not replays_steps(self.model):
            return None
        if self._memory is None or self._memory.model is not self.model:
            self._memory = StaticMemory(self.model)
        self._memory.compiled = self._many_steps
        return self._memory

    def _generate(
        self, prompts: Sequence[Sequence[int]], num_generations: int, sampling: Sampling, generator: torch.Generator
    ) -> list[list[Sample]]:
        """The same by Transformers' `generate`, for encoder-decoders and for caches of other kinds."""
        padded = self.tokenizer.pad(
            {"input_ids": [list(ids) for ids in prompts]}, padding_side="left", return_tensors="pt"
        ).to(self.model.device)
        draws = sampling.temperature > 0
        device = self.model.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.inference_mode():
            torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
            output = self.model.generate(
                **padded,
                do_sample=draws,
                **({"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0} if draws else {}),
                max_new_tokens=sampling.max_new_tokens,
                num_return_sequences=num_generations,
                pad_token_id=self.tokenizer.pad_token_id,
                eos_token_id=list(self.eos_ids),
                return_dict_in_generate=True,
                output_logits=True,
            )
        scores = torch.stack(output.logits, dim=1).float() / (sampling.temperature or 1.0)
        ids = output.sequences[:, -scores.shape[1] :]
        logps = torch.log_softmax(scores, dim=2).gather(2, ids.unsqueeze(2)).squeeze(2)
        rows = zip(ids.tolist(), logps.tolist(), map(self._end_of, ids.tolist()), strict=True)
        samples = [Sample(tuple(row[:stop]), tuple(logp[:stop]), stop is not None) for row, logp, stop in rows]
        return [samples[start : start + num_generations] for start in range(0, len(samples), num_generations)]
