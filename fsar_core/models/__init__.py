"""Models: the tail of a backbone, a head and a metric, assembled from a spec and paths.

    assembly            opens the features of a model and builds it: `open_model`, `Compute`
    episode_model       the model as a network: episodes in, logits and losses out
    losses              the loss of episodic training
    backbone_weights    weights files of backbones, and which training they come from

Training (`fsar_core.training`), tests and figures (`fsar_core.evaluation`) start from `open_model`.
A new head, metric or backbone is a file of its own package; nothing here has to be changed.
"""
