"""A language model that answers.

model.py     a policy by name: rendering, answers
decode.py    sampling token by token, for many answers at once
logps.py     answers cut into batches, the prompt of a group once
net.py       a causal language model as what is trained: batches to log-probabilities
endpoint.py  a policy behind an OpenAI-compatible endpoint
"""
