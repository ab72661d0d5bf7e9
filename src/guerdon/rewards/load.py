"""How a scorer is named, and how a name becomes a `Scorer`."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from guerdon.errors import ConfigError, ModelError
from guerdon.models import lasting_name, local_folder
from guerdon.rewards.comparing import AmongCandidates, BothOrders
from guerdon.rewards.rules import ChrF, ExactAnswer, LengthReward, NumericAnswer, UnitTests
from guerdon.rewards.sandbox import sandbox_command
from guerdon.rewards.saved import FILE_NAME, load_saved, read_card
from guerdon.rewards.user_objects import user_object
from guerdon.types import Comparer, Dtype, Overlong, Scorer

RULES: dict[str, Scorer] = {
    **{rule.name: rule for log in (False, True) for rule in (LengthReward(+1, log), LengthReward(-1, log))},
    "exact": ExactAnswer(),
    "numeric": NumericAnswer(),
    "unit-tests": UnitTests(),
    "chrf": ChrF(),
}
"""Scorers that need no weights, by name; all but those of length read references."""
TFIDF = "tfidf:"
SEARCH = "bm25:"
RUBRIC = "rubric:"
EARLY = "early:"
_DEVICE = re.compile(r"[a-z]+(:\d+)?")


@dataclass(frozen=True, kw_only=True)
class ScorerConfig:
    """Which scorer, where it computes, and what it may do: the same object in Python, on the command line and in Ray.

    Example:
        >>> ScorerConfig(name="runs/helpful", device="cuda:1").load().score([prompt], [response])
    """

    name: str
    """A folder with a saved reward, of Guerdon or of another trainer, or a hub name; a rule (longest, shortest,
    exact, numeric, unit-tests, chrf); `cosine` or `cosine:ENCODER`, how near the response is to the prompt for a frozen
    encoder; `likelihood:POLICY`, the mean log-probability of the response under a language model;
    `implicit:POLICY@REFERENCE`, the implicit reward of a DPO-trained policy; `tfidf:DATA`, a bag of words that is
    fitted on judgements when it is loaded; `bm25:DATA`, how well words of the response match the prompt's, with the
    word counts of the responses of DATA; `early:FOLDER`, what `guerdon judge` wrote, as the judge that
    stops reading early and only compares; `rubric:FILE.toml`, a language model behind an endpoint that judges by a
    rubric; `verdict:POLICY`, which of two responses a language model says is better, by the logits of its verdict in
    both orders, or `verdict:POLICY@VOTES`, by so many sampled answers in each order; or `module:object`, a `Scorer`, a
    callable without arguments that makes one, or a reward function as TRL, verl and OpenRLHF take them."""
    device: str | None = None
    """Device of the reward: cpu, cuda, cuda:1, mps ...; None takes a GPU where there is one."""
    dtype: Dtype = "auto"
    """Precision of the weights; auto is bfloat16 on a GPU and float32 elsewhere."""
    overlong: Overlong = "auto"
    """What happens to texts that are longer than the model reads. cut: the prompt is cut from its left, then the
    response at its end, and both are counted. error: the text is refused. auto: as cut, but a data set is refused when
    more than 5% of its responses would be cut."""
    output: str | None = None
    """Of a model with several outputs, what is the reward: the name of one, its number, counted from 0, or weights of
    their sum: 0.7,0.3 (one for each) or helpful=1,verbose=-0.2; of a process reward, how the scores
    of steps become one: min, product, mean, last ... A saved contract may say it as well."""
    trust_remote_code: bool = False
    """Run code that comes with the model; only for models you trust."""
    unsafe_sandbox: bool = False
    """Let unit-tests run generated code where the machine has no sandbox: the code then does what it likes."""

    def __post_init__(self) -> None:
        """Raises ConfigError with every fault found."""
        faults = []
        if not self.name:
            faults.append("a scorer needs a name")
        if self.device is not None and not _DEVICE.fullmatch(self.device):
            faults.append(f"--device must be like cpu, cuda or cuda:1, got {self.device!r}")
        for option, allowed in (("dtype", get_args(Dtype)), ("overlong", get_args(Overlong))):
            if getattr(self, option) not in allowed:
                faults.append(f"--{option} must be one of {', '.join(allowed)}; got {getattr(self, option)!r}")
        if faults:
            raise ConfigError("; ".join(faults))

    def load(self) -> Scorer:
        """Loads the scorer; see `load_scorer` for what it raises."""
        return self._scorer(self._named())

    def load_system(self) -> Scorer | Comparer:
        """Loads what an evaluation measures: a scorer, or a `Comparer` that the name means."""
        found = self._named()
        return found if isinstance(found, Comparer) and not isinstance(found, Scorer) else self._scorer(found)

    def load_picker(self, *, logit: bool = False) -> Scorer:
        """Loads what picks among the candidates of a prompt: a scorer, or what only compares as `AmongCandidates`."""
        found = self.load_system()
        if isinstance(found, Scorer):
            return found
        kind, _, path = self.name.partition(":")
        lasting = f"{kind}:{Path(path).expanduser().resolve()}" if f"{kind}:" in (EARLY, RUBRIC) else self.name
        if isinstance(found, BothOrders) and kind != "rubric":
            lasting = found.name
        return AmongCandidates(found, logit=logit, name=lasting)

    def _scorer(self, found: object) -> Scorer:
        if not isinstance(found, Scorer):
            only = ", it only compares" if isinstance(found, Comparer) else ""
            kind = type(found).__name__
            raise ModelError(f"{self.name!r} is a {kind}, not a Scorer: it has no score() method{only}")
        return found

    def _named(self) -> object:
        """The scorer that the name means."""
        if self.name in RULES or ":" in self.name or self.name == "cosine":
            named = Path(self.name).expanduser().exists() and self.name not in RULES
            if not named:
                self._refuse_output()
        if self.name == "unit-tests":
            sandbox_command(self.unsafe_sandbox)  # now, and not after hours of sampling
            return UnitTests(unsafe=self.unsafe_sandbox)
        if self.name in RULES:
            return RULES[self.name]
        if (frozen := self._frozen()) is not None:
            return frozen
        if self.name.startswith(EARLY):
            from guerdon.rewards.early_judge import EarlyJudge

            folder = Path(self.name.removeprefix(EARLY)).expanduser()
            return EarlyJudge.load(folder, device=self.device, trust_remote_code=self.trust_remote_code)
        if self.name.startswith(RUBRIC):
            from guerdon.rewards.rubric_judge import load_judge

            return load_judge(Path(self.name.removeprefix(RUBRIC)))
        if self.name.startswith(SEARCH):
            from guerdon.data.candidates import all_candidates
            from guerdon.rewards.bm25 import Bm25Reward

            every = all_candidates(self.name.removeprefix(SEARCH))
            return Bm25Reward.fit(text for found in every for text in found.candidates.responses)
        if self.name.startswith(TFIDF):
            from guerdon.data.read import load_rows
            from guerdon.rewards.terms import fit_tfidf

            return fit_tfidf(load_rows(self.name.removeprefix(TFIDF)))
        if ":" in self.name and not Path(self.name).expanduser().exists():
            return user_object(self.name)
        options = {name: getattr(self, name) for name in ("device", "dtype", "overlong", "trust_remote_code")}
        # log-longest and log-shortest order as longest and shortest do: only blends need them.
        folder = local_folder(self.name, also=[rule for rule in RULES if not rule.startswith("log-")])
        if (folder / FILE_NAME).exists() and read_card(folder)["kind"] != "transformer":
            self._refuse_output()
            return load_saved(folder, **options)
        from guerdon.rewards.transformer import TransformerReward

        return TransformerReward.load(self.name, output=self.output, **options)

    def _refuse_output(self) -> None:
        if self.output is not None:
            raise ConfigError(f"--output {self.output} chooses among the outputs of one model; {self.name} has none")

    def _frozen(self) -> Scorer | Comparer | None:
        """The scorer on a frozen model that the name means, if it means one."""
        kind, _, model = self.name.partition(":")
        place = self.device, self.trust_remote_code
        if kind == "cosine":
            from guerdon.rewards.embedding import DEFAULT_ENCODER, CosineReward, text_encoder

            return CosineReward(text_encoder(model or DEFAULT_ENCODER, *place))
        if kind == "likelihood" and model:
            from guerdon.rewards.likelihood import LikelihoodReward, frozen_policy

            return LikelihoodReward(frozen_policy(model, *place), model)
        if kind == "verdict" and model:
            from guerdon.rewards.verdict_judge import named_judge

            return named_judge(model, *place)
        if kind == "implicit" and "@" in model:
            from guerdon.rewards.likelihood import ImplicitReward, frozen_policy

            trained, _, reference = model.rpartition("@")
            name = f"implicit:{lasting_name(trained)}@{lasting_name(reference)}"
            return ImplicitReward(frozen_policy(trained, *place), frozen_policy(reference, *place), name=name)
        return None


def load_scorer(name: str | Path | ScorerConfig, **options: Any) -> Scorer:
    """Loads whatever gives a reward.

    Example:
        >>> load_scorer("longest").score(["How long?"], ["Eight minutes."]).tolist()
        [14.0]

    Args:
        name: what `ScorerConfig.name` takes, or a whole `ScorerConfig`.
        **options: other fields of `ScorerConfig`.

    Raises:
        DataError: nothing can be learned from the data of `tfidf:DATA`.
        ConfigError: options that do not fit; with every fault.
        ModelError: not found, or not a reward model.
        ContractError: a saved model that does not keep its contract.
    """
    if isinstance(name, ScorerConfig):
        return dataclasses.replace(name, **options).load()
    return ScorerConfig(name=str(name), **options).load()


def load_picker(given: Scorer | Comparer | ScorerConfig | str | Path) -> Scorer:
    """What picks among the candidates of a prompt: as `load_scorer`, and what only compares as its mean win rate."""
    if isinstance(given, ScorerConfig | str | Path):
        return (given if isinstance(given, ScorerConfig) else ScorerConfig(name=str(given))).load_picker()
    return given if isinstance(given, Scorer) else AmongCandidates(given)
