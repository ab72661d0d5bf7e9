"""The main job in one go: fit what wins by evidence, measure, score, explain, pick better responses, report.

quickstart_run.py    the job step by step, and every file that it leaves
quickstart_config.py its options
workload.py          which rows, and how much of them fits into minutes
evidence.py          the candidates side by side, and what the reward rests on
policy_gain.py       a language model responds to unseen prompts, and the reward picks
worked_examples.py   prompts with their responses in the order of the reward
report_page.py       what the report tells besides the evaluation, and the report as HTML
"""
