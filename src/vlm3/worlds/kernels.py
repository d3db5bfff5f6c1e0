# ruff: noqa: UP018, RUF046, SIM102, D103
# Warp needs float(0.0) for what a loop changes, and nested ifs: its `and` does not stop early.
# mypy: disable-error-code="valid-type,misc,no-untyped-def,untyped-decorator,attr-defined"
# mypy: no-warn-return-any
"""Ray casting and shading of one view, as Warp kernels: the same source on a CPU and on CUDA.

`trace` casts one ray through every pixel centre (the truth) and one to the sun; at every second
pixel of every second row also one to a lamp and one into the surroundings. `resolve` averages
these over 4 x 4 neighbours of the same surface, so that sixteen directions are seen at a small
price, and once more against blocks; `smooth_edges` casts three more rays where neighbouring
pixels differ.

Knows no scenes, files or photographs: arrays in, linear radiance out.
"""

import os

import warp as wp

from vlm3.worlds.patterns import Surface, albedo, noise

wp.config.log_level = wp.LOG_ERROR


def _start_warp() -> None:
    """Starts Warp without its line about a missing CUDA driver, which no setting of it hides."""
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        wp.init()
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


_start_warp()
wp.set_module_options({"enable_backward": False, "fast_math": False})


@wp.struct
class Light:
    """Lamps (parallelogram u, v about a centre, shining along normal), sun, sky, ambient."""

    count: wp.int32
    center: wp.array(dtype=wp.vec3)
    u: wp.array(dtype=wp.vec3)
    v: wp.array(dtype=wp.vec3)
    normal: wp.array(dtype=wp.vec3)
    power: wp.array(dtype=wp.vec3)
    sun_direction: wp.vec3
    sun: wp.vec3
    ambient: wp.vec3
    zenith: wp.vec3
    horizon: wp.vec3
    cloud: wp.float32
    reach: wp.float32
    near: wp.float32
    outdoor: wp.float32
    limit: wp.float32


@wp.func
def sky(light: Light, d: wp.vec3) -> wp.vec3:
    """Radiance of the open sky along d."""
    up = wp.max(d[2], 0.0)
    t = wp.pow(up, 0.5)
    colour = light.horizon + (light.zenith - light.horizon) * t
    if light.cloud > 0.0 and d[2] > 0.01:
        x = d[0] / (d[2] + 0.12)
        y = d[1] / (d[2] + 0.12)
        n = noise(x * 1.1, y * 1.1, 11) + 0.55 * noise(x * 2.7, y * 2.7, 12)
        n = n + 0.3 * noise(x * 6.1, y * 6.1, 13) + 0.17 * noise(x * 13.0, y * 13.0, 14)
        amount = wp.clamp(1.2 * (n + 2.0 * light.cloud - 0.8), 0.0, 1.0)
        white = 0.55 * (light.sun + light.horizon * 1.2) * (0.75 - 0.2 * n)
        white = wp.vec3(1.0, 1.0, 1.0) * (white[0] + white[1] + white[2]) * 0.31
        colour = colour + (white - colour) * amount * wp.min(1.0, d[2] * 8.0)
    glow = wp.max(wp.dot(d, light.sun_direction), 0.0)
    return colour + light.sun * (0.25 * wp.pow(glow, 60.0) + 0.08 * wp.pow(glow, 6.0))


@wp.func
def face_uv(s: Surface, face: int, u: float, v: float) -> wp.vec2:
    w = 1.0 - u - v
    i = s.faces[3 * face]
    j = s.faces[3 * face + 1]
    k = s.faces[3 * face + 2]
    return s.uv[i] * u + s.uv[j] * v + s.uv[k] * w


@wp.func
def face_normal(s: Surface, face: int, u: float, v: float) -> wp.vec3:
    w = 1.0 - u - v
    i = s.faces[3 * face]
    j = s.faces[3 * face + 1]
    k = s.faces[3 * face + 2]
    return wp.normalize(s.normals[i] * u + s.normals[j] * v + s.normals[k] * w)


@wp.func
def arriving(
    s: Surface, light: Light, point: wp.vec3, d: wp.vec3, limit: float, reach: float
) -> wp.vec3:
    """Radiance met along d from a surface: sky, lamp or lit surface, up to `limit` x ambient."""
    query = wp.mesh_query_ray(s.mesh, point, d, reach)
    most = light.ambient * limit
    if not query.result:
        if light.outdoor < 0.5 and reach < light.reach:
            return light.ambient * 0.75
        return wp.min(sky(light, d), most)
    m = s.material[query.face]
    glow = wp.min(s.emission[m], most)
    mean = wp.cw_mul((s.a[m] + s.b[m]) * 0.5, s.tint[query.face])
    if s.kind[m] == 0 or s.kind[m] == 3 or s.kind[m] == 12:
        mean = wp.cw_mul(s.a[m], s.tint[query.face])
    # Half way to grey: each of only sixteen directions is a large part of the whole.
    mean = mean * 0.6 + wp.vec3(0.18, 0.18, 0.18)
    openness = query.t / (query.t + 0.35)
    received = light.ambient * (0.25 + 0.75 * openness)
    if light.outdoor > 0.5:
        n = query.normal * wp.sign(-wp.dot(query.normal, d))
        received = received + light.sun * 0.4 * wp.max(0.0, wp.dot(n, light.sun_direction))
    return glow + wp.cw_mul(mean, received)


@wp.func
def ray_at(dirs: wp.array2d(dtype=wp.vec3), x: int, y: int, dx: float, dy: float) -> wp.vec3:
    """Unit ray through (x + 0.5 + dx, y + 0.5 + dy), from the rays of pixel centres."""
    width = dirs.shape[1]
    height = dirs.shape[0]
    x0 = wp.clamp(x, 0, width - 2)
    y0 = wp.clamp(y, 0, height - 2)
    along = dirs[y, x0 + 1] - dirs[y, x0]
    down = dirs[y0 + 1, x] - dirs[y0, x]
    return wp.normalize(dirs[y, x] + along * dx + down * dy)


@wp.func
def soft_light(
    s: Surface, light: Light, point: wp.vec3, n: wp.vec3, shading: wp.vec3, i: int, j: int
) -> wp.vec3:
    """Sample (i, j) mod 4 of sixteen of the light of lamps and surroundings on a point."""
    pattern = (i & 3) * 4 + (j & 3)
    first = wp.mod(float(pattern) * 0.7548777 + 0.31, 1.0)
    second = wp.mod(float(pattern) * 0.5698403 + 0.17, 1.0)
    total = wp.vec3(0.0, 0.0, 0.0)
    if light.count > 0:
        k = ((i & 3) + 2 * (j & 3) + (j & 3) / 2) % light.count
        target = light.center[k] + light.u[k] * (first - 0.5) + light.v[k] * (second - 0.5)
        to = target - point
        far = wp.length(to)
        to = to / far
        facing = wp.dot(shading, to)
        out = -wp.dot(light.normal[k], to)
        if facing > 0.0 and out > 0.0 and wp.dot(n, to) > 0.0:
            if not wp.mesh_query_ray_anyhit(s.mesh, point, to, far - 0.02):
                power = light.power[k] * float(light.count) * out / (far * far + 0.15)
                total = total + power * facing
    side = wp.vec3(1.0, 0.0, 0.0)
    if wp.abs(shading[0]) > 0.7:
        side = wp.vec3(0.0, 1.0, 0.0)
    tangent = wp.normalize(wp.cross(side, shading))
    other = wp.cross(shading, tangent)
    radius = wp.sqrt(first)
    angle = 6.2831853 * second
    way = tangent * (radius * wp.cos(angle)) + other * (radius * wp.sin(angle))
    way = wp.normalize(way + shading * wp.sqrt(wp.max(0.0, 1.0 - first) + 1.0e-4))
    return total + arriving(s, light, point, way, light.limit, light.near)


@wp.kernel
def trace(
    s: Surface,
    light: Light,
    rotation: wp.mat33,
    origin: wp.vec3,
    dirs: wp.array2d(dtype=wp.vec3),
    pixel_angle: float,
    distance: wp.array2d(dtype=wp.float32),
    face_out: wp.array2d(dtype=wp.int32),
    normal_out: wp.array2d(dtype=wp.vec3),
    base: wp.array2d(dtype=wp.vec3),
    received: wp.array2d(dtype=wp.vec3),
    extra: wp.array2d(dtype=wp.vec3),
    sunlit: wp.array2d(dtype=wp.vec3),
):
    y, x = wp.tid()
    d = wp.normalize(rotation * dirs[y, x])
    query = wp.mesh_query_ray(s.mesh, origin, d, light.reach)
    if not query.result:
        distance[y, x] = wp.INF
        face_out[y, x] = -1
        normal_out[y, x] = wp.vec3(0.0, 0.0, 0.0)
        base[y, x] = wp.vec3(0.0, 0.0, 0.0)
        extra[y, x] = sky(light, d)
        sunlit[y, x] = wp.vec3(0.0, 0.0, 0.0)
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
    if s.kind[m] == 10:  # foliage is rough
        spot = origin + d * t
        shake = wp.vec3(
            noise(spot[0] * 4.0, spot[1] * 4.0 + spot[2] * 3.0, 1),
            noise(spot[1] * 4.0, spot[2] * 4.0 - spot[0] * 3.0, 2),
            noise(spot[2] * 4.0, spot[0] * 4.0 + spot[1] * 3.0, 3),
        )
        shading = wp.normalize(shading + shake * 0.9)
        if wp.dot(shading, n) < 0.1:
            shading = n
    cosine = wp.max(-wp.dot(n, d), 0.08)
    footprint = t * pixel_angle / wp.sqrt(cosine)
    colour = albedo(s, m, face_uv(s, face, query.u, query.v), footprint)
    distance[y, x] = t
    face_out[y, x] = face
    normal_out[y, x] = n
    colour = wp.cw_mul(colour, s.tint[face])
    base[y, x] = colour
    point = origin + d * t + n * (1.0e-3 + 2.0e-5 * t)
    if (x & 1) + (y & 1) == 0:
        received[y / 2, x / 2] = soft_light(s, light, point, n, shading, x / 2, y / 2)
    direct = wp.vec3(0.0, 0.0, 0.0)
    if light.sun[0] > 0.0:
        facing = wp.dot(shading, light.sun_direction)
        if facing > 0.0 and wp.dot(n, light.sun_direction) > 0.0:
            if not wp.mesh_query_ray_anyhit(s.mesh, point, light.sun_direction, light.reach):
                direct = light.sun * facing
    sunlit[y, x] = direct
    look = s.look[m]
    shine = s.emission[m]
    if look[1] > 0.0:
        c = 1.0 - wp.max(-wp.dot(shading, d), 0.0)
        fresnel = look[1] + (1.0 - look[1]) * c * c * c * c * c * (1.0 - 0.8 * look[2])
        bounced = wp.normalize(d - shading * (2.0 * wp.dot(d, shading)))
        if wp.dot(bounced, n) > 0.0:
            soft = light.ambient * 0.5
            sharp = soft
            if fresnel * (1.0 - look[2]) > 0.03:
                sharp = arriving(s, light, point, bounced, 100.0, light.reach)
            shine = shine + (sharp + (soft - sharp) * look[2]) * fresnel
            base[y, x] = colour * (1.0 - 0.9 * wp.min(fresnel, 1.0))
    extra[y, x] = shine


@wp.func
def same_plane(p: wp.vec3, n: wp.vec3, other: wp.vec3, other_n: wp.vec3, t: float) -> bool:
    """Whether two seen points may share their light: alike normals, one plane."""
    return wp.dot(n, other_n) > 0.85 and wp.abs(wp.dot(other - p, n)) < 0.012 * t


@wp.kernel
def gather(
    rotation: wp.mat33,
    dirs: wp.array2d(dtype=wp.vec3),
    distance: wp.array2d(dtype=wp.float32),
    normal: wp.array2d(dtype=wp.vec3),
    source: wp.array2d(dtype=wp.vec3),
    shift: int,
    target: wp.array2d(dtype=wp.vec3),
):
    """Mean of 4 x 4 light samples (of every second pixel and row) of the same surface."""
    j, i = wp.tid()
    t = distance[2 * j, 2 * i]
    total = wp.vec3(0.0, 0.0, 0.0)
    weight = float(0.0)
    if t < 1.0e6:
        n = normal[2 * j, 2 * i]
        here = (rotation * dirs[2 * j, 2 * i]) * t
        for dj in range(4):
            for di in range(4):
                jj = j + dj - shift
                ii = i + di - shift
                if jj >= 0 and jj < source.shape[0] and ii >= 0 and ii < source.shape[1]:
                    away = distance[2 * jj, 2 * ii]
                    if away < 1.0e6:
                        there = (rotation * dirs[2 * jj, 2 * ii]) * away
                        if same_plane(here, n, there, normal[2 * jj, 2 * ii], t):
                            total = total + source[jj, ii]
                            weight = weight + 1.0
        total = total / weight
    target[j, i] = total


@wp.kernel
def resolve(
    s: Surface,
    light: Light,
    rotation: wp.mat33,
    origin: wp.vec3,
    dirs: wp.array2d(dtype=wp.vec3),
    distance: wp.array2d(dtype=wp.float32),
    normal: wp.array2d(dtype=wp.vec3),
    base: wp.array2d(dtype=wp.vec3),
    received: wp.array2d(dtype=wp.vec3),
    extra: wp.array2d(dtype=wp.vec3),
    sunlit: wp.array2d(dtype=wp.vec3),
    smooth: wp.array2d(dtype=wp.vec3),
    radiance: wp.array2d(dtype=wp.vec3),
):
    """Light between the samples of the same surface, times colour."""
    y, x = wp.tid()
    t = distance[y, x]
    n = normal[y, x]
    total = wp.vec3(0.0, 0.0, 0.0)
    weight = float(0.0)
    if t < 1.0e6:
        here = (rotation * dirs[y, x]) * t
        for dj in range(2):
            for di in range(2):
                jj = (y + dj) / 2
                ii = (x + di) / 2
                if jj < received.shape[0] and ii < received.shape[1]:
                    away = distance[2 * jj, 2 * ii]
                    if away < 1.0e6:
                        there = (rotation * dirs[2 * jj, 2 * ii]) * away
                        if same_plane(here, n, there, normal[2 * jj, 2 * ii], t):
                            total = total + received[jj, ii]
                            weight = weight + 1.0
        if weight > 0.5:
            total = total / weight
        else:
            point = origin + here + n * (1.0e-3 + 2.0e-5 * t)
            total = soft_light(s, light, point, n, n, x, y)
            total = (total + soft_light(s, light, point, n, n, x + 2, y + 1)) * 0.5
        total = total + sunlit[y, x]
    smooth[y, x] = total
    radiance[y, x] = wp.cw_mul(base[y, x], total) + extra[y, x]


@wp.kernel
def smooth_edges(
    s: Surface,
    light: Light,
    rotation: wp.mat33,
    origin: wp.vec3,
    dirs: wp.array2d(dtype=wp.vec3),
    pixel_angle: float,
    distance: wp.array2d(dtype=wp.float32),
    face: wp.array2d(dtype=wp.int32),
    normal: wp.array2d(dtype=wp.vec3),
    smooth: wp.array2d(dtype=wp.vec3),
    extra: wp.array2d(dtype=wp.vec3),
    radiance: wp.array2d(dtype=wp.vec3),
    image: wp.array2d(dtype=wp.vec3),
):
    y, x = wp.tid()
    height = distance.shape[0]
    width = distance.shape[1]
    t = distance[y, x]
    n = normal[y, x]
    edge = int(0)
    own = face[y, x]
    for k in range(4):
        xx = x
        yy = y
        if k == 0:
            xx = wp.max(x - 1, 0)
        if k == 1:
            xx = wp.min(x + 1, width - 1)
        if k == 2:
            yy = wp.max(y - 1, 0)
        if k == 3:
            yy = wp.min(y + 1, height - 1)
        other = face[yy, xx]
        if other != own:
            if (
                own < 0
                or other < 0
                or s.instance[other] != s.instance[own]
                or s.material[other] != s.material[own]
                or wp.dot(normal[yy, xx], n) < 0.9
                or wp.abs(distance[yy, xx] - t) > 0.1 * t
                or wp.length(s.tint[other] - s.tint[own]) > 0.05
            ):
                edge = 1
    total = radiance[y, x]
    if edge == 1:
        for k in range(3):
            dx = 0.34 * wp.cos(2.0943951 * float(k) + 0.5)
            dy = 0.34 * wp.sin(2.0943951 * float(k) + 0.5)
            d = wp.normalize(rotation * ray_at(dirs, x, y, dx, dy))
            query = wp.mesh_query_ray(s.mesh, origin, d, light.reach)
            if not query.result:
                total = total + sky(light, d)
            else:
                g = query.normal
                if wp.dot(g, d) > 0.0:
                    g = -g
                m = s.material[query.face]
                cosine = wp.max(-wp.dot(g, d), 0.08)
                footprint = query.t * pixel_angle / wp.sqrt(cosine)
                colour = albedo(s, m, face_uv(s, query.face, query.u, query.v), footprint)
                colour = wp.cw_mul(colour, s.tint[query.face])
                # light and gloss from the most alike of the nine pixels around
                best = float(1.0e9)
                bx = x
                by = y
                for j in range(-1, 2):
                    for i in range(-1, 2):
                        yy = wp.clamp(y + j, 0, height - 1)
                        xx = wp.clamp(x + i, 0, width - 1)
                        near = face[yy, xx]
                        if near >= 0:
                            unlike = wp.abs(distance[yy, xx] - query.t) / query.t
                            unlike = unlike + 1.0 - wp.dot(normal[yy, xx], g)
                            if s.material[near] != m:
                                unlike = unlike + 0.5
                            if unlike < best:
                                best = unlike
                                bx = xx
                                by = yy
                total = total + wp.cw_mul(colour, smooth[by, bx]) + extra[by, bx]
        total = total / 4.0
    image[y, x] = total


@wp.kernel
def cast(
    mesh: wp.uint64,
    origins: wp.array(dtype=wp.vec3),
    dirs: wp.array(dtype=wp.vec3),
    reach: float,
    distance: wp.array(dtype=wp.float32),
    face: wp.array(dtype=wp.int32),
):
    k = wp.tid()
    query = wp.mesh_query_ray(mesh, origins[k], dirs[k], reach)
    if query.result:
        distance[k] = query.t
        face[k] = query.face
    else:
        distance[k] = wp.INF
        face[k] = -1


@wp.kernel
def pierce(
    mesh: wp.uint64,
    instance: wp.array(dtype=wp.int32),
    origin: wp.vec3,
    dirs: wp.array(dtype=wp.vec3),
    reach: float,
    hits: wp.array2d(dtype=wp.int32),
):
    """Object ids met along each ray, nearest first, through everything; -1 after the last."""
    k = wp.tid()
    start = float(0.0)
    for i in range(hits.shape[1]):
        hits[k, i] = -1
    n = int(0)
    alive = int(1)
    last = int(-1)
    steps = int(0)
    while alive == 1:
        query = wp.mesh_query_ray(mesh, origin + dirs[k] * start, dirs[k], reach - start)
        steps = steps + 1
        if not query.result or steps > 40:
            alive = 0
        else:
            start = start + query.t + 1.0e-3 + 1.0e-5 * start
            found = instance[query.face]
            if found != last:
                hits[k, n] = found
                n = n + 1
                last = found
                if n == hits.shape[1]:
                    alive = 0
