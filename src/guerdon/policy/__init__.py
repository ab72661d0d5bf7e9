"""A language model that answers.

model.py     a policy by name: rendering, answers
decode.py    sampling token by token, for many answers at once
logps.py     log-probabilities of answers, with gradient
endpoint.py  a policy behind an OpenAI-compatible endpoint
"""
