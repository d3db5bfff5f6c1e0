"""What a benchmark is: which reader, which samples, which metric, where to get it. Knows no file.

The entries are in `benchmarks.toml`, which `benchmarks` reads.
"""

from dataclasses import dataclass
from typing import Literal

from vlm3.tasks.base import TaskName

WHOLE_SET = 1_000_000
"""As a count: more than any set has."""
Label = Literal["distance", "z", "scannetpp", "0.8 distance"]
"""What a depth set's published label is; see `vlm3.tasks.depth_labels`."""
Verified = Literal["real files", "publisher's code", "lmms-eval's code", "documentation", "own"]


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One data set under one evaluation protocol.

    Attributes:
        name: what `vlm3 eval` calls it.
        title: for tables.
        tasks: the kinds of questions.
        reader: which reader of `vlm3.eval.readers` reads it.
        data_format: what must lie in the folder.
        split: which part of the set.
        sampling: how samples are chosen.
        count: how many by default: queries of depth sets, pairs of pair sets.
        seed: of the sampling.
        metric: the primary one.
        protocol: that of the published number.
        label: what the published depth label is.
        column: its column in the published table of its task, if it has one.
        published_samples: whether the samples are those of that column.
        roads: whether the pictures were taken from cars; some experts have a model for those.
        scoring: the published table whose delta1 is a mean over pictures, if it is one.
        measures: what it measures, in a few words.
        source: where to get it.
        licence: of its questions or labels.
        verified: what the reader was checked on: the publisher's files, files written as that
            code writes or reads them, or its documentation; "own" is made by vlm3.
        unread: what of it could not be looked up; empty for nothing.
    """

    name: str
    title: str
    tasks: tuple[TaskName, ...]
    reader: str
    data_format: str
    split: str
    sampling: str
    count: int = WHOLE_SET
    seed: int = 42
    metric: str = "delta1"
    protocol: str = "release-depth"
    label: Label = "distance"
    column: str | None = None
    published_samples: bool = True
    roads: bool = False
    scoring: str | None = None
    measures: str
    source: str
    licence: str
    verified: Verified
    unread: str = ""
