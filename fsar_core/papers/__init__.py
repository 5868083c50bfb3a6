"""Tables, figures and report pages of papers as data: contracts of their kinds, and their YAML.

A kind is one module of `fsar_core.tables`, `fsar_core.figures` or `fsar_core.report`. Its class
derives from `TableKind`, `FigureKind` or `Page` (`kinds`), is found by the name of its file
(`registry`) and declares what it is made from in the vocabulary of `needs`. `models` has the parts
of YAML files that several kinds share, `jobs` what the jobs that make tables and figures are given.
Nothing here imports torch or matplotlib.
"""
