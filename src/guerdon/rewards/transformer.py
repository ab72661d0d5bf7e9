"""R(x) as a transformer: an HF sequence classifier under a score contract."""

from __future__ import annotations

import dataclasses
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, cast
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch.nn.functional import pad

from guerdon import hf, packing
from guerdon.collation import Batch, SharedRow, Tokens, items_of
from guerdon.cpu import map_on_cores
from guerdon.errors import TextError
from guerdon.hf import Lora
from guerdon.merged import whole_model
from guerdon.metrics import Calibration
from guerdon.models import local_folder, resolve
from guerdon.rewards.adapter_base import AdapterBase, read_contract, record_base
from guerdon.rewards.contract import Aggregation, Pooling, ScoreContract, StepUnit
from guerdon.rewards.encode import Encoded, Encoder, Reading
from guerdon.rewards.foreign import is_adapter, load_foreign
from guerdon.rewards.infer import adopted_contract, choose_padding, infer_contract
from guerdon.rewards.outputs import choose_output
from guerdon.rewards.process import AGGREGATIONS, step_spans
from guerdon.rewards.reward_net import RewardNet, is_decoder, shares_prefixes, takes_positions
from guerdon.rewards.saved import FILE_NAME
from guerdon.rewards.saving import fold_units, load_parts, write_reward
from guerdon.rewards.scoring import check_lengths, compare_scores
from guerdon.rewards.streaming import budget_on, chunks_of, fetched, moved, read_in_chunks, within_memory
from guerdon.text.chat import TEMPLATE_DATE, with_still_clock
from guerdon.types import Dtype, Overlong, Prompt, Prompts, References, Responses, prompt_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

AnyReward = TypeVar("AnyReward", bound="TransformerReward")

_backbone_locks: WeakKeyDictionary[torch.nn.Module, threading.Lock] = WeakKeyDictionary()
"""Which adapter computes is a state of the backbone that adapters share: one at a time."""


class TransformerReward:
    """A reward model on Hugging Face Transformers. A `Scorer` and a `Comparer`.

    Example:
        >>> model = TransformerReward.load("runs/helpful")
        >>> model.score(["Capital of France?"], ["Paris."])
    """

    def __init__(
        self,
        model: torch.nn.Module,
        tokenizer: PreTrainedTokenizerBase,
        contract: ScoreContract,
        *,
        overlong: Overlong = "auto",
        adapter: str | None = None,
    ) -> None:
        """Joins what `create` and `load` make; the model is a sequence classifier, or a PEFT model around one."""
        self.net = RewardNet(model, contract.pooling, contract.aggregation)
        self.tokenizer = tokenizer
        self.contract = contract
        self.encoder = Encoder(tokenizer, contract, overlong)
        self.shares = shares_prefixes(self.net.classifier)
        """Whether responses to one prompt are computed in one row; exact where it is on."""
        self.tokens_per_batch = budget_on(self.device)
        """Padded size of a scoring batch; halved where the memory does not suffice for it."""
        self._fitted: Calibration | None = None
        self.folder: Path | None = None
        """Where it was loaded from: training left a baseline and the hashes of its prompts there."""
        self.adapter = adapter
        """Which of several adapters on one backbone this is; None where there is no other."""

    @classmethod
    def create(
        cls,
        backbone: str,
        *,
        attributes: Sequence[str] = ("score",),
        pooling: Pooling | None = None,
        max_length: int | None = None,
        step_unit: StepUnit | Literal[""] = "",
        aggregation: Aggregation | Literal[""] = "",
        lora: Lora | None = None,
        keep_reasoning: bool = False,
        overlong: Overlong = "auto",
        seed: int = 0,
        device: str | None = None,
        trust_remote_code: bool = False,
    ) -> Self:
        """Makes an untrained reward model from a language model or encoder.

        Args:
            backbone: `minilm`, `smollm2`, a folder, or a hub name.
            attributes: names of the head's outputs.
            pooling: None takes `last` for decoders and `native` for encoders; `steps` makes a process reward.
            max_length: None takes what the model reads, at most 2048.
            step_unit: of a process reward, what is a step.
            aggregation: of a process reward, how the scores of steps become one.
            lora: train adapters instead of all weights.
            keep_reasoning: read whole responses where the chat template leaves out a part.
            overlong: what to do with texts over `max_length`.
            seed: random seed of the new head and adapters.
            device: None takes a GPU where there is one, as `load` does; weights that are to be trained stay in float32.
            trust_remote_code: run code that comes with the model; only for models you trust.

        Raises:
            ModelError: the backbone cannot be loaded.
            ConfigError: `pooling` or `max_length` does not fit it.
        """
        torch.manual_seed(seed)
        path = whole_model(backbone, trust_remote_code)
        model = hf.load_classifier(path, attributes, trust_remote_code, new_head=True)
        tokenizer = hf.load_tokenizer(path, trust_remote_code)
        if tokenizer.chat_template:  # so that plain Transformers reads the same day as well
            tokenizer.chat_template = with_still_clock(tokenizer.get_chat_template(), TEMPLATE_DATE)
        contract = infer_contract(
            model, tokenizer, pooling=pooling, max_length=max_length, step_unit=step_unit, aggregation=aggregation
        )
        if is_decoder(model):
            contract = choose_padding(model, tokenizer, contract, may_grow=lora is None)
        contract = dataclasses.replace(
            contract,
            attributes=tuple(attributes),
            weights=(1 / len(attributes),) * len(attributes),
            shift=(0.0,) * len(attributes),
            scale=(1.0,) * len(attributes),
            keep_reasoning=keep_reasoning,
            backbone=backbone,
        )
        network: torch.nn.Module = model
        if lora is not None:
            contract = record_base(contract, path if path != resolve(backbone) else backbone, lora.base_dtype)
            network = hf.add_lora(model, lora, whole_path=contract.pooling == "native")
        network.to(hf.device_and_dtype(device, "float32")[0])
        return _kind_of(contract, cls)(network, tokenizer, contract, overlong=overlong)

    @classmethod
    def load(
        cls,
        name: str | Path,
        *,
        device: str | None = None,
        dtype: Dtype = "auto",
        overlong: Overlong = "auto",
        trust_remote_code: bool = False,
        output: str | None = None,
        beside: Sequence[TransformerReward] = (),
    ) -> Self:
        """Loads a saved reward model, or one of another trainer: a classifier, a value head, a PEFT adapter.

        Args:
            name: a folder that `save` wrote, another folder in HF layout, or a hub name.
            device: None takes a GPU where there is one.
            dtype: `auto` is bfloat16 on a GPU and float32 elsewhere.
            overlong: what to do with texts over the contract's `max_length`.
            trust_remote_code: run code that comes with the model; only for models you trust.
            output: of a model with several, the one that is the reward, see `guerdon.rewards.outputs`.
            beside: loaded models; an adapter on the base of one of them shares its weights.

        Raises:
            ModelError: not found, or not a sequence classifier.
            ContractError: the contract is broken, or does not fit the weights (head missing or re-initialised).
            ConfigError: there is no such output.
        """
        folder, first = local_folder(str(name)), None
        if (folder / FILE_NAME).exists():
            contract = read_contract(folder)
            base = AdapterBase.of(contract)
            sharing = (one for one in beside if AdapterBase.of(one.contract) == base)
            first = next(sharing, None) if contract.base and not is_adapter(folder) else None
            model, tokenizer = load_parts(
                folder, contract, None if first is None else first.net.model, trust_remote_code
            )
        else:
            found = load_foreign(folder, trust_remote_code)
            model, tokenizer = found.model, found.tokenizer
            contract = adopted_contract(found, folder, str(name), decided=output is not None)
        contract = choose_output(contract, output)
        kind = _kind_of(contract, cls)
        reward = kind(model, tokenizer, contract, overlong=overlong, adapter=folder.name if first else None)
        if first:
            first.adapter = first.adapter or "default"
        reward.folder = folder
        reward.to(device, dtype)
        return reward

    def to(self, device: str | None, dtype: Dtype = "auto") -> None:
        """Moves the weights; the head stays in float32. See `load` for what None and `auto` take."""
        where, precision = hf.device_and_dtype(device, dtype)
        self.net.to(device=where, dtype=precision)
        self.net.keep_head_in_float32()
        self.net.eval()
        self.tokens_per_batch = budget_on(where)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.net.parameters()).device

    def encode(self, prompts: Prompts, responses: Responses) -> Encoded:
        """Tokenizes n texts under the contract."""
        return self.encoder.encode(prompts, responses)

    def logits(self, prompts: Prompts, responses: Responses) -> np.ndarray:
        """What the head gives, before the contract's shift and scale: float32, shape (n, attributes)."""
        return self._read(self.net, prompts, responses, len(self.contract.attributes))

    def logits_of(self, tokens: Sequence[Tokens], prompt_of: Sequence[str]) -> np.ndarray:
        """Like `logits`, for sequences that are tokenized already; equal sequences are computed once."""
        if not tokens:
            return np.zeros((0, len(self.contract.attributes)), dtype=np.float32)
        return self._begin(self.net, tokens, prompt_of)()

    def _read(
        self, network: Callable[..., torch.Tensor], prompts: Prompts, responses: Responses, width: int
    ) -> np.ndarray:
        """What the network gives for each text, float32, shape (n, `width` or more), NaN where it gives less."""
        check_lengths(prompts, responses, None)
        keys, readings = [prompt_text(prompt) for prompt in prompts], [Reading()]

        def encode(places: Sequence[int]) -> Encoded:
            try:
                return self.encode([prompts[place] for place in places], [responses[place] for place in places])
            except TextError as error:
                raise TextError(places[error.index], error.fault) from error

        def begin(encoded: Encoded, places: Sequence[int]) -> Callable[[], np.ndarray]:
            readings.append(readings.pop() + encoded)
            return self._begin(network, encoded.tokens, [keys[place] for place in places])

        chunks = chunks_of(keys, responses, by_prompt=self.shares)
        found = read_in_chunks(chunks, encode, begin, width, device=self.device)
        self.encoder.report(readings[0])
        return found

    def _begin(
        self, network: Callable[..., torch.Tensor], tokens: Sequence[Tokens], prompt_of: Sequence[str]
    ) -> Callable[[], np.ndarray]:
        """Starts to compute n >= 1 sequences, equal ones once.

        Returns:
            What waits for the values: float32, shape (n, most that the network gives), NaN where it gives less.
        """
        first: dict[Tokens, int] = {}
        distinct = [first.setdefault(sequence, place) for place, sequence in enumerate(tokens)]
        spread = map_on_cores if self.device.type == "cpu" else map

        def compute(budget: int) -> list[tuple[list[int], torch.Tensor]]:
            batches = packing.batches(
                tokens,
                list(first.values()),
                prompt_of,
                budget=budget,
                pad_id=self.contract.pad_token_id,
                shared=self.shares,
                positions=takes_positions(self.net.classifier),
            )
            return list(spread(partial(self._score_batch, network), batches))

        with self.in_force():
            self.net.eval()
            computed, self.tokens_per_batch = within_memory(compute, self.tokens_per_batch, max(map(len, first)))
        width = max(part.shape[1] for _, part in computed)
        wait = fetched(torch.cat([pad(part, (0, width - part.shape[1]), value=math.nan) for _, part in computed]))

        def values() -> np.ndarray:
            found = np.full((len(tokens), width), np.nan, dtype=np.float32)
            found[[place for places, _ in computed for place in places]] = wait()
            return found[distinct]

        return values

    def _score_batch(
        self, network: Callable[..., torch.Tensor], cut: tuple[list[SharedRow], Batch]
    ) -> tuple[list[int], torch.Tensor]:
        rows, batch = cut
        with torch.inference_mode():
            return items_of(rows), network(**moved(batch, self.device)).float()

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """Where several adapters share the backbone, this one computes, and the others wait."""
        if self.adapter is None:
            yield
            return
        with _backbone_locks.setdefault(self.net.model, threading.Lock()):
            self._activate()
            yield

    def _activate(self) -> None:
        if self.adapter is not None:
            self.net.model.set_adapter(self.adapter)  # type: ignore[operator]

    def attributes(self, prompts: Prompts, responses: Responses) -> np.ndarray:
        """Every named output in the units of the training data: float32, shape (n, attributes)."""
        shift = np.asarray(self.contract.shift, dtype=np.float32)
        scale = np.asarray(self.contract.scale, dtype=np.float32)
        return np.asarray(shift + scale * self.logits(prompts, responses))

    def score(self, prompts: Prompts, responses: Responses, *, references: References = None) -> np.ndarray:
        """R(prompt, response): the contract's weighted sum of the attributes. float32, shape (n,), unbounded.

        `references` are not read. Scores do not depend on the batch, its order, or the padding.
        """
        weights = np.asarray(self.contract.weights, dtype=np.float32)
        with np.errstate(invalid="ignore"):  # an infinite attribute is no reward, for which the caller has a reason
            return np.asarray(self.attributes(prompts, responses) @ weights)

    def compare(self, prompts: Prompts, a: Responses, b: Responses, *, references: References = None) -> np.ndarray:
        """P(a preferred to b) by the calibration of R(a) - R(b), float32, shape (n,)."""
        return compare_scores(self, self.calibration, prompts, a, b)

    @property
    def calibration(self) -> Calibration:
        """sigmoid((R(a) - R(b)) / temperature) by the contract, or what was fitted later."""
        return self._fitted or Calibration("temperature", scale=self.contract.temperature)

    @calibration.setter
    def calibration(self, fitted: Calibration) -> None:
        self._fitted = fitted

    def save(
        self,
        folder: str | Path,
        *,
        training: dict[str, Any] | None = None,
        merge: bool = False,
        training_prompts: Iterable[Prompt] = (),
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        """Writes weights (safetensors), tokenizer, `guerdon.json` and a model card; each file whole or not at all.

        Shift and scale move into the head's weights, here and in the file, so that plain Transformers gives the same
        scores; where it cannot, the folder holds the code that does and plain loading fails, see `rewards.saving`.

        Args:
            folder: created if need be.
            training: the training configuration, kept for the record.
            merge: fold LoRA adapters into the weights, so that the folder stands alone.
            training_prompts: the prompts of the training rows; their hashes are kept, see `rewards.training_data`.
            metrics: what was measured on held-out rows, by name, for the model card.

        Raises:
            OutputError: the folder cannot be written.
        """
        self._activate()
        model, contract = self.net.model, self.contract
        if contract.base and (merge or hf.unwrap(model) is model):  # another trainer's adapter was merged when loaded
            model = hf.merged(model) if hf.unwrap(model) is not model else model
            contract = AdapterBase("").into(contract)
        contract = fold_units(model, contract)
        if model is self.net.model:
            self.contract = contract
        write_reward(
            folder,
            model,
            self.tokenizer,
            contract,
            training=training or {},
            training_prompts=training_prompts,
            metrics=metrics or {},
        )


class ProcessReward(TransformerReward):
    """A reward of every step of a response, read in one pass; its `score` is their aggregation. A `StepScorer`."""

    def step_scores(self, prompts: Prompts, responses: Responses) -> np.ndarray:
        """The logit of each step of n responses; sigmoid gives P(the step is right). See `StepScorer.step_scores`."""
        return self._read(self.net.steps, prompts, responses, 0)

    def running_scores(self, prompts: Prompts, responses: Responses) -> list[list[tuple[int, float]]]:
        """The reward of each response as far as each step: characters up to there, and the aggregation so far."""
        rule, found = AGGREGATIONS[self.contract.aggregation], []
        for response, own in zip(responses, self.step_scores(prompts, responses), strict=True):
            logits = torch.from_numpy(own[~np.isnan(own)])
            stops = [stop for _, stop in step_spans(response, self.contract.step_unit)]
            found.append([(stop, float(rule(logits[: at + 1]))) for at, stop in enumerate(stops[: len(logits)])])
        return found


def _kind_of(contract: ScoreContract, otherwise: type[AnyReward]) -> type[AnyReward]:
    """The class of a model with this contract."""
    return cast("type[AnyReward]", ProcessReward) if contract.aggregation else otherwise
