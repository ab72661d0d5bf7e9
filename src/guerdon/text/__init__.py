"""From chat messages to text to tokens, once for every room above.

messages.py    chat messages from what people and APIs have
chat.py        messages through the chat template of a tokenizer
sentences.py   a text cut into sentences
"""
