# ruff: noqa: UP018, SIM102
# Warp needs float(0.0) for what a loop changes, and nested ifs: its `and` does not stop early.
# mypy: disable-error-code="valid-type,misc,no-untyped-def,untyped-decorator,attr-defined"
# mypy: no-warn-return-any
"""Shading of views, as Warp kernels: the same source on a CPU and on CUDA.

Several views of one scene, all of one size, are drawn by one launch of each kernel: every array has
the view as its first dimension. `trace` casts one ray through every pixel centre (the truth) and
one to the sun; at every second pixel of every second row also one to a lamp and one into the
surroundings. `resolve` averages these over 4 x 4 neighbours of the same surface, so that sixteen
directions are seen at a small price, and once more against blocks. Edges are smoothed after
(`worlds.edges`).

Knows no scenes, files or photographs: arrays in, linear radiance out.
"""

import warp as wp

from vlm3.worlds.lighting import Light, face_normal, face_uv, mirrored, sky, soft_light
from vlm3.worlds.patterns import Surface, albedo, noise

wp.set_module_options({"enable_backward": False, "fast_math": False})


@wp.struct
class PlacedCamera:
    """Where a view is taken from, and by which of the lenses.

    Attributes:
        rotation: axes of the camera in the world.
        origin: its centre.
        lens: whose rays it has.
        pixel_angle: radians of a pixel.
    """

    rotation: wp.mat33
    origin: wp.vec3
    lens: wp.int32
    pixel_angle: wp.float32


@wp.struct
class PlacedCameras:
    """Those of views (V,), and unit rays of pixel centres (lenses, H, W), camera axes."""

    placed: wp.array(dtype=PlacedCamera)
    rays: wp.array3d(dtype=wp.vec3)


@wp.struct
class Film:
    """What each pixel (V, H, W) has so far.

    Attributes:
        distance, face, normal: of what its centre's ray meets; inf, -1 and 0 for the sky.
        base: colour of the surface.
        extra: what it gives off and mirrors.
        sunlit: light of the sun on it.
        smooth: all light on it.
        radiance: of the centre's ray.
        image: radiance, edges smoothed.
    """

    distance: wp.array3d(dtype=wp.float32)
    face: wp.array3d(dtype=wp.int32)
    normal: wp.array3d(dtype=wp.vec3)
    base: wp.array3d(dtype=wp.vec3)
    extra: wp.array3d(dtype=wp.vec3)
    sunlit: wp.array3d(dtype=wp.vec3)
    smooth: wp.array3d(dtype=wp.vec3)
    radiance: wp.array3d(dtype=wp.vec3)
    image: wp.array3d(dtype=wp.vec3)


@wp.func
def roughened(shading: wp.vec3, n: wp.vec3, spot: wp.vec3) -> wp.vec3:
    """The normal that foliage is lit by."""
    shake = wp.vec3(
        noise(spot[0] * 4.0, spot[1] * 4.0 + spot[2] * 3.0, 1),
        noise(spot[1] * 4.0, spot[2] * 4.0 - spot[0] * 3.0, 2),
        noise(spot[2] * 4.0, spot[0] * 4.0 + spot[1] * 3.0, 3),
    )
    rough = wp.normalize(shading + shake * 0.9)
    if wp.dot(rough, n) < 0.1:
        rough = n
    return rough


@wp.kernel
def trace(
    s: Surface,
    light: Light,
    cameras: PlacedCameras,
    film: Film,
    received: wp.array3d(dtype=wp.vec3),
):
    """The ray of each pixel's centre: truth, colour, gloss, sun, and samples of other light."""
    v, y, x = wp.tid()
    c = cameras.placed[v]
    d = wp.normalize(c.rotation * cameras.rays[c.lens, y, x])
    query = wp.mesh_query_ray(s.mesh, c.origin, d, light.reach)
    if not query.result:
        film.distance[v, y, x] = wp.INF
        film.face[v, y, x] = -1
        film.normal[v, y, x] = wp.vec3(0.0, 0.0, 0.0)
        film.base[v, y, x] = wp.vec3(0.0, 0.0, 0.0)
        film.extra[v, y, x] = sky(light, d)
        film.sunlit[v, y, x] = wp.vec3(0.0, 0.0, 0.0)
        return
    t = query.t
    face = query.face
    m = s.material[face]
    n = query.normal
    if wp.dot(n, d) > 0.0:
        n = -n
    shading = face_normal(s, face, query.u, query.v)
    if wp.dot(shading, n) < 0.0:
        shading = -shading
    if s.kind[m] == 10:
        shading = roughened(shading, n, c.origin + d * t)
    cosine = wp.max(-wp.dot(n, d), 0.08)
    footprint = t * c.pixel_angle / wp.sqrt(cosine)
    colour = albedo(s, m, face_uv(s, face, query.u, query.v), footprint)
    film.distance[v, y, x] = t
    film.face[v, y, x] = face
    film.normal[v, y, x] = n
    colour = wp.cw_mul(colour, s.tint[face])
    film.base[v, y, x] = colour
    point = c.origin + d * t + n * (1.0e-3 + 2.0e-5 * t)
    if (x & 1) + (y & 1) == 0:
        received[v, y / 2, x / 2] = soft_light(s, light, point, n, shading, x / 2, y / 2)
    direct = wp.vec3(0.0, 0.0, 0.0)
    if light.sun[0] > 0.0:
        facing = wp.dot(shading, light.sun_direction)
        if facing > 0.0 and wp.dot(n, light.sun_direction) > 0.0:
            if not wp.mesh_query_ray_anyhit(s.mesh, point, light.sun_direction, light.reach):
                direct = light.sun * facing
    film.sunlit[v, y, x] = direct
    shine = s.emission[m]
    if s.look[m][1] > 0.0:
        gloss = mirrored(s, light, m, point, n, shading, d)
        shine = shine + wp.vec3(gloss[0], gloss[1], gloss[2])
        film.base[v, y, x] = colour * (1.0 - 0.9 * wp.min(gloss[3], 1.0))
    film.extra[v, y, x] = shine


@wp.func
def same_plane(p: wp.vec3, n: wp.vec3, other: wp.vec3, other_n: wp.vec3, t: float) -> bool:
    """Whether two seen points may share their light: alike normals, one plane."""
    return wp.dot(n, other_n) > 0.85 and wp.abs(wp.dot(other - p, n)) < 0.012 * t


@wp.kernel
def gather(
    cameras: PlacedCameras,
    film: Film,
    source: wp.array3d(dtype=wp.vec3),
    shift: int,
    target: wp.array3d(dtype=wp.vec3),
):
    """Mean of 4 x 4 light samples (of every second pixel and row) of the same surface."""
    v, j, i = wp.tid()
    t = film.distance[v, 2 * j, 2 * i]
    total = wp.vec3(0.0, 0.0, 0.0)
    weight = float(0.0)
    if t < 1.0e6:
        n = film.normal[v, 2 * j, 2 * i]
        c = cameras.placed[v]
        here = (c.rotation * cameras.rays[c.lens, 2 * j, 2 * i]) * t
        for dj in range(4):
            for di in range(4):
                jj = j + dj - shift
                ii = i + di - shift
                if jj >= 0 and jj < source.shape[1] and ii >= 0 and ii < source.shape[2]:
                    away = film.distance[v, 2 * jj, 2 * ii]
                    if away < 1.0e6:
                        there = (c.rotation * cameras.rays[c.lens, 2 * jj, 2 * ii]) * away
                        if same_plane(here, n, there, film.normal[v, 2 * jj, 2 * ii], t):
                            total = total + source[v, jj, ii]
                            weight = weight + 1.0
        total = total / weight
    target[v, j, i] = total


@wp.kernel
def resolve(
    s: Surface,
    light: Light,
    cameras: PlacedCameras,
    film: Film,
    received: wp.array3d(dtype=wp.vec3),
):
    """Light between the samples of the same surface, times colour."""
    v, y, x = wp.tid()
    t = film.distance[v, y, x]
    total = wp.vec3(0.0, 0.0, 0.0)
    weight = float(0.0)
    if t < 1.0e6:
        n = film.normal[v, y, x]
        c = cameras.placed[v]
        here = (c.rotation * cameras.rays[c.lens, y, x]) * t
        for dj in range(2):
            for di in range(2):
                jj = (y + dj) / 2
                ii = (x + di) / 2
                if jj < received.shape[1] and ii < received.shape[2]:
                    away = film.distance[v, 2 * jj, 2 * ii]
                    if away < 1.0e6:
                        there = (c.rotation * cameras.rays[c.lens, 2 * jj, 2 * ii]) * away
                        if same_plane(here, n, there, film.normal[v, 2 * jj, 2 * ii], t):
                            total = total + received[v, jj, ii]
                            weight = weight + 1.0
        if weight > 0.5:
            total = total / weight
        else:
            point = c.origin + here + n * (1.0e-3 + 2.0e-5 * t)
            total = soft_light(s, light, point, n, n, x, y)
            total = (total + soft_light(s, light, point, n, n, x + 2, y + 1)) * 0.5
        total = total + film.sunlit[v, y, x]
    film.smooth[v, y, x] = total
    film.radiance[v, y, x] = wp.cw_mul(film.base[v, y, x], total) + film.extra[v, y, x]
