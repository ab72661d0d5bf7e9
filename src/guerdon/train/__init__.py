"""Training a reward model: rows become judgements (`examples`), judgements steps (`plan`), steps losses (`objective`)."""
