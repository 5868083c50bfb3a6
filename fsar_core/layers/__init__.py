"""Building blocks that several components share: attention, transformers, positions, motion, adapters."""
