# ruff: noqa: UP018, RUF046
# Warp needs float(0.0) for what a loop changes.
# mypy: disable-error-code="valid-type,misc,no-untyped-def,untyped-decorator,attr-defined"
# mypy: no-warn-return-any
"""Edges of views are averaged as in a photograph: three more rays where neighbouring pixels differ.

A Warp kernel over what `worlds.shading` has left of each pixel; it changes no truth.
"""

import warp as wp

from vlm3.worlds.lighting import Light, face_uv, sky
from vlm3.worlds.patterns import Surface, albedo
from vlm3.worlds.shading import Film, PlacedCamera, PlacedCameras

wp.set_module_options({"enable_backward": False, "fast_math": False})


@wp.func
def ray_beside(
    c: PlacedCamera, rays: wp.array3d(dtype=wp.vec3), y: int, x: int, dx: float, dy: float
) -> wp.vec3:
    """Unit ray through (x + 0.5 + dx, y + 0.5 + dy), world axes, from those of pixel centres."""
    x0 = wp.clamp(x, 0, rays.shape[2] - 2)
    y0 = wp.clamp(y, 0, rays.shape[1] - 2)
    along = rays[c.lens, y, x0 + 1] - rays[c.lens, y, x0]
    down = rays[c.lens, y0 + 1, x] - rays[c.lens, y0, x]
    return wp.normalize(c.rotation * wp.normalize(rays[c.lens, y, x] + along * dx + down * dy))


@wp.func
def differs(s: Surface, film: Film, v: int, y: int, x: int, yy: int, xx: int) -> bool:
    """Whether there is an edge between two pixels: other things, other slants or other depths."""
    own = film.face[v, y, x]
    other = film.face[v, yy, xx]
    if other == own:
        return False
    if own < 0 or other < 0:
        return True
    t = film.distance[v, y, x]
    return (
        s.instance[other] != s.instance[own]
        or s.material[other] != s.material[own]
        or wp.dot(film.normal[v, yy, xx], film.normal[v, y, x]) < 0.9
        or wp.abs(film.distance[v, yy, xx] - t) > 0.1 * t
        or wp.length(s.tint[other] - s.tint[own]) > 0.05
    )


@wp.func
def most_alike(
    s: Surface, film: Film, v: int, y: int, x: int, t: float, n: wp.vec3, material: int
) -> wp.vec2i:
    """Which of the nine pixels around one is most like a surface: row and column."""
    best = float(1.0e9)
    by = y
    bx = x
    for j in range(-1, 2):
        for i in range(-1, 2):
            yy = wp.clamp(y + j, 0, film.face.shape[1] - 1)
            xx = wp.clamp(x + i, 0, film.face.shape[2] - 1)
            near = film.face[v, yy, xx]
            if near >= 0:
                unlike = wp.abs(film.distance[v, yy, xx] - t) / t
                unlike = unlike + 1.0 - wp.dot(film.normal[v, yy, xx], n)
                if s.material[near] != material:
                    unlike = unlike + 0.5
                if unlike < best:
                    best = unlike
                    by = yy
                    bx = xx
    return wp.vec2i(by, bx)


@wp.func
def with_ray_beside(
    s: Surface,
    light: Light,
    c: PlacedCamera,
    film: Film,
    v: int,
    y: int,
    x: int,
    d: wp.vec3,
    total: wp.vec3,
) -> wp.vec3:
    """`total` and the radiance along a ray beside a pixel's centre.

    The colour is the surface's own; light and gloss are those of the most alike pixel around.
    """
    query = wp.mesh_query_ray(s.mesh, c.origin, d, light.reach)
    if not query.result:
        return total + sky(light, d)
    n = query.normal
    if wp.dot(n, d) > 0.0:
        n = -n
    m = s.material[query.face]
    cosine = wp.max(-wp.dot(n, d), 0.08)
    footprint = query.t * c.pixel_angle / wp.sqrt(cosine)
    colour = albedo(s, m, face_uv(s, query.face, query.u, query.v), footprint)
    colour = wp.cw_mul(colour, s.tint[query.face])
    at = most_alike(s, film, v, y, x, query.t, n, m)
    return total + wp.cw_mul(colour, film.smooth[v, at[0], at[1]]) + film.extra[v, at[0], at[1]]


@wp.kernel
def smooth_edges(s: Surface, light: Light, cameras: PlacedCameras, film: Film):
    """Mean with three more rays where a pixel differs from one of its four neighbours."""
    v, y, x = wp.tid()
    own = film.face[v, y, x]
    left = wp.max(x - 1, 0)
    right = wp.min(x + 1, film.face.shape[2] - 1)
    above = wp.max(y - 1, 0)
    below = wp.min(y + 1, film.face.shape[1] - 1)
    beside = film.face[v, y, left] != own or film.face[v, y, right] != own
    edge = int(0)
    # Few pixels have another face beside them, and only these are looked at closely.
    if beside or film.face[v, above, x] != own or film.face[v, below, x] != own:
        if differs(s, film, v, y, x, y, left) or differs(s, film, v, y, x, y, right):
            edge = 1
        if differs(s, film, v, y, x, above, x) or differs(s, film, v, y, x, below, x):
            edge = 1
    total = film.radiance[v, y, x]
    if edge == 1:
        c = cameras.placed[v]
        for k in range(3):
            dx = 0.34 * wp.cos(2.0943951 * float(k) + 0.5)
            dy = 0.34 * wp.sin(2.0943951 * float(k) + 0.5)
            d = ray_beside(c, cameras.rays, y, x, dx, dy)
            total = with_ray_beside(s, light, c, film, v, y, x, d, total)
        total = total / 4.0
    film.image[v, y, x] = total
