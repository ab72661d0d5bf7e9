"""What gives a reward: trained transformers and ensembles of them, rules, baselines."""
