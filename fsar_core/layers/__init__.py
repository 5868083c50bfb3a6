"""Building blocks that several components share.

    transformer              pre-norm blocks on tokens, with and without positions
    vision_transformer       the blocks of CLIP's image tower, as stages of a backbone
    adapters                 bottlenecks between the frozen blocks of a backbone's tail
    motion                   differences of neighboring frames, and attention guided by them
    motion_guided_attention  S-MGA, C-MGA and the mixer of DMGAL
    joint_attention          attention over images and instances, of I2ST
    instance_perception      instance embeddings and the masks they predict, of I2ST and IPM
    temporal_masking         hiding frames and rebuilding them, of SGTM
    frame_classifier         class scores of frames, and their actionness
    distances                cosine distances of frames, attended prototypes, merging of shots
    positions, sizes         sinusoidal positions; relations between sizes

A block takes plain arguments and is no component: nothing chooses it by name. Its parameter names
are part of saved checkpoints, and so is the order in which it draws initial weights. A block that
only one component needs stays in that component's file, unless the file grows too long to read.
"""
