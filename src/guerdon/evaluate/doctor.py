"""Whether a reward can be relied on: the same score however it is asked, and what its contract says."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from guerdon.data.candidates import all_candidates
from guerdon.errors import ConfigError, ContractError, DataError
from guerdon.models import resolve
from guerdon.rewards.contract import ScoreContract
from guerdon.rewards.load import ScorerConfig
from guerdon.rewards.saved import FILE_NAME, write_card
from guerdon.rewards.scoring import score_texts
from guerdon.rewards.training_data import read_training_prompts
from guerdon.text.vocabulary import UNREADABLE_SHARE
from guerdon.types import Prompt, Prompts, Responses, Scorer

if TYPE_CHECKING:
    from guerdon.rewards.transformer import TransformerReward

CheckOutcome = Literal["ok", "warning", "fault"]
Sample: TypeAlias = tuple[list[Prompt], list[str], list[str | None]]
"""Prompts, responses and references of n texts."""

SAMPLE = 24
"""Responses that are scored again and again."""
THREADS = 8
_ROWS_READ = 4096
"""Rows among which the sample is chosen."""
TOLERANCE = {"float32": 1e-5, "bfloat16": 2e-2}
"""Largest difference of two scores that are the same, for scores of about 1; larger scores may differ by more."""


@dataclass(frozen=True, slots=True)
class DoctorCheck:
    """One thing that was looked at."""

    name: str
    verdict: CheckOutcome
    """`fault`: scores cannot be relied on; `warning`: they can, but there is something to know."""
    message: str
    """What was found, in plain words."""
    difference: float | None = None
    """The largest difference of two scores of one text, where scores were compared."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What `check_reward_model` found."""

    model: str
    contracts: dict[str, ScoreContract]
    """Member -> its contract; a model that is no ensemble has one, under the empty name. Empty without a contract."""
    checks: tuple[DoctorCheck, ...]
    adopted: Path | None = None
    """The contract file that was written beside the weights."""

    @property
    def faults(self) -> tuple[DoctorCheck, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.verdict == "fault")

    def to_dict(self) -> dict[str, Any]:
        """As values that JSON has."""
        return {
            "model": self.model,
            "contracts": {name: asdict(contract) for name, contract in self.contracts.items()},
            "checks": [asdict(check) for check in self.checks],
            "adopted": str(self.adopted) if self.adopted else None,
        }


def check_reward_model(
    model: str | ScorerConfig, *, data: str = "starter:test", question: str | None = None, adopt: bool = False
) -> Diagnosis:
    """Checks that a reward gives a text the same score however it is asked, and that it keeps its contract.

    Example:
        >>> for check in guerdon.check_reward_model("runs/helpful").faults:
        ...     print(check.message)

    Args:
        model: any scorer; a trained model is looked at more closely.
        data: where the sample of texts is read: any source that `guerdon score` takes.
        question: as for `guerdon.data.read.iter_rows`.
        adopt: write the contract that was inferred for a model of other origin beside its weights.

    Returns:
        Every check. A contract that does not fit the weights is a fault too; nothing else is then checked.

    Raises:
        ModelError: the model cannot be found or loaded.
        DataError: there are no responses in the data.
        ConfigError: there is nothing to adopt.
        OutputError: the contract cannot be written.
    """
    config = ScorerConfig(name=model) if isinstance(model, str) else model
    folder = Path(resolve(config.name)) if adopt else None
    if folder is not None and (not folder.is_dir() or (folder / FILE_NAME).exists()):
        what = f"has a {FILE_NAME} already" if folder.is_dir() else "is not a folder on this machine"
        raise ConfigError(
            f"--adopt writes a contract beside the weights of a model of other origin; {config.name} {what}"
        )
    try:
        scorer = config.load()
    except ContractError as error:
        return Diagnosis(config.name, {}, (DoctorCheck("contract", "fault", str(error)),))
    sample = _sample(data, question)
    prompts, responses, _ = sample
    parts = _transformers(scorer)
    half = any(next(part.net.parameters()).dtype.itemsize < 4 for part in parts.values())
    tolerance = TOLERANCE["bfloat16" if half else "float32"]
    checks = list(_stability(scorer, sample, tolerance))
    for name, part in parts.items():
        own = [*_reading(part, prompts, responses), *_padding(part, prompts, responses, tolerance)]
        checks += [replace(check, name=f"{name}: {check.name}") if name else check for check in own]
    checks += _training(scorer)
    contracts = {name: part.contract for name, part in parts.items()}
    diagnosis = Diagnosis(config.name, contracts, tuple(checks))
    if folder is None or diagnosis.faults:
        return diagnosis
    (contract,) = contracts.values()
    write_card(folder, "transformer", {"contract": asdict(contract), "training": {}})
    return replace(diagnosis, adopted=folder / FILE_NAME)


def _sample(data: str, question: str | None) -> Sample:
    """Texts spread over the rows of the data, so that several subsets and lengths are among them."""
    records = itertools.islice(all_candidates(data, question), _ROWS_READ)
    found = (one.candidates for one in records)
    texts = list(dict.fromkeys((row.prompt, text, row.reference) for row in found for text in row.responses))
    if not texts:
        raise DataError(f"{data} has no responses to score")
    chosen = texts[:: max(1, len(texts) // SAMPLE)][:SAMPLE]
    return [prompt for prompt, _, _ in chosen], [text for _, text, _ in chosen], [reference for *_, reference in chosen]


def _transformers(scorer: Scorer) -> dict[str, TransformerReward]:
    """The trained models that a scorer consists of, by the names of their folders."""
    from guerdon.rewards.ensemble import Ensemble
    from guerdon.rewards.transformer import TransformerReward

    if isinstance(scorer, TransformerReward):
        return {"": scorer}
    if isinstance(scorer, Ensemble):
        return {f"member-{place}": member for place, member in enumerate(scorer.members)}
    return {}


def _compared(
    name: str, what: str, one: np.ndarray, other: np.ndarray, tolerance: float, *, otherwise: CheckOutcome = "fault"
) -> DoctorCheck:
    """A check that two ways of asking give the same scores."""
    lost = np.isnan(one) != np.isnan(other)
    both = ~np.isnan(one) & ~np.isnan(other)
    difference = float(np.abs(one - other)[both].max(initial=0.0))
    allowed = tolerance * max(1.0, float(np.abs(one[both]).max(initial=0.0)))
    if lost.any():
        return DoctorCheck(name, otherwise, f"{what}: {lost.sum()} of {len(one)} texts have a score only once.")
    if difference > allowed:
        return DoctorCheck(
            name, otherwise, f"{what}: scores differ by up to {difference:.2g}, more than {allowed:.2g}.", difference
        )
    return DoctorCheck(name, "ok", f"{what}: the same scores; the largest difference is {difference:.2g}.", difference)


def _stability(scorer: Scorer, sample: Sample, tolerance: float) -> Iterator[DoctorCheck]:
    """Whether a score depends on anything but its text; for any scorer."""
    prompts, responses, references = sample

    def scores(items: Sequence[int]) -> np.ndarray:
        chosen = ([prompts[i] for i in items], [responses[i] for i in items], [references[i] for i in items])
        return score_texts(scorer, *chosen).values

    every = range(len(responses))
    first = scores(every)
    if np.isnan(first).all():
        rewards = score_texts(scorer, *sample)
        yield DoctorCheck("rewards", "fault", f"No text has a reward: {rewards.reasons[0]}.")
        return
    yield _compared("repetition", "Scored twice", first, scores(every), 0.0)
    alone = np.concatenate([scores([item]) for item in every])
    yield _compared("batch size", "One by one and all at once", first, alone, tolerance)
    backwards = scores(every[::-1])[::-1]
    yield _compared("order", "In the reverse order", first, backwards, tolerance)
    with ThreadPoolExecutor(THREADS) as pool:
        shifted = [[*every[start:], *every[:start]] for start in range(THREADS)]
        found = list(pool.map(scores, shifted))
    restored = np.stack([scores_[np.argsort(items)] for scores_, items in zip(found, shifted, strict=True)])
    worst = restored[np.nan_to_num(np.abs(restored - first), nan=-1.0).max(axis=1).argmax()]
    yield _compared("threads", f"From {THREADS} threads at a time", first, worst, tolerance)


def _reading(reward: TransformerReward, prompts: Prompts, responses: Responses) -> Iterator[DoctorCheck]:
    """What becomes of the texts before the model reads them."""
    contract, tokenizer = reward.contract, reward.tokenizer
    encoded = reward.encode(prompts, responses)
    ids = [tokens.ids for tokens in encoded.tokens]
    saved = "The head's weights are those that were saved (SHA-256)."
    unknown = "The contract has no digest of the head: another head would not be noticed."
    yield DoctorCheck("head", "ok", saved) if contract.head_sha256 else DoctorCheck("head", "warning", unknown)
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    ends = {"BOS": (bos, slice(2)), "EOS": (eos, slice(-2, None))}
    doubled = [
        name
        for name, (token, end) in ends.items()
        if token is not None and any(one[end] == (token, token) for one in ids)
    ]
    if doubled:
        yield DoctorCheck("special tokens", "fault", f"Texts have {' and '.join(doubled)} twice in a row at their end.")
    else:
        yield DoctorCheck("special tokens", "ok", "No text has BOS or EOS twice.")
    share = encoded.unknown / encoded.total if encoded.total else 0.0
    message = f"{share:.1%} of the tokens of the sample are unknown to the model"
    if share > UNREADABLE_SHARE:
        yield DoctorCheck("vocabulary", "warning", f"{message}: scores of such texts mean little.")
    else:
        yield DoctorCheck("vocabulary", "ok", f"{message}.")
    if contract.rendering == "chat" and "strftime_now" in str(tokenizer.chat_template):
        message = f"The chat template reads the clock: it always reads {contract.template_date} (template_date)."
        yield DoctorCheck("clock", "ok", message)


def _padding(
    reward: TransformerReward, prompts: Prompts, responses: Responses, tolerance: float
) -> Iterator[DoctorCheck]:
    """Whether padding moves a score, in Guerdon and in the architecture's own path."""
    import torch

    from guerdon.packing import collate_padded
    from guerdon.rewards.reward_net import takes_positions

    contract, net = reward.contract, reward.net
    tokens = reward.encode(prompts, responses).tokens
    positions = takes_positions(net.classifier)

    def logits(*, left: bool) -> Any:
        batch = collate_padded(tokens, pad_id=contract.pad_token_id, positions=positions, left=left)
        return {name: tensor.to(reward.device) for name, tensor in batch.items()}

    def numbers(compute: Callable[[], Any]) -> np.ndarray:
        with torch.inference_mode():
            values: np.ndarray = compute().float().cpu().numpy()
        return values[:, 0]

    right = numbers(lambda: net(**logits(left=False)))
    if contract.pooling == "native":
        yield DoctorCheck("padding side", "ok", "Texts are padded on the right, always, as the architecture wants it.")
    else:
        left = numbers(lambda: net(**logits(left=True)))
        yield _compared("padding side", "Padded on the left and on the right", right, left, tolerance)
    if contract.pooling != "last":
        return
    batch = {name: tensor for name, tensor in logits(left=False).items() if name not in ("row", "column")}
    plain = numbers(lambda: net.classifier(**batch).logits)
    ends = {sequence.ids[-1] for sequence in tokens}
    check = _compared("plain Transformers", "Read by Transformers alone", right, plain, tolerance, otherwise="warning")
    if check.verdict == "warning" and contract.pad_token_id in (reward.tokenizer.eos_token_id, *ends):
        token = reward.tokenizer.convert_ids_to_tokens(contract.pad_token_id)
        message = (
            f"The padding token {token} also ends texts: of a padded text, Transformers alone reads another token than "
            f"its last, which Guerdon reads; scores differ by up to {check.difference or 0:.2g}."
        )
        check = replace(check, message=message)
    yield check


def _training(scorer: Scorer) -> Iterator[DoctorCheck]:
    folder = getattr(scorer, "folder", None)
    if not isinstance(folder, Path):
        return
    known = read_training_prompts(folder)
    if known is None:
        message = "Not recorded: an evaluation cannot say whether the model has seen its rows."
        yield DoctorCheck("training prompts", "warning", message)
    else:
        yield DoctorCheck("training prompts", "ok", f"{known.count:,} prompts of the training data are known by hash.")
