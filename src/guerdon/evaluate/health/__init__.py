"""What `guerdon doctor` looks at: each check a row of a table, in modules by what they look at.

`stability` asks any scorer again and again; `reading` looks at texts on their way to tokens, `network` at tokens on
their way to a score, `keeping` at what lies in the folder. `patient` has what they share.
"""
