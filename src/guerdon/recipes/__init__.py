"""Applications: one way from judgements to better picks, and one row of a table for each application.

table.py     the applications: what is read, with which objective, and by which yardstick
choices.py   data as choices: a prompt, its candidates, and what each is worth to people or to tests
mutants.py   candidates for code: documented mutations of a solution that is right
policy.py    answers of a language model to held-out prompts, and what picking among them gains
run.py       split, train, pick, and measure beside baselines
"""
