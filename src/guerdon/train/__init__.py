"""Training a reward model: rows to judgements (`examples`), to steps (`plan`), to a loss (`objective`)."""
