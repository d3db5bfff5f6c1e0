# ruff: noqa: UP018, RUF046
# Warp needs float(0.0) for what a loop changes, and nested ifs: its `and` does not stop early.
# mypy: disable-error-code="valid-type,misc,no-untyped-def,untyped-decorator,attr-defined"
# mypy: no-warn-return-any
"""Rays through a scene, as Warp kernels: what they meet first, and all that they go through.

The same source on a CPU and on CUDA. Knows no pictures and no light.
"""

import warp as wp

wp.set_module_options({"enable_backward": False, "fast_math": False})


@wp.kernel
def cast(
    mesh: wp.uint64,
    origins: wp.array(dtype=wp.vec3),
    dirs: wp.array(dtype=wp.vec3),
    reach: float,
    distance: wp.array(dtype=wp.float32),
    face: wp.array(dtype=wp.int32),
):
    """Distance and face of each ray's first hit; inf and -1 for none."""
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
