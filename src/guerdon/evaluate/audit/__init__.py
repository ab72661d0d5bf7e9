"""What a reward is really made of, and what is wrong with the labels that it learns from."""
