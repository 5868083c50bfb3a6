"""SEEM (Zou et al., NeurIPS 2023): instance masks from a frame and a text."""
