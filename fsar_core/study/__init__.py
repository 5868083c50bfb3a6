"""From one configuration to everything that has to be made for it. Torch-free.

study.py        Study: the configuration, with its data sets, tables and figures
specs.py        the specs of stores, episodes, models and runs
weights.py      files of weights, and the names by which specs know them
experiments.py  the runs behind tables and figures
paths.py        where each artifact is kept
checks/         what can be checked before any job starts
artifacts/      the graph of all artifacts, one module for each kind
"""

from fsar_core.study.study import Study

__all__ = ["Study"]
