"""RL fine-tuning of a language model by a reward, on RLlib.

The mathematics, functions of tensors and token ids; no RLlib:
algorithms.py   PPO, RLOO, REINFORCE++, GRPO and its kin: one table over one learner
objective.py    a step's samples to advantages, and to the loss of a micro-batch
shaping.py      what the scorer said to what the policy is told
update.py       the update of a policy by those, on any number of learners, and figures of it

The loop, one RLlib class each:
env.py          text as an environment
module.py       the policy
runner.py       samples
learner.py      learns
loop.py         one step of all these
run.py          a run: checkpoints, figures, the policy at its end
"""
