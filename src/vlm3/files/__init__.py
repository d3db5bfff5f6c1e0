"""Files from outside, each kind opened in one place: bounded, typed, and refused in one line.

    reading   bytes and JSON within a size and a depth; names that stay below their folder
    schema    what a JSON value must be
    arrays    .npy and .npz, whose headers are checked before anything is allocated
    tars      the members of a plain tar
    writing   files that appear whole or not at all
    sums      SHA256SUMS of a folder

A damaged file gives an `InputError` that names the file, the place in it and what is allowed, and
never quotes more than a little of it. Knows no task and no data set.
"""
