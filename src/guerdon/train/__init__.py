"""Training a reward model.

config.py       the options
run.py          all of it in order: rows to a saved reward model
judgements.py   rows to judgements over a table of texts
negatives.py    generated texts for references to beat
plan.py         judgements to optimiser steps
batches.py      steps to micro-batches: tokens within a budget, and what is known of them
trainee.py      what is trained, and the loss of a micro-batch by the formulas of `guerdon.losses`

The loop that takes the steps is `guerdon.runs.loop`; policies are trained by it as well.
"""
