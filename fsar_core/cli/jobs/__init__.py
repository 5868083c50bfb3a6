"""Verbs that the rules of the workflow call, one module each, built like those of `fsar_core.cli`.

What a verb calls is named like it: `fsar train` calls `training.train_model`, `fsar evaluate` calls
`evaluation.evaluate_run`, and `plan`, `fill` and `seal` are in `stores.jobs`.
"""
