"""A reward model on a Transformers classifier with one label: the article's first snippet, with Guerdon's training.

    python examples/reward_with_transformers.py

What is saved is a model of Transformers as any other: `AutoModelForSequenceClassification` reads it, with equal scores.
"""

from __future__ import annotations

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import guerdon

MODEL = "distilbert/distilbert-base-uncased"
DATA = "starter:train:en"
OUT = "runs/transformers"
QUESTION, GOOD, POOR = "How long does an egg take?", "Eight minutes in boiling water.", "I do not know."


def main() -> None:
    """Trains, loads the folder with Transformers alone, and scores two responses."""
    guerdon.train_reward_model(DATA, OUT, guerdon.TrainConfig(backbone=MODEL, epochs=1, validation=0))

    tokenizer = AutoTokenizer.from_pretrained(OUT)
    model = AutoModelForSequenceClassification.from_pretrained(OUT, num_labels=1).eval()
    with torch.no_grad():
        for response in (GOOD, POOR):
            batch = tokenizer(QUESTION, response, return_tensors="pt")
            reward = model(**batch).logits[0, 0].item()
            (same,) = guerdon.load_scorer(OUT).score([QUESTION], [response])
            print(f"{reward:+.4f} by Transformers, {same:+.4f} by Guerdon: {response}")


if __name__ == "__main__":
    main()
