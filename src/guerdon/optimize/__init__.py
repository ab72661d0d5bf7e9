"""The reward put to use: best-of-n, training by reward-weighted likelihood, reinforcement learning, monitoring."""
