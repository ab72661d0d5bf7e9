"""RL fine-tuning of a language model by a reward.

algorithms.py   PPO, RLOO, REINFORCE++, GRPO and its kin: one table over one learner
objective.py    a step's samples to advantages, and to the loss of a micro-batch
update.py       the update of a policy by those, and figures of it
"""
