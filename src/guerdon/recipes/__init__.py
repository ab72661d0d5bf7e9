"""Applications: one way from judgements to better picks, and one row of a table for each application.

applications.py       the table: how its data is read, and what a pick is worth
readers.py            data as candidates whose scores no model had a hand in
code_mutations.py     candidates for code: documented mutations of a solution that is right
recipe_config.py      its options
job_events.py         what it tells while it works, as the quickstart does
recipe_run.py         split, train, pick, and measure beside baselines
policy_responses.py   responses of a language model to held-out prompts, and what picking among them gains
"""
