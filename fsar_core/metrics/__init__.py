"""Metrics: what compares the query clips of an episode with the support clips of each class.

Configurations call this kind of component `matching`. `prototype`, `bimhm` and `otam` compare the
frames of clips by their cosines, `trx` and `sca` attend to frame tuples and patches, `global_local`
adds the cosine of global tokens to another metric.

To add a metric, add `metrics/name.py` with a class of the same name (underscores and case aside)
that derives from `fsar_core.components.metric.Metric` and implements `compare`, and `encode` if
some of the work is done once per clip. The laws in `tests/contract/test_matching.py` then hold for
it.
"""
