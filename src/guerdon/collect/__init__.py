"""Judgements from people, in a browser: the store, the app, who may do what, and rows out."""
