"""Training a reward model; CONTRIBUTING tells the way of a comparison through it."""
