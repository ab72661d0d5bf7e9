"""What `guerdon doctor` looks at: each check a row of a table, in modules by what they look at.

`stability` asks any scorer again and again, `judging` what only compares; `reading` looks at texts on their way to
tokens, `network` at tokens on their way to a score, `keeping` at the folder. `patient` has what they share.
"""
