"""A language model as a policy.

model.py     a policy by name: encoding, sampling, saving
decode.py    sampling token by token, for many responses at once
logps.py     responses cut into batches, the prompt of a group once
net.py       a causal language model as what is trained: batches to log-probabilities
endpoint.py  a policy behind an OpenAI-compatible endpoint
"""
