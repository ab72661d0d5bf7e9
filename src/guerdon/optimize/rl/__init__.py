"""Reinforcement learning of a language model from a reward; CONTRIBUTING tells the way of a prompt through it."""
