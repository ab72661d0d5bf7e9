"""A language model as a policy: one on this machine, one behind an endpoint, and one in training."""
