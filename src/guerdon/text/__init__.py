"""From chat messages to text to tokens, once for every room above.

messages.py    chat messages from what people and APIs have
chat.py        messages through the chat template of a tokenizer, and where the response stands
vocabulary.py  how much of a text a tokenizer does not know
sentences.py   a text cut into sentences
"""
