"""The reward put to use: better answers from a language model.

candidates.py   several responses to each prompt, sampled by a policy
best_of_n.py    the best of them by a reward, what that gains, and what it leaves to train on
best_of_n_run.py   such a run from names to files; best_of_n_config.py its options
prompts.py      which prompts a run samples responses to, in which order
weighted.py     training by reward-weighted likelihood; weighted_config.py its options
monitor.py      watching a policy while it is optimised
rl/             reinforcement learning
"""
