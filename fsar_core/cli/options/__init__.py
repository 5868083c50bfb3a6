"""Options that several verbs share, and the objects that they describe."""
