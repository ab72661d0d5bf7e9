"""The main job in one go: train, measure, score, explain, pick better responses, report.

run.py               the job step by step, and every file that it leaves
config.py            its options
workload.py          which rows, which backbone, and how much of both fits into minutes
policy_gain.py       a language model responds to unseen prompts, and the reward picks
worked_examples.py   prompts with their responses in the order of the reward
report_data.py       what the report tells besides the evaluation
report_page.py       the report as HTML
"""
