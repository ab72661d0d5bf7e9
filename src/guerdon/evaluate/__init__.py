"""Agreement of rewards with people, always beside trivial baselines and with intervals.

`result_tables` turns rows into arrays, `systems` asks scorers and comparers, `statistics` measures and resamples,
`agreement` joins them; `baselines` are what to beat, `results` what was found, `figure` its picture. `doctor` looks at
a reward, with the checks of `health`.
"""
