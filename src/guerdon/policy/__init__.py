"""A language model that answers."""
