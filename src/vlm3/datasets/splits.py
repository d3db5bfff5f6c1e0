"""Scenes that are kept out of training, by name: splits are by scene, never by frame."""

from collections.abc import Callable

Split = Callable[[str], str]
"""From a scene's name to "train", "val" or "test"."""

# Drawn by MapAnything from ScanNet++ v2 without v1 (its ScanNetPPSplits). The paper holds "30
# scenes" out and names none; its released sample is of this processing, so these are taken for
# them. All of v1, which other methods were trained on, is for training.
SCANNETPP_TEST = (
    "0e900bcc5c", "0eba3981c9", "1cbb105c6a", "3c8d535d49", "5d902f1593", "6bd39ac392",
    "6c14d5fd01", "7c31a42404", "9bfbc75700", "13b4efaf62", "062e5a23a6", "95b9971d01",
    "246fe09e98", "637a27d04b", "725b8f0cba", "413085a827", "696317583f", "a4c043ac48",
    "a9e4791c7e", "b0b004c40f", "c3bc5e82c5", "c31ebd4b22", "cba701332a", "cc5ea8026c",
    "cec8312f4e", "e3b3b0d0c7", "e667e09fe6", "eaa6c90310", "f9397af4cb", "fb893ffaf3",
)  # fmt: skip
SCANNETPP_VAL = (
    "1c7a683c92", "2a1b555966", "3a43c7b8d2", "4aef651da7", "06bc6d1b24", "7f22d5ef1b",
    "7f77abce34", "8ea517a2fc", "29c7afafed", "41eb967018", "77b40ce601", "086f09d6e3",
    "307e3262f1", "639f2c4d5a", "894dbd41f1", "898a7dfd0c", "2779f8f9e2", "151178afd7",
    "182932a4f3", "635852d56e", "9906136b57", "af112b8903", "b0f057c684", "b37177e6c8",
    "b119249da7", "be8367fcbe", "c8fc01c453", "e1fb8626c8", "e2caaaf5b5", "fe3fc057a1",
)  # fmt: skip

# As MapAnything and UFM take them; all other environments are for training.
TARTANAIR_VAL = ("EndofTheWorld", "HongKong", "WesternDesertTown")
TARTANAIR_TEST = ("DesertGasStation", "OldScandinavia", "PolarSciFi", "Sewerage", "Supermarket")

# As MapAnything takes them, in whichever layout they are read. Names of MegaDepth
# are SCENE_MODEL.
MEGADEPTH_VAL = ("0015_0", "0015_1", "0022_0")
SPRING_VAL = ("0013", "0023", "0037")
UNREALSTEREO4K_TEST = ("00008",)


def named(val: tuple[str, ...] = (), test: tuple[str, ...] = ()) -> Split:
    """The split that holds scenes out by name."""
    return lambda scene: "val" if scene in val else "test" if scene in test else "train"


def blendedmvs_split(scene: str) -> str:
    """DUSt3R's rule for BlendedMVS: every tenth of the scenes' hexadecimal names."""
    return "val" if int(scene[8:], 16) % 10 == 0 else "train"
