"""What can be checked before any job starts, from configuration, cards and split lists alone.

components.py   names, parameters and combinations of everything that is named
specs.py        specs of artifacts, before their rule runs
figures.py      that what a figure shows exists
"""
