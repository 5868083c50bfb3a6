"""Global-local: a frame-level metric on the frames plus the cosine of the global tokens, which lie before the frames.

Source: Qian et al., "Joint Image-Instance Spatial-Temporal Attention for Few-shot Action Recognition" (I2ST), Eq. 6,
    section 4.1.2 and Table 5: D = M(frames of the class, frames of the query) + cosine(token, token), with M = Bi-MHM and,
    for more than one shot, the averaged prototype (tokens are averaged like frames). "L" of Table 5 is `global_=False`.
Differs: M is a similarity, the logits that the local metric returns (the negative of a distance), because both terms have
    to grow with likeness; the paper's Bi-MHM is a distance. The text calls the sum a weighted average and gives no
    weights: none here, and the local term is the sum over frames that the metric returns, as in all public code of its
    kind. `scale="mean"` divides it by the 2 * frames minima that Bi-MHM adds, so that both terms have a like range.
Differs: the cosine has eps like all cosines here.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from einops import reduce

from fsar_core.components.metric import Metric
from fsar_core.components.parameters import Positive, PositiveInt, Shots
from fsar_core.components.registry import accepted, build, entry, having
from fsar_core.errors import FsarError
from fsar_core.layers.distances import cosine_distances, merge_shots
from fsar_core.types import FrameQuery, FrameSupport, Logits


class GlobalLocal(Metric):
    """Local metric on the frames and cosine of the token before them.

    Args:
        local: name of the metric that compares the frames, any of this folder that takes frames; None compares the
            tokens alone.
        local_params: its parameters, as far as they differ from its defaults.
        global_: with the cosine of the tokens, or without: then the token is left aside.
        scale: "sum" takes the local logits as they are, "mean" divides them by 2 * frames (Bi-MHM and OTAM, which are
            sums over the frames of both clips).
        cosine_eps: of the cosine of the tokens, added to the product of norms, > 0.
        shots: "prototype" averages frames and tokens over a class, so that the local metric sees one shot; "distance"
            leaves the clips apart, averages the cosines, and the local metric merges the shots as it does alone.
        dim: channels of the features, given to the local metrics that need it.
        frames: frames of a clip, the token not counted; likewise.
    """

    global_tokens = 1
    subcomponents: ClassVar = {"local": "matching"}

    def __init__(
        self,
        local: str | None = "bimhm",
        local_params: dict[str, Any] | None = None,
        global_: bool = True,
        scale: Literal["sum", "mean"] = "sum",
        cosine_eps: Positive = 0.01,
        shots: Shots = "prototype",
        dim: PositiveInt | None = None,
        frames: PositiveInt = 8,
    ) -> None:
        super().__init__()
        if local is None and not global_:
            raise FsarError(
                "global_local: local=None with global_=False leaves nothing to compare; set one of them"
            )
        if local is None and local_params:
            raise FsarError("global_local: local_params without a local metric; set local")
        sums = local is not None and entry("matching", local).attributes["sums_frames"]
        if scale == "mean" and not sums:
            raise FsarError(
                f"global_local: scale='mean' needs a local metric that sums over frames: "
                f"{', '.join(having('matching', 'sums_frames'))}"
            )
        self.global_, self.scale, self.cosine_eps, self.shots = global_, scale, cosine_eps, shots
        self.local = (
            None if local is None else _local_metric(local, dict(local_params or {}), dim, frames)
        )

    def check(self, support: FrameSupport, query: FrameQuery) -> None:
        """Raise FsarError if the shapes disagree or there is no frame after the global token."""
        super().check(support, query)
        if self.local is not None and query.shape[2] < 2:
            raise FsarError(
                f"global_local: needs a global token and at least one frame, "
                f"got shapes {tuple(support.shape)} and {tuple(query.shape)}"
            )

    def compare(self, support: tuple[FrameSupport], query: tuple[FrameQuery]) -> Logits:
        """Return the local logits plus a cosine in -1..1.

        Args:
            support: [batch way shot 1+frames dim], the global token first.
            query: [batch query 1+frames dim], likewise.
        """
        (support,), (query,) = support, query
        support = merge_shots(support, self.shots)
        terms = []
        if self.local is not None:
            local = self.local(support[:, :, :, 1:], query[:, :, 1:])
            terms.append(local / (2 * (query.shape[2] - 1)) if self.scale == "mean" else local)
        if self.global_:
            pairs = cosine_distances(support[:, :, :, :1], query[:, :, :1], self.cosine_eps)
            terms.append(1 - reduce(pairs, "batch query way shot 1 1 -> batch query way", "mean"))
        return sum(terms)


def _local_metric(name: str, params: dict[str, Any], dim: int | None, frames: int) -> Metric:
    # Asked before building: a metric that itself expects a token would take the first frame for it.
    if entry("matching", name).attributes["global_tokens"]:
        raise FsarError(
            f"global_local: local='{name}' expects a global token itself; valid: a metric of frames alone"
        )
    offered = {"frames": frames} if dim is None else {"frames": frames, "dim": dim}
    metric = build("matching", name, **(accepted("matching", name, **offered) | params))
    if metric.spatial:
        raise FsarError(
            f"global_local: local='{name}' compares grids, tokens have none; valid: a metric of frames"
        )
    return metric
