"""Reinforcement learning of a language model from a reward.

The mathematics, functions of tensors and token ids:
algorithms.py    PPO, RLOO, REINFORCE++, GRPO and its kin: one table over one learner
objective.py     a step's trajectories to advantages, and to the loss of a micro-batch
update.py        the update of a policy by those, on any number of learners

What is learnt from:
environment.py   the protocol of an environment, and prompts with a scorer as one
trajectories.py  a policy acting in an environment
shaping.py       the environment's rewards to those that are learnt from

A run:
config.py        its options
workers.py       the learner and the runner of this process, which share one policy
actors.py        learners and runners as Ray actors; the only module that imports Ray
run.py           train_rl_policy: steps, evaluations, checkpoints, the policy at the end
"""
