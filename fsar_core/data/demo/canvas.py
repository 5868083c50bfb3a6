"""Anti-aliased drawing of moving shapes, all frames of a clip at once, with exact instance masks.

A shape is a signed distance function: negative inside, in the units of its arguments, so an edge is smoothed over one
pixel by reading the distance in pixels, and no supersampling is needed. Shapes are painted back to front; whatever is
painted last owns the pixel, in the picture and in the mask. Only the patch that a shape can reach is computed, which is
what keeps a clip at a few milliseconds.

World coordinates: the frame's height is 1, x grows to the right and y downwards, the middle of the frame is (0, 0).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

Array = np.ndarray
Shape = Callable[[Array, Array], Array]
MARGIN = 0.12  # how far the background reaches beyond the frame, in heights: room for the camera's jitter


def box(half_width, half_height, corner: float = 0.0) -> Shape:
    """Rectangle around the origin; the half sizes may vary by frame (`[frames 1 1]`)."""

    def distance(x: Array, y: Array) -> Array:
        return (
            np.maximum(np.abs(x) - half_width, np.abs(y) - half_height)
            if not corner
            else _rounded(x, y)
        )

    def _rounded(x: Array, y: Array) -> Array:
        dx, dy = np.abs(x) - (half_width - corner), np.abs(y) - (half_height - corner)
        outside = np.hypot(np.maximum(dx, 0), np.maximum(dy, 0))
        return outside + np.minimum(np.maximum(dx, dy), 0) - corner

    return distance


def ellipse(radius_x, radius_y) -> Shape:
    """Ellipse around the origin; the distance is first order, exact at the edge, which is where it is read."""

    def distance(x: Array, y: Array) -> Array:
        value = np.hypot(x / radius_x, y / radius_y)
        slope = np.hypot(x / radius_x**2, y / radius_y**2) + 1e-6
        return value * (value - 1) / slope

    return distance


def polygon(*points: tuple[float, float]) -> Shape:
    """Convex polygon, its corners given clockwise on the screen."""
    corners = np.asarray(points, np.float32)
    edges = np.roll(corners, -1, axis=0) - corners
    normals = np.stack([edges[:, 1], -edges[:, 0]], axis=1) / np.linalg.norm(
        edges, axis=1, keepdims=True
    )
    offsets = (normals * corners).sum(axis=1)

    def distance(x: Array, y: Array) -> Array:
        sides = (nx * x + ny * y - c for (nx, ny), c in zip(normals, offsets))
        first = next(sides)
        for side in sides:
            first = np.maximum(first, side)
        return first

    return distance


def arc(half_length: float, half_width: float, curvature: Array) -> Shape:
    """A bar of constant length bent to `curvature` (`[frames 1 1]`, 1/units, positive: its ends point upwards)."""
    curvature = np.where(np.abs(curvature) < 0.2, 0.2, curvature)
    radius = 1 / curvature

    def distance(x: Array, y: Array) -> Array:
        along = np.arctan2(x, y + radius) * radius
        return np.maximum(
            np.abs(np.hypot(x, y + radius) - radius) - half_width, np.abs(along) - half_length
        )

    return distance


def regular(sides: int) -> Shape:
    """Regular polygon of circumradius 1, one corner pointing up."""
    angles = 2 * np.pi * np.arange(sides) / sides
    return polygon(*zip(np.sin(angles), -np.cos(angles)))


def union(*shapes: Shape) -> Shape:
    def distance(x: Array, y: Array) -> Array:
        result = shapes[0](x, y)
        for shape in shapes[1:]:
            result = np.minimum(result, shape(x, y))
        return result

    return distance


def without(shape: Shape, hole: Shape) -> Shape:
    """`shape` with `hole` cut out."""
    return lambda x, y: np.maximum(shape(x, y), -hole(x, y))


def moved(shape: Shape, dx: float, dy: float) -> Shape:
    return lambda x, y: shape(x - dx, y - dy)


def _disc(radius: float) -> Shape:
    return lambda x, y: np.hypot(x, y) - radius


def _polar(radius: Callable[[Array], Array]) -> Shape:
    # The factor 0.8 stands for the slope of the outline: a radial distance is longer than the true one.
    return lambda x, y: 0.8 * (np.hypot(x, y) - radius(np.arctan2(x, -y)))


def _star(x: Array, y: Array) -> Array:
    angle = np.abs((np.arctan2(x, -y) + np.pi / 5) % (2 * np.pi / 5) - np.pi / 5)
    length = np.hypot(x, y)
    along, across = length * np.cos(angle), length * np.sin(angle)
    inner = 0.42 * np.array([np.cos(np.pi / 5), np.sin(np.pi / 5)])
    nx, ny = inner[1], 1 - inner[0]
    return ((along - 1) * nx + across * ny) / np.hypot(nx, ny)


def _heart(x: Array, y: Array) -> Array:
    x = np.abs(x)
    lobe = np.hypot(x - 0.44, y + 0.32) - 0.52
    point = np.maximum((x * 0.74 + (y - 0.95) * 0.67), -0.2 - y)
    return np.minimum(lobe, point)


SHAPES: dict[str, Shape] = {
    "ball": _disc(0.9),
    "square": box(0.78, 0.78, 0.08),
    "triangle": regular(3),
    "hexagon": regular(6),
    "diamond": polygon((0, -1), (0.68, 0), (0, 1), (-0.68, 0)),
    "star": _star,
    "heart": _heart,
    "ring": without(_disc(0.95), _disc(0.5)),
    "cross": union(box(0.95, 0.32), box(0.32, 0.95)),
    "gear": without(_polar(lambda a: 0.8 + 0.16 * np.tanh(4 * np.sin(8 * a))), _disc(0.3)),
    "crescent": without(_disc(0.95), moved(_disc(0.78), 0.5, -0.1)),
    "arrow": union(polygon((0, -1), (0.8, 0.0), (-0.8, 0.0)), moved(box(0.3, 0.5), 0, 0.45)),
    "mug": union(
        moved(box(0.55, 0.75, 0.08), -0.25, 0),
        moved(without(ellipse(0.45, 0.45), ellipse(0.25, 0.25)), 0.45, -0.05),
    ),
    "house": union(moved(box(0.65, 0.48), 0, 0.42), polygon((0, -1), (0.95, 0.0), (-0.95, 0.0))),
    "flower": without(_polar(lambda a: 0.7 + 0.27 * np.cos(6 * a)), _disc(0.2)),
    "fish": union(
        moved(ellipse(0.7, 0.45), 0.25, 0), polygon((-1, -0.55), (-0.25, 0.0), (-1, 0.55))
    ),
    "bottle": union(moved(box(0.42, 0.6, 0.12), 0, 0.38), moved(box(0.16, 0.45), 0, -0.5)),
}


@dataclass(frozen=True)
class Ink:
    """How a shape is coloured: two colours and a pattern that sticks to the shape.

    Attributes:
        first, second: RGB in 0..1, `[3]`, or `[frames 3]` where the colour changes.
        pattern: plain, stripes, checker, rings or dots.
        pitch: period of the pattern, in units of the shape.
        turn: direction of the pattern, radians.
        outline: how much darker the outermost pixels are, 0..1.
    """

    first: Array
    second: Array
    pattern: str = "plain"
    pitch: float = 0.5
    turn: float = 0.0
    outline: float = 0.5

    def mix(self, x: Array, y: Array) -> Array | None:
        """Share of the second colour at every point, 0..1; None for a plain ink."""
        if self.pattern == "plain":
            return None
        wave = np.float32(2 * np.pi / self.pitch)
        c, s = np.float32(np.cos(self.turn)), np.float32(np.sin(self.turn))
        if self.pattern == "stripes":
            value = np.sin(wave * (c * x + s * y))
        elif self.pattern == "rings":
            value = np.sin(wave * np.hypot(x, y))
        else:
            value = np.sin(wave * (c * x + s * y)) * np.sin(wave * (c * y - s * x))
            value = value if self.pattern == "checker" else np.abs(value) - 0.5
        return np.clip(0.5 + 2.5 * value, 0, 1)


class Canvas:
    """The frames of one clip while they are painted.

    Args:
        background: `[3 rows columns]`, RGB in 0..1, of the frame and `MARGIN` heights around it (`background_shape`).
        shift: `[frames 2]` camera offset (x, y) in heights, within `MARGIN` once the zoom is taken off.
        zoom: `[frames]` magnification about the middle of the frame, at least 1.
        spot: (x, y), size, roll: where the stage stands in the world, its magnification and its rotation in radians;
            everything stamped later is given in stage coordinates.

    Attributes:
        pixels: `[frames 3 height width]` float32.
        ids: `[frames height width]` uint8, the acting instance that is visible there, 0 for none.
        present: `[frames]`, 1 in the frames that are painted on, 0 in those that stay as they are; None: all are.
    """

    def __init__(
        self,
        background: Array,
        frames: int,
        height: int,
        width: int,
        shift: Array,
        zoom: Array | None = None,
        spot: tuple[float, float] = (0.0, 0.0),
        size: float = 1.0,
        roll: float = 0.0,
    ) -> None:
        self.frames, self.height, self.width = frames, height, width
        self.shift = np.asarray(shift, np.float32)
        self.zoom = None if zoom is None else np.asarray(zoom, np.float32)
        self.spot, self.size, self.roll = spot, size, roll
        self.pixels = self._unroll(background)
        self.ids = np.zeros((frames, height, width), np.uint8)
        self.present: Array | None = None

    @property
    def aspect(self) -> float:
        return self.width / self.height

    def _unroll(self, background: Array) -> Array:
        out = np.empty((self.frames, 3, self.height, self.width), np.float32)
        _, rows, columns = background.shape
        for t in range(self.frames):
            zoom = 1.0 if self.zoom is None else float(self.zoom[t])
            # Where the first pixel of the frame lies in the background, and the step from one pixel to the next.
            top = rows / 2 - (self.height / 2 - 0.5 + self.shift[t, 1] * self.height) / zoom - 0.5
            left = (
                columns / 2 - (self.width / 2 - 0.5 + self.shift[t, 0] * self.height) / zoom - 0.5
            )
            if zoom == 1.0:
                y, x = int(top), int(left)
                fy, fx = np.float32(top - y), np.float32(left - x)
                part = background[:, y : y + self.height + 1, x : x + self.width + 1]
                part = part[:, :-1] + fy * (part[:, 1:] - part[:, :-1])
                np.add(part[:, :, :-1], fx * (part[:, :, 1:] - part[:, :, :-1]), out=out[t])
            else:
                ys = top + np.arange(self.height, dtype=np.float32) / zoom
                xs = left + np.arange(self.width, dtype=np.float32) / zoom
                y, x = ys.astype(np.int32), xs.astype(np.int32)
                fy, fx = (ys - y).astype(np.float32)[:, None], (xs - x).astype(np.float32)
                part = background.take(y, axis=1) * (1 - fy) + background.take(y + 1, axis=1) * fy
                out[t] = part.take(x, axis=2) * (1 - fx) + part.take(x + 1, axis=2) * fx
        return out

    def stamp(
        self,
        shape: Shape,
        ink: Ink,
        x=0.0,
        y=0.0,
        reach: float | tuple[float, float] = 1.0,
        scale=1.0,
        angle=0.0,
        soft=0.0,
        opacity=1.0,
        instance: int = 0,
    ) -> None:
        """Paint a shape over what is there. `x, y, scale, angle, soft, opacity` are numbers or `[frames]`.

        Args:
            x, y: position of the shape's origin, stage coordinates.
            reach: half size of the square (or of the unrotated rectangle, x and y) about the origin that holds the
                shape in every frame, in units of the shape, its softness included.
            scale: stage units per unit of the shape.
            angle: radians, clockwise on the screen.
            soft: width of the edge beyond one pixel, in stage units.
            opacity: 0..1; a pixel belongs to the instance where the paint covers at least half of it.
            instance: id that the covered pixels get in the mask; 0 for scenery, which hides what it covers.
        """
        x, y, scale, angle, soft, opacity = (
            np.broadcast_to(np.asarray(v, np.float32), (self.frames,))
            for v in (x, y, scale, angle, soft, opacity)
        )
        opacity = opacity if self.present is None else opacity * self.present
        zoom = np.ones(self.frames, np.float32) if self.zoom is None else self.zoom
        c, s = np.cos(self.roll), np.sin(self.roll)
        per_unit = self.height * zoom
        across = (self.spot[0] + self.size * (c * x - s * y)) * per_unit + self.shift[
            :, 0
        ] * self.height
        down = (self.spot[1] + self.size * (s * x + c * y)) * per_unit + self.shift[
            :, 1
        ] * self.height
        across, down = across + (self.width - 1) / 2, down + (self.height - 1) / 2
        pixels = scale * self.size * per_unit  # pixels per unit of the shape
        turn = angle + np.float32(self.roll)
        cos, sin = np.cos(turn), np.sin(turn)

        # One patch size for all frames, so that the frames are one array; each frame has its own corner.
        half_x, half_y = reach if isinstance(reach, tuple) else (reach, reach)
        if isinstance(reach, tuple):
            half_x, half_y = (
                np.max((np.abs(cos) * half_x + np.abs(sin) * half_y) * pixels),
                np.max((np.abs(sin) * half_x + np.abs(cos) * half_y) * pixels),
            )
        else:
            half_x = half_y = np.max(pixels) * reach
        columns = min(2 * int(np.ceil(half_x)) + 3, self.width)
        rows = min(2 * int(np.ceil(half_y)) + 3, self.height)
        # A patch as large as the frame is the frame; a smaller one follows the shape.
        left = (
            np.zeros(self.frames, int)
            if columns == self.width
            else np.rint(across - (columns - 1) / 2).astype(int)
        )
        top = (
            np.zeros(self.frames, int)
            if rows == self.height
            else np.rint(down - (rows - 1) / 2).astype(int)
        )

        dx = (np.arange(columns, dtype=np.float32) + (left - across)[:, None].astype(np.float32))[
            :, None, :
        ]
        dy = (np.arange(rows, dtype=np.float32) + (top - down)[:, None].astype(np.float32))[
            :, :, None
        ]
        each = np.s_[:, None, None]
        cos, sin, unit = cos[each], sin[each], (1 / pixels)[each]
        u = dx * (cos * unit) + dy * (sin * unit)
        v = dy * (cos * unit) - dx * (sin * unit)
        distance = shape(u, v) * pixels[each]
        edge = 1 + soft * self.size * per_unit
        alpha = 0.5 - distance / edge[each] if soft.any() else 0.5 - distance
        np.clip(alpha, 0, 1, out=alpha)
        if (opacity != 1).any():
            alpha *= opacity[each]

        mix = ink.mix(u, v)
        shade = None
        if ink.outline:
            shade = np.clip((distance + 2.2), 0, 1)
            shade *= -ink.outline
            shade += 1
        first = np.broadcast_to(np.asarray(ink.first, np.float32), (self.frames, 3))[
            :, :, None, None
        ]
        second = np.broadcast_to(np.asarray(ink.second, np.float32), (self.frames, 3))[
            :, :, None, None
        ]
        for t in range(self.frames):
            x0, y0 = max(0, -left[t]), max(0, -top[t])
            x1, y1 = min(columns, self.width - left[t]), min(rows, self.height - top[t])
            if x0 >= x1 or y0 >= y1:
                continue
            inside = np.s_[t, y0:y1, x0:x1]
            rows_on, columns_on = slice(top[t] + y0, top[t] + y1), slice(left[t] + x0, left[t] + x1)
            cover = alpha[inside]
            under = self.pixels[t, :, rows_on, columns_on]
            colour = first[t] if mix is None else first[t] + mix[inside] * (second[t] - first[t])
            if shade is not None:
                colour = colour * shade[inside]
            under += cover * (colour - under)
            self.ids[t, rows_on, columns_on][cover >= 0.5] = instance

    def light(self, gain: Array) -> None:
        """Multiply the picture by `gain`, broadcast against `[frames 3 height width]`."""
        self.pixels *= (
            gain
            if self.present is None
            else np.where(self.present[:, None, None, None] > 0, gain, 1)
        )

    def finish(self, grain: Array, mirror: bool) -> tuple[Array, Array]:
        """The clip as uint8 `[frames height width 3]` and its masks `[frames height width]`.

        Args:
            grain: `[3 rows columns]` sensor noise, larger than the frame; every frame takes another window of it,
                which is as good as fresh noise and twenty times cheaper.
            mirror: flip both left to right.
        """
        spare = (grain.shape[1] - self.height, grain.shape[2] - self.width)
        for t in range(self.frames):
            # Steps that share no factor with the window, so that neighbouring frames never see the same noise.
            y, x = (t * 7) % (spare[0] + 1), (t * 11) % (spare[1] + 1)
            self.pixels[t] += grain[:, y : y + self.height, x : x + self.width]
        np.clip(self.pixels, 0, 1, out=self.pixels)
        self.pixels *= 255
        self.pixels += 0.5
        video = self.pixels.astype(np.uint8).transpose(0, 2, 3, 1)
        step = -1 if mirror else 1
        return np.ascontiguousarray(video[:, :, ::step]), np.ascontiguousarray(
            self.ids[:, :, ::step]
        )


def background_shape(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of a background for this frame size."""
    spare = 2 * int(np.ceil(MARGIN * height)) + 2
    return height + spare, width + spare


@cache
def grid(rows: int, columns: int) -> tuple[Array, Array]:
    """World coordinates of a background's pixels, x `[1 columns]` and y `[rows 1]`, in frame heights."""
    height = rows / (1 + 2 * MARGIN)
    x = (np.arange(columns, dtype=np.float32)[None, :] - (columns - 1) / 2) / height
    y = (np.arange(rows, dtype=np.float32)[:, None] - (rows - 1) / 2) / height
    return x.astype(np.float32), y.astype(np.float32)


def cloud(
    rng: np.random.Generator, rows: int, columns: int, cells: int, channels: int = 1
) -> Array:
    """Smooth noise, `[channels rows columns]` in 0..1, about `cells` blobs over the height."""
    across = max(2, round(cells * columns / rows))
    knots = rng.random((channels, cells + 1, across + 1), dtype=np.float32)

    def stretch(values: Array, size: int) -> Array:
        at = np.linspace(0, values.shape[-1] - 1.001, size, dtype=np.float32)
        low = at.astype(int)
        share = at - low
        share = share * share * (3 - 2 * share)
        return values[..., low] * (1 - share) + values[..., low + 1] * share

    return stretch(stretch(knots, columns).swapaxes(1, 2), rows).swapaxes(1, 2)


def texture(rng: np.random.Generator, rows: int, columns: int) -> Array:
    """A random background, `[3 rows columns]`: smooth noise, stripes or a checker of two muted colours."""
    x, y = grid(rows, columns)
    kind = rng.choice(["cloud", "cloud", "stripes", "checker", "slope"])
    angle, pitch = rng.uniform(0, np.pi), rng.uniform(0.12, 0.4)
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    if kind == "cloud":
        value = cloud(rng, rows, columns, int(rng.integers(2, 9)))[0]
    elif kind == "slope":
        value = np.clip(0.5 + 0.6 * (c * x + s * y), 0, 1)
    else:
        wave = np.float32(2 * np.pi / pitch)
        value = np.sin(wave * (c * x + s * y))
        if kind == "checker":
            value = value * np.sin(wave * (c * y - s * x))
        value = np.clip(0.5 + rng.uniform(0.7, 3) * value, 0, 1)
    base = colour(rng, saturation=(0.05, 0.55), value=(0.25, 0.9))
    other = np.clip(base + rng.uniform(-0.22, 0.22, 3), 0, 1).astype(np.float32)
    picture = base[:, None, None] + value * (other - base)[:, None, None]
    return picture + (0.12 * cloud(rng, rows, columns, 3) - 0.06)


def colour(
    rng: np.random.Generator, saturation=(0.45, 1.0), value=(0.4, 1.0), hue=(0.0, 1.0)
) -> Array:
    """A random RGB colour `[3]` in 0..1, by hue, saturation and value."""
    h, s, v = rng.uniform(*hue), rng.uniform(*saturation), rng.uniform(*value)
    k = (np.array([5.0, 3.0, 1.0]) + 6 * h) % 6
    return (v - v * s * np.clip(np.minimum(k, 4 - k), 0, 1)).astype(np.float32)


def apart_from(rng: np.random.Generator, other: Array, least: float = 0.45, **ranges) -> Array:
    """A random colour at least `least` away from `other` (Euclidean RGB), or the farthest of twelve."""
    tries = [colour(rng, **ranges) for _ in range(12)]
    gaps = [float(np.linalg.norm(one - other)) for one in tries]
    good = next((i for i, gap in enumerate(gaps) if gap >= least), int(np.argmax(gaps)))
    return tries[good]


def random_ink(rng: np.random.Generator, behind: Array, plain: float = 0.3, **ranges) -> Ink:
    """A random ink that stands out from the mean colour `behind` it (`[3]`)."""
    first = apart_from(rng, behind, **ranges)
    second = np.clip(first * rng.uniform(0.45, 1.6, 3), 0, 1).astype(np.float32)
    pattern = (
        "plain"
        if rng.random() < plain
        else str(rng.choice(["stripes", "checker", "rings", "dots"]))
    )
    return Ink(
        first, second, pattern, rng.uniform(0.4, 1.0), rng.uniform(0, np.pi), rng.uniform(0.2, 0.7)
    )


def jitter(rng: np.random.Generator, frames: int, strength: float) -> Array:
    """A hand-held camera: `[frames 2]` offsets in heights, a slow sway plus a little tremble."""
    t = np.linspace(0, 1, frames)[:, None]
    sway = strength * np.sin(2 * np.pi * (rng.uniform(0.3, 1.2, 2) * t + rng.random(2)))
    return np.clip(
        sway + 0.15 * strength * rng.standard_normal((frames, 2)), -0.9 * MARGIN, 0.9 * MARGIN
    )


def grain(rng: np.random.Generator, height: int, width: int, strength: float) -> Array:
    """Sensor noise for `Canvas.finish`."""
    return strength * rng.standard_normal((3, height + 33, width + 33), dtype=np.float32)


def flicker(rng: np.random.Generator, frames: int, strength: float) -> Array:
    """Brightness of every frame, `[frames 1 1 1]` around 1."""
    return (1 + strength * rng.standard_normal(frames)).astype(np.float32)[:, None, None, None]
