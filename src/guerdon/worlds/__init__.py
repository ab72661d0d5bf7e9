"""Text games: a world with a true score, in which a reward that was learnt from preferences can be put to the test."""
