"""Frozen vectors of prompt and response as features, and their plain cosine as a reward that needs no training."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from guerdon import hf
from guerdon.collation import Tokens, TokenTable, items_of
from guerdon.metrics import Floats
from guerdon.models import lasting_name, resolve
from guerdon.packing import batches
from guerdon.rewards.infer import frozen_digest
from guerdon.rewards.linear import FeatureMatrix, Features
from guerdon.rewards.scoring import BaseScorer, check_lengths
from guerdon.rewards.streaming import chunks_of, fetched, moved, read_in_chunks
from guerdon.rewards.surface import SurfaceFeatures
from guerdon.text.vocabulary import UNREADABLE_SHARE, count_tokens, unknown_token_id
from guerdon.types import Prompt, Prompts, References, Responses, Rewards, prompt_text

logger = logging.getLogger(__name__)

DEFAULT_ENCODER = "minilm"
_MOST_TOKENS = 512
"""A text is read so far: frozen vectors of longer texts blur."""
_TOKENS = 8192
"""Padded tokens of a batch."""
_MOST_KEPT = 100_000
"""Vectors that are kept by text; beyond, all are forgotten."""


class TextEncoder:
    """A frozen encoder or decoder that gives each text one vector: the mean of its last hidden states.

    Vectors are kept by text, so that a text that stands in many rows, or is asked for again, is computed once. May be
    used from several threads.
    """

    def __init__(self, name: str, device: str | None, trust_remote_code: bool) -> None:
        """Loads a model by name (see `guerdon.models.resolve`); use `text_encoder`. Raises ModelError."""
        path = resolve(name)
        self.name = lasting_name(name)
        self.tokenizer: Any = hf.load_tokenizer(path, trust_remote_code)
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        backbone: Any = hf.load_backbone(path, trust_remote_code)
        self.model: Any = backbone.to(self.device).eval()
        config = self.model.config.get_text_config()
        window = getattr(config, "max_position_embeddings", _MOST_TOKENS)
        self.max_length = int(min(window, self.tokenizer.model_max_length, _MOST_TOKENS))
        self.width = int(config.hidden_size)
        self._kept: dict[str, np.ndarray] = {}
        self._lock = threading.Lock()
        self._read = self._cut = self._reported = 0

    @cached_property
    def digest(self) -> str:
        """Digest of configuration, weights and tokenizer."""
        return frozen_digest(self.name)

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """The vectors of n texts, float32, shape (n, width); 0 for a text that the vocabulary cannot read.

        Texts beyond `max_length` tokens are read to there.
        """
        with self._lock:
            new = list(dict.fromkeys(text for text in texts if text not in self._kept))
            if len(self._kept) + len(new) > _MOST_KEPT:
                self._kept.clear()
                new = list(dict.fromkeys(texts))
            self._kept.update(zip(new, self._computed(new), strict=True))
            return np.array([self._kept[text] for text in texts], dtype=np.float32).reshape(len(texts), self.width)

    def reasons(self, vectors: np.ndarray) -> tuple[str, ...]:
        """Why a text has no vector, where its vector is 0; empty where it has one."""
        reason = f"more than {UNREADABLE_SHARE:.0%} of its tokens are unknown to {self.name}"
        return tuple("" if vector.any() else reason for vector in vectors)

    def located(self, text: str, weights: np.ndarray) -> np.ndarray:
        """Shares weights . vector out over the characters of a text, token by token, shape (len(text),).

        The vector is a sum over tokens, so that this is exact for the hidden states as they are; each of them has read
        the other tokens. What special tokens add is left out.
        """
        found = np.zeros(len(text))
        if not self.embed([text]).any():
            return found
        (ids,) = self._token_ids([text])
        coded = self.tokenizer(
            text, truncation=True, max_length=self.max_length, verbose=False, return_offsets_mapping=True
        )
        spans = coded["offset_mapping"] if coded["input_ids"] == ids else [(0, 0), *coded["offset_mapping"]][: len(ids)]
        with torch.inference_mode():
            given = torch.tensor([ids], device=self.device)
            shares = self._shares(given, torch.ones_like(given))[0].double().cpu().numpy()
        values = shares @ weights / np.linalg.norm(shares.sum(axis=0))
        for (start, stop), value in zip(spans, values, strict=True):
            found[start:stop] += value / max(1, stop - start)
        return found

    def report_totals(self) -> None:
        """Logs, at the end of a run, how many texts were cut, where that was not said yet."""
        if self._cut > self._reported:
            logger.warning(
                "%s of %s texts were read by %s to their first %d tokens alone",
                f"{self._cut:,}", f"{self._read:,}", self.name, self.max_length,
            )  # fmt: skip
            self._reported = self._cut

    def _computed(self, texts: Sequence[str]) -> np.ndarray:
        chunks = chunks_of([""] * len(texts), texts, by_prompt=False)

        def make(places: Sequence[int]) -> tuple[list[list[int]], int]:
            coded = self._token_ids([texts[place] for place in places])
            full = [texts[place] for place, ids in zip(places, coded, strict=True) if len(ids) == self.max_length]
            room = self.max_length - self.tokenizer.num_special_tokens_to_add()
            return coded, sum(tokens > room for tokens, _ in count_tokens(self.tokenizer, full))

        def begin(made: tuple[list[list[int]], int], places: Sequence[int]) -> Callable[[], np.ndarray]:
            self._cut += made[1]
            self._read += len(places)
            return self._begin(made[0])

        return read_in_chunks(chunks, make, begin, self.width, device=self.device)

    def _begin(self, coded: Sequence[Sequence[int]]) -> Callable[[], np.ndarray]:
        """Starts to compute the vectors of texts; what is returned waits for them, 0 where a text cannot be read."""
        unknown, special = unknown_token_id(self.tokenizer), set(self.tokenizer.all_special_ids)
        readable = []
        for place, ids in enumerate(coded):
            words: list[int | None] = [one for one in ids if one == unknown or one not in special]
            if words and words.count(unknown) <= UNREADABLE_SHARE * len(words):
                readable.append(place)
        table, pad = TokenTable([Tokens(tuple(ids)) for ids in coded]), self.tokenizer.pad_token_id or 0
        every, order, parts = range(len(coded)), [], [torch.zeros(0, self.width, device=self.device)]
        for rows, batch in batches(table, readable, every, budget=_TOKENS, pad_id=pad, shared=False, positions=False):
            order += items_of(rows)
            with torch.inference_mode():
                here = moved(batch, self.device)
                pooled = self._pooled(here["input_ids"], here["attention_mask"])
                parts.append(torch.nn.functional.normalize(pooled, dim=1))
        wait = fetched(torch.cat(parts))

        def values() -> np.ndarray:
            vectors = np.zeros((len(coded), self.width), dtype=np.float32)
            vectors[order] = wait()
            return vectors

        return values

    def _token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        found = self.tokenizer(list(texts), truncation=True, max_length=self.max_length, verbose=False)["input_ids"]
        return [list(ids) for ids in found]

    def _pooled(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        """Token ids and mask, both (batch, length) -> vectors, (batch, width), of any length."""
        return mean_over_tokens(self.model(input_ids=input_ids, attention_mask=mask).last_hidden_state, mask)

    def _shares(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        """What each token adds to `_pooled`, (batch, length, width)."""
        hidden: Tensor = self.model(input_ids=input_ids, attention_mask=mask).last_hidden_state
        return hidden.float() * (mask / mask.sum(dim=1, keepdim=True)).unsqueeze(2)


def mean_over_tokens(hidden: Tensor, mask: Tensor) -> Tensor:
    """The mean of hidden states, (batch, length, width), over the tokens that the mask, (batch, length), has."""
    return (hidden.float() * mask.unsqueeze(2)).sum(dim=1) / mask.sum(dim=1, keepdim=True)


@lru_cache(maxsize=4)
def text_encoder(
    name: str = DEFAULT_ENCODER, device: str | None = None, trust_remote_code: bool = False
) -> TextEncoder:
    """The encoder of that name; all who ask for it share it and its vectors."""
    return TextEncoder(name, device=device, trust_remote_code=trust_remote_code)


class EncoderFeatures(Features):
    """Features that are read off the vectors of a frozen encoder."""

    encoder_is: ClassVar[str]
    """What a record calls the encoder."""
    load_encoder: ClassVar[Callable[[str, str | None, bool], TextEncoder]]
    """Name, device, and whether code that comes with it may be run -> the encoder."""

    def __init__(self, encoder: TextEncoder) -> None:
        self.encoder = encoder

    def record(self) -> dict[str, Any]:
        """The name of the encoder, whose weights are frozen and stay where they are, and their digest."""
        return {self.encoder_is: self.encoder.name, "sha256": self.encoder.digest}

    @classmethod
    def restore(cls, record: Mapping[str, Any], arrays: Mapping[str, np.ndarray], **options: Any) -> Self:
        """The same features again. Raises ValueError where the encoder has other weights by now."""
        place = options.get("device"), bool(options.get("trust_remote_code"))
        encoder = cls.load_encoder(record[cls.encoder_is], *place)
        if encoder.digest != record["sha256"]:
            raise ValueError(f"{encoder.name} has other weights than when it was fitted")
        return cls(encoder)


class EmbeddingFeatures(EncoderFeatures):
    """Vectors of prompt and response: the response's, its product with the prompt's, and their cosine.

    What a linear reward on frozen features reaches is measured in arXiv:2502.04357.
    """

    kind: ClassVar[str] = "embedding"
    penalties: ClassVar[tuple[float, ...]] = (30.0, 300.0, 3000.0, 30000.0)
    leading: ClassVar[tuple[str, ...]] = ("cosine",)
    encoder_is, load_encoder = "encoder", staticmethod(text_encoder)

    def compute(self, prompts: Prompts, responses: Responses) -> FeatureMatrix:
        """The features of n responses, shape (n, 2 * width + 1)."""
        asked, said = _vectors(self.encoder, prompts, responses)
        product = asked * said
        values = np.concatenate([said, product, product.sum(axis=1, keepdims=True)], axis=1).astype(np.float64)
        return FeatureMatrix(values, self.encoder.reasons(said))

    def names(self) -> list[str]:
        """`response 0` ..., `product 0` ..., `cosine`."""
        width = range(self.encoder.width)
        return [*(f"response {i}" for i in width), *(f"product {i}" for i in width), "cosine"]

    def located(self, prompt: Prompt, response: str, weights: Floats) -> tuple[Floats, Floats]:
        """Token by token; of the products, which belong to both texts, each has half."""
        asked, said = _vectors(self.encoder, [prompt], [response])
        width = self.encoder.width
        shared = (weights[width : 2 * width] + weights[2 * width]) / 2
        of_prompt = self.encoder.located(prompt_text(prompt), shared * said[0])
        return of_prompt, self.encoder.located(response, weights[:width] + shared * asked[0])


class CosineReward(BaseScorer):
    """The cosine of the vectors of prompt and response: how near a passage is to a query. Nothing is trained."""

    def __init__(self, encoder: TextEncoder) -> None:
        self.encoder = encoder
        self.name = "cosine" if encoder.name == DEFAULT_ENCODER else f"cosine:{encoder.name}"
        """What `load_scorer` takes."""

    def score_with_reasons(self, prompts: Prompts, responses: Responses, *, references: References = None) -> Rewards:
        """Cosines in [-1, 1]; a response that the encoder cannot read has no reward. `references` are not read."""
        check_lengths(prompts, responses, references)
        asked, said = _vectors(self.encoder, prompts, responses)
        reasons = self.encoder.reasons(said)
        values = (asked * said).sum(axis=1)
        return Rewards(np.where([bool(reason) for reason in reasons], np.nan, values).astype(np.float32), reasons)


def _vectors(encoder: TextEncoder, prompts: Prompts, responses: Responses) -> tuple[np.ndarray, np.ndarray]:
    vectors = encoder.embed([*map(prompt_text, prompts), *responses])
    return vectors[: len(prompts)], vectors[len(prompts) :]


class ReadFeatures(EncoderFeatures):
    """The vector of a response, and the plain measures of `guerdon.rewards.surface`: what a judge has read so far."""

    kind: ClassVar[str] = "read"
    penalties: ClassVar[tuple[float, ...]] = (300.0, 1000.0, 3000.0, 10000.0)
    weighty: ClassVar[float] = 3.0
    """Surface measures are so many times as large as the numbers of a vector once all are standardised."""
    encoder_is, load_encoder = "encoder", staticmethod(text_encoder)

    def __init__(self, encoder: TextEncoder) -> None:
        super().__init__(encoder)
        self.surface = SurfaceFeatures()

    def compute(self, prompts: Prompts, responses: Responses) -> FeatureMatrix:
        """The features of n responses, shape (n, measures + width)."""
        said = self.encoder.embed(responses)
        values = np.concatenate([self.surface.compute(prompts, responses).values, said.astype(np.float64)], axis=1)
        return FeatureMatrix(values, self.encoder.reasons(said))

    def names(self) -> list[str]:
        """The names of the measures, then `response 0` ..."""
        return [*self.surface.names(), *(f"response {i}" for i in range(self.encoder.width))]
