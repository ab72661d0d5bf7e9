"""The published sets: one table of where each is, how its records are read, and what its authors compute from them.

`NAME` or `NAME:PART` reads a set from the hub, `NAME:FILE` from a file or folder of one's own. A set in columns that
are known already needs no code, only a line.
"""

from __future__ import annotations

import logging
from pathlib import Path

from guerdon import metrics
from guerdon.data import benchmark_layouts as own
from guerdon.data import step_layouts
from guerdon.data.published import PublishedSet
from guerdon.errors import DataError

logger = logging.getLogger(__name__)


def warn_trainer(source: str) -> None:
    """Logs what speaks against training on a source, if it is a published set of which that is known."""
    named = find_set(source)
    if named and named[0].warning:
        logger.warning("%s: %s", named[0].title, named[0].warning)


def find_set(source: str) -> tuple[PublishedSet, str] | None:
    """The published set that a source names, and the part or path behind it; None for any other source.

    Raises:
        DataError: it has no such part, and there is no such file.
    """
    name, _, part = str(source).partition(":")
    if name not in SETS:
        return None
    found = SETS[name]
    if part and part not in found.parts and not Path(part).exists():
        parts = f"its parts are {', '.join(found.parts)}" if len(found.parts) > 1 else "it has one part"
        raise DataError(f"{source}: {found.title} has no part {part!r} ({parts}), and there is no file of that name")
    return found, part


def _parts(name: str, *splits: str) -> dict[str, str]:
    return {split: f"{name}:{split}" for split in splits}


_LANGUAGES = (
    "arb_Arab ces_Latn deu_Latn ell_Grek fra_Latn heb_Hebr hin_Deva ind_Latn ita_Latn jpn_Jpan kor_Hang nld_Latn "
    "pes_Arab pol_Latn por_Latn ron_Latn rus_Cyrl spa_Latn tur_Latn ukr_Cyrl vie_Latn zho_Hans zho_Hant"
)
_MULTILINGUAL = "CohereLabsCommunity/multilingual-reward-bench"
_EVALUATION_ONLY = "It is meant for evaluation alone: do not train on it"
_UNVERIFIED = "Its columns were not seen, only described to us; a row that is read wrongly is a fault of ours."
_PPE_BEST_OF = "MMLU-Pro", "MATH", "GPQA", "IFEval", "MBPP-Plus"

SETS: dict[str, PublishedSet] = {
    each.name: each
    for each in (
        PublishedSet(
            name="rewardbench",
            title="RewardBench",
            about="chosen and rejected responses in 23 subsets: chat, safety, reasoning",
            parts=_parts("allenai/reward-bench", "filtered"),
            formula=metrics.rewardbench,
            warning=_EVALUATION_ONLY,
        ),
        PublishedSet(
            name="rewardbench-prior",
            title="RewardBench, prior sets",
            about="test sets that RewardBench took over: Anthropic, MT-Bench, SHP, summaries",
            parts=_parts(
                "allenai/preference-test-sets", "anthropic_harmless", "anthropic_helpful", "anthropic_hhh",
                "mtbench_gpt4", "mtbench_human", "shp", "summarize",
            ),
            formula=metrics.beats_all,
        ),
        PublishedSet(
            name="rewardbench2",
            title="RewardBench 2",
            about="one right response among four in five subsets, and ties among many right ones",
            parts=_parts("allenai/reward-bench-2", "test"),
            read=own.rewardbench2,
            formula=metrics.rewardbench2,
            warning=_EVALUATION_ONLY,
        ),
        PublishedSet(
            name="rm-bench",
            title="RM-Bench",
            about="three styles of a right response against three styles of a wrong one",
            parts=_parts("THU-KEG/RM-Bench", "train"),
            file="data/total_dataset.json of github.com/THU-KEG/RM-Bench",
            read=own.rm_bench,
            formula=metrics.rm_bench,
            notes=("The files of single domains have no column `domain`: without it there is no score of a domain.",),
        ),
        PublishedSet(
            name="judgebench",
            title="JudgeBench",
            about="a right and a wrong answer of one model to hard questions",
            parts=_parts("ScalerLab/JudgeBench", "gpt", "claude"),
            file="a file of data/ of github.com/ScalerLab/JudgeBench",
            read=own.labelled_pair,
            formula=metrics.judgebench,
            notes=("The published table has the 350 pairs of GPT-4o: judgebench:gpt.",),
        ),
        PublishedSet(
            name="llmbar",
            title="LLMBar",
            about="which of two outputs follows the instruction; four of five sets are adversarial",
            parts=dict.fromkeys(("Natural", "Neighbor", "GPTInst", "GPTOut", "Manual"), ""),
            file="Dataset/LLMBar of github.com/princeton-nlp/LLMBar",
            files="dataset.json",
            read=own.llmbar,
            formula=metrics.llmbar,
        ),
        PublishedSet(
            name="ppe-human",
            title="PPE, human preferences",
            about="votes of people in the Chatbot Arena",
            parts=_parts("lmarena-ai/PPE-Human-Preference-V1", "test"),
            read=own.ppe_human,
            formula=metrics.ppe_human,
            notes=("PPE's separability and its agreement over models are not computed.",),
            warning=_EVALUATION_ONLY,
        ),
        *(
            PublishedSet(
                name=f"ppe-{one.lower()}",
                title=f"PPE, {one}",
                about="32 responses of a model, each known to be right or wrong",
                parts=_parts(f"lmarena-ai/PPE-{one}-Best-of-K", "train"),
                read=own.ppe_correctness,
                formula=metrics.ppe_correctness,
                notes=("Accuracy takes all pairs of a right and a wrong response; PPE draws some of them.",),
                warning=_EVALUATION_ONLY,
            )
            for one in _PPE_BEST_OF
        ),
        PublishedSet(
            name="rmb-pairs",
            title="RMB, pairs",
            about="helpful and harmless responses in 49 scenarios, two at a time",
            file="RMB_dataset/Pairwise_set of github.com/Zhou-Zoey/RMB-Reward-Model-Benchmark",
            read=own.rmb_pair,
            formula=metrics.beats_all,
        ),
        PublishedSet(
            name="rmb-best-of-n",
            title="RMB, best of n",
            about="helpful and harmless responses in 49 scenarios: the best must beat all others",
            file="RMB_dataset/BoN_set of github.com/Zhou-Zoey/RMB-Reward-Model-Benchmark",
            read=own.rmb_best_of_n,
            formula=metrics.beats_all,
        ),
        PublishedSet(
            name="rewardmath",
            title="RewardMATH",
            about="one right and nine wrong solutions of each of 483 problems",
            parts=_parts("RewardMATH/RewardMATH", "train"),
            file="dataset/benchmark/RewardMATH_direct.json of github.com/kimsh0507/RewardMATH_official (20 solutions)",
            joined=("problem_id",),
            join=own.reward_math,
            formula=metrics.rewardmath,
        ),
        PublishedSet(
            name="summeval",
            title="SummEval",
            about="summaries of 16 systems, rated by three experts in four attributes",
            file="model_annotations.aligned.paired.jsonl, which its pair_data.py makes with the articles",
            read=own.summ_eval,
            formula=metrics.system_accuracy,
            notes=("Ratings are the mean of the experts; those of crowd workers are not used.",),
        ),
        PublishedSet(
            name="wmt-mqm",
            title="WMT, MQM",
            about="errors that translators marked in machine translations",
            file="a file mqm_*.tsv of github.com/google/wmt-mqm-human-evaluation",
            joined=("system", "doc", "doc_id", "seg_id"),
            join=own.mqm,
            files="mqm_*_????.tsv",
            quoted=False,
            formula=metrics.system_accuracy,
            notes=("The rating is minus the cost of the errors; accuracy with ties is WMT's segment accuracy.",),
        ),
        PublishedSet(
            name="helpsteer2",
            title="HelpSteer2, ratings",
            about="responses rated from 0 to 4 in five attributes",
            parts={"validation": "nvidia/HelpSteer2:validation", "train": "nvidia/HelpSteer2:train"},
        ),
        PublishedSet(
            name="helpsteer2-preference",
            title="HelpSteer2, preferences",
            about="two responses, a strength from -3 to 3, and the votes behind it",
            parts={"train": "nvidia/HelpSteer2:preference/:train"},
            read=own.helpsteer_preference,
        ),
        PublishedSet(
            name="helpsteer3",
            title="HelpSteer3, preferences",
            about="two responses in many domains and languages, and a strength from -3 to 3",
            parts={one: f"nvidia/HelpSteer3:preference:{one}" for one in ("validation", "train")},
            read=own.helpsteer_preference,
            notes=(
                "The keys inside individual_preference are not verified: where they are others than `score`, there are "
                "no votes and no human ceiling.",
            ),
        ),
        PublishedSet(
            name="ultrafeedback",
            title="UltraFeedback",
            about="four responses of models, rated by GPT-4",
            parts=_parts("openbmb/UltraFeedback", "train"),
            notes=("The judge is a model; overall scores were repaired on 2023-12-29, take a later copy.",),
        ),
        PublishedSet(
            name="ultrafeedback-binarized",
            title="UltraFeedback, binarized",
            about="the best and another of the four responses of UltraFeedback",
            parts=_parts("HuggingFaceH4/ultrafeedback_binarized", "test_prefs", "train_prefs"),
            notes=("The judge is a model.",),
        ),
        PublishedSet(
            name="skywork-v0.2",
            title="Skywork preferences, v0.2",
            about="77,000 curated comparisons to train on",
            parts=_parts("Skywork/Skywork-Reward-Preference-80K-v0.2", "train"),
        ),
        PublishedSet(
            name="skywork-v0.1",
            title="Skywork preferences, v0.1",
            about="82,000 curated comparisons, some of them of RewardBench",
            parts=_parts("Skywork/Skywork-Reward-Preference-80K-v0.1", "train"),
            warning="It holds prompts of RewardBench, where it cannot be measured what was trained on it. Take v0.2",
        ),
        PublishedSet(
            name="nectar",
            title="Nectar",
            about="seven responses of models, ranked by GPT-4",
            parts=_parts("berkeley-nest/Nectar", "train"),
            notes=("The judge is a model.",),
        ),
        PublishedSet(
            name="m-rewardbench",
            title="M-RewardBench",
            about="RewardBench in 23 languages",
            parts={one: f"{_MULTILINGUAL}:{one}:test" for one in _LANGUAGES.split()},
            formula=metrics.rewardbench,
            notes=("Sections are weighed as in RewardBench.", _UNVERIFIED),
            warning=_EVALUATION_ONLY,
        ),
        PublishedSet(
            name="lmarena-140k",
            title="LMArena, 140k",
            about="votes of people in the arena of 2025",
            parts=_parts("lmarena-ai/arena-human-preference-140k", "train"),
            notes=("`both_bad` counts as a tie.", _UNVERIFIED),
        ),
        PublishedSet(
            name="processbench",
            title="ProcessBench",
            about="solutions in steps, and which is the first wrong one",
            parts=_parts("Qwen/ProcessBench", "gsm8k", "math", "olympiadbench", "omnimath"),
            read=step_layouts.process_bench,
            warning=_EVALUATION_ONLY,
        ),
        PublishedSet(
            name="prm800k",
            title="PRM800K",
            about="solutions of MATH whose steps people rated",
            file="prm800k/data/phase2_test.jsonl of github.com/openai/prm800k (Git LFS)",
            read=step_layouts.prm800k,
            notes=("Neutral steps count as right.",),
        ),
        PublishedSet(
            name="math-shepherd",
            title="Math-Shepherd",
            about="solutions whose steps are labelled by how rollouts from them end",
            parts=_parts("peiyi9979/Math-Shepherd", "train"),
            read=step_layouts.math_shepherd,
            notes=("The labels are those of rollouts, not of people.",),
        ),
    )
}  # fmt: skip
"""Name -> set."""
