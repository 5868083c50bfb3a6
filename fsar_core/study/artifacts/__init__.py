"""The artifact graph: everything that the pipeline makes, from what, and by which jobs.

`base.py` describes an artifact, `graph.py` connects them; every other module is one kind. Rules,
`fsar cost`, `status`, `clean`, `verify`, `show` and the report read this graph.
"""
