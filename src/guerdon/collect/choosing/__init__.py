"""What to ask next: rules that choose tasks, the reward that they go by, and whether choosing pays."""
