"""Agreement of rewards with people, always beside trivial baselines and with intervals.

`tables` turns rows into arrays, `agreement` measures, `baselines` are what to beat, `results` is what was found.
"""
