"""Training from files to files: heads on cached features; backbones and classifiers on labels.

    train_model     what `fsar train` does: opens inputs, checks that they belong together, trains
    loop            episodic training as the papers describe it, in one screen
    session         its state: resuming, saving, stopping, progress
    optim           optimizers and learning-rate schedules by name
    on_labels       what `fsar train-backbone` and `fsar train-classifier` do
    tsn             the training of a small backbone

An optimizer is one entry of `optim.OPTIMIZERS`, and its name one value of `TrainingSpec.optimizer`.
The losses of a head are its own: `HeadOutput.losses` are added to the loss of the episodes.
"""
