"""The main job in one go: train, measure, score, explain, pick better responses, report.

quickstart_run.py    the job step by step, and every file that it leaves
quickstart_config.py its options
workload.py          which rows, which backbone, and how much of both fits into minutes
policy_gain.py       a language model responds to unseen prompts, and the reward picks
worked_examples.py   prompts with their responses in the order of the reward
report_page.py       what the report tells besides the evaluation, and the report as HTML
"""
