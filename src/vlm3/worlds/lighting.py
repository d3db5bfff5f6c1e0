# ruff: noqa: SIM102
# Warp needs float(0.0) for what a loop changes, and nested ifs: its `and` does not stop early.
# mypy: disable-error-code="valid-type,misc,no-untyped-def,untyped-decorator,attr-defined"
# mypy: no-warn-return-any
"""How much light arrives at a point of a scene, as Warp functions: lamps, sun, sky, surroundings.

Knows no pictures: `worlds.shading` draws them with it.
"""

import warp as wp

from vlm3.worlds.patterns import Surface, noise


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
    """Coordinates on the surface of a point on a face, metres."""
    w = 1.0 - u - v
    first, second, third = s.faces[3 * face], s.faces[3 * face + 1], s.faces[3 * face + 2]
    return s.uv[first] * u + s.uv[second] * v + s.uv[third] * w


@wp.func
def face_normal(s: Surface, face: int, u: float, v: float) -> wp.vec3:
    """Smooth unit normal of a point on a face."""
    w = 1.0 - u - v
    first, second, third = s.faces[3 * face], s.faces[3 * face + 1], s.faces[3 * face + 2]
    return wp.normalize(s.normals[first] * u + s.normals[second] * v + s.normals[third] * w)


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


@wp.func
def mirrored(
    s: Surface, light: Light, m: int, point: wp.vec3, n: wp.vec3, shading: wp.vec3, d: wp.vec3
) -> wp.vec4:
    """Radiance that a glossy material mirrors along d, and its share of what leaves the surface."""
    look = s.look[m]
    away = 1.0 - wp.max(-wp.dot(shading, d), 0.0)
    fresnel = look[1] + (1.0 - look[1]) * away * away * away * away * away * (1.0 - 0.8 * look[2])
    bounced = wp.normalize(d - shading * (2.0 * wp.dot(d, shading)))
    if wp.dot(bounced, n) <= 0.0:
        return wp.vec4(0.0, 0.0, 0.0, 0.0)
    soft = light.ambient * 0.5
    sharp = soft
    if fresnel * (1.0 - look[2]) > 0.03:
        sharp = arriving(s, light, point, bounced, 100.0, light.reach)
    shine = (sharp + (soft - sharp) * look[2]) * fresnel
    return wp.vec4(shine[0], shine[1], shine[2], fresnel)
