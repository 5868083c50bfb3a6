"""Few-shot action recognition from cached features: knows how; `workflow/` says what, `config.yaml` where and how much."""

__version__ = "0.1.0"
