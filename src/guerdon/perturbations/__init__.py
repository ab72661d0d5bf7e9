"""Changes of a response that move one thing alone: what a bias is measured by, and what training can be shown.

`table.PERTURBATIONS` has them all, with what each does and whether people would prefer the result.
"""
