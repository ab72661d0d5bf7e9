"""Rewards by rule: what can be checked, and what a trained model must beat before anyone should believe it."""

from guerdon.rewards.rules.answers import ExactAnswer, NumericAnswer
from guerdon.rewards.rules.code import UnitTests
from guerdon.rewards.rules.form import LengthWithin, Matches
from guerdon.rewards.rules.length import LengthReward
from guerdon.rewards.rules.overlap import ChrF

__all__ = ["ChrF", "ExactAnswer", "LengthReward", "LengthWithin", "Matches", "NumericAnswer", "UnitTests"]
