"""Training a reward model.

config.py               how to train
examples.py, plan.py    rows to judgements over a table of texts; judgements to optimiser steps and micro-batches
objective.py            the loss of a micro-batch, by the formulas of `guerdon.losses`
trainee.py              what is trained, and the steps that it is trained on
stepwise.py             the loop, on `transformers.Trainer`; also used to train policies
callbacks.py            what is written down meanwhile
negatives.py            generated texts for references to beat
prepare.py, run.py      all of it in order; folder.py and ranks.py keep runs and processes apart
"""
