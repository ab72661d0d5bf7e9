"""The reward put to use: better answers from a language model.

candidates.py   several answers to each prompt: sampled, from an endpoint, or from a file
best_of_n.py    the best of them by a reward, what that gains, and what it leaves to train on
config.py       how a policy is trained
weighted.py     training by reward-weighted likelihood
rl/             reinforcement learning
"""
