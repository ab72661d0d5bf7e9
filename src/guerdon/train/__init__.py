"""Training a reward model: rows become judgements (`examples`), those become steps (`plan`), and a loss (`objective`)."""
