"""The command line: a module for each verb that people type. Verbs that rules call are in `jobs`.

A module `verb.py` defines `arguments(parser)` and `run(args)` and is known by being there; an
underscore in its name is a hyphen on the command line. The first paragraph of its docstring is what
`fsar --help` says of it. `options` holds what several verbs share.

A verb parses its options, with `type=place` for paths that may lie in a bucket, calls one function
of the library, and prints what it returns. Logic belongs to the library, where it can be tested and
called from Python.
"""
