"""Frame saliency: training the classifier Φ_cls of SGTM, and scoring frames with it.

The network itself is `fsar_core/layers/frame_classifier.py`, because SGTM's head contains one too.
"""
