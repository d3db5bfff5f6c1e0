"""The catalogue of a Sweet Home 3D library: its licence, its models, and what they are to us.

Text only: `asset_models` opens the models themselves.
"""

import re
import zipfile

Item = dict[str, str]
"""One model as the catalogue has it: name, model (its file), width, depth, height in cm, ..."""

_CATEGORIES: dict[str, tuple[str, float, float]] = {
    "sofa": (r"\b(sofa|couch)\b", 0.5, 1.3),
    "armchair": (r"\b(armchair|relax chair)\b", 0.5, 1.4),
    "chair": (r"(?<!arm)(?<!wheel)(?<!deck )(?<!beach )(?<!high )chair\b|class seat", 0.6, 1.3),
    "stool": (r"\bstool\b", 0.3, 1.1),
    "bed": (r"^(iron |bunk |captain's |child )?bed$", 0.4, 2.0),
    "nightstand": (r"bedside table", 0.3, 0.8),
    "bookshelf": (r"bookcase|shelves", 0.6, 2.6),
    "wardrobe": (r"wardrobe|high cabinet", 1.5, 2.7),
    "chest of drawers": (r"dresser|drawers cabinet", 0.5, 1.4),
    "cupboard": (r"cupboard|glass door cabinet|^lower cabinet|sink cabinet|^safe$", 0.6, 2.0),
    "filing cabinet": (r"filing cabinet", 0.5, 1.6),
    "tv stand": (r"tv stand|television cabinet", 0.25, 0.8),
    "coffee table": (r"coffee table|small table|low table", 0.2, 0.6),
    "table": (
        r"^(?!.*(tennis|pool|football|bedside|coffee|changing|dressing)).*\btable\b",
        0.6,
        1.0,
    ),
    "desk": (r"\bdesk\b(?! lamp)", 0.6, 1.4),
    "refrigerator": (r"fridge|refrigerator", 0.8, 2.2),
    "washing machine": (r"washing machine|dryer machine|dishwasher", 0.7, 1.1),
    "stove": (r"^(large |propane )?stove$|^cooker|^oven$|double oven", 0.5, 1.2),
    "lamp": (
        r"^(?!.*(street|park|porch|outdoor|wall|ceiling|pendant|hanging)).*\blamp\b",
        1.1,
        2.1,
    ),
    "table lamp": (r"^(?!.*(wall|ceiling|pendant|hanging|park|street)).*\blamp\b", 0.15, 0.8),
    "plant": (
        r"plant\b|ficus|yucca|bamboo|spathiphyllum|orchid|lily|tulips|succulent|cactus|bonsai",
        0.2,
        2.2,
    ),
    "television": (r"^tv$|tv 16:9|^television$|flat tv", 0.3, 1.1),
    "laptop": (r"laptop|ibook|notebook", 0.1, 0.4),
    "monitor": (r"imac|^screen$|monitor", 0.25, 0.7),
    "toilet": (r"toilets unit|^toilet$", 0.4, 1.1),
    "bathtub": (r"^bath$|bathtub|jacuzzi", 0.3, 0.9),
    "mug": (r"\b(cup|mug)\b(?! cake)", 0.04, 0.2),
    "bottle": (r"bottle|flacon|milk", 0.08, 0.45),
    "bowl": (r"^bowl", 0.04, 0.3),
    "vase": (r"vase|pottery|old jar", 0.1, 0.8),
    "kettle": (r"kettle|teapot|coffee (maker|machine|brewer|press)|blender|mixer", 0.12, 0.5),
    "microwave": (r"microwave|small oven|bread box", 0.15, 0.45),
    "keyboard": (r"^keyboard$", 0.005, 0.1),
    "clock": (r"^clock$|^radio$|mp3|telephone|phone$", 0.03, 0.4),
    "printer": (r"printer|stereo|dvd player", 0.04, 0.5),
    "box": (r"^box$|cardboard box|crate|^chest$|trunck|pallet|^barrel$", 0.1, 1.0),
    "bin": (r"dustbin|trash ?can|bin$|clothes basket", 0.2, 1.3),
    "ball": (r"basketball$|soccer ball|puff$|teddy bear|rocking horse|tricycle", 0.15, 1.0),
    "bag": (r"backpack|suitcase|briefcase|handbag|shopping basket", 0.2, 0.8),
    "car": (
        r"sedan|beetle|leon$|ford|peugeot|renault|chevrolet|smart car|^suv$|vintage|mini\b",
        1.2,
        2.0,
    ),
    "van": (r"^van$", 1.7, 3.0),
    "bus": (r"\bbus$", 2.4, 4.5),
    "truck": (r"^truck$", 2.0, 4.5),
    "bicycle": (r"^bicycle$|^bike$|scooter|motorbike", 0.7, 1.4),
    "person": (r"^(female|male|boy|girl|holding)", 1.0, 2.1),
    "bench": (r"\bbench$(?<!piano bench)(?<!abdominal bench)|wood bank", 0.35, 1.1),
    "traffic sign": (r"emergency sign|^sign", 1.5, 3.5),
    "street lamp": (r"street (lamp|light)|lamppost", 2.5, 10.0),
}
"""Our category: pattern of the catalogue's name, least and most height in metres."""


def licence_of(text: str) -> str | None:
    """The name of a library's licence; None if it is not one of the two that packs may hold."""
    if "Creative Commons Zero" in text:
        return "CC0-1.0"
    return "CC-BY-3.0" if "Creative Commons Attribution 3.0" in text else None


def read_catalogue(archive: zipfile.ZipFile) -> list[Item]:
    """The items of PluginFurnitureCatalog.properties that have what a model needs."""
    items: dict[int, Item] = {}
    text = archive.read("PluginFurnitureCatalog.properties").decode("iso-8859-1")
    for line in text.splitlines():
        field = re.match(r"(\w+)#(\d+)=(.*)", line)
        if field:
            items.setdefault(int(field[2]), {})[field[1]] = field[3].strip()
    return [items[k] for k in sorted(items) if {"name", "model", "width"} <= set(items[k])]


def size_m(item: Item) -> tuple[float, float, float]:
    """Width, depth and height in metres."""
    w, d, h = (float(item[k]) / 100 for k in ("width", "depth", "height"))
    return (w, d, h)


def category_of(item: Item) -> str | None:
    """Our category of an item; None for what has none, hangs, or is a door or a window."""
    if item.get("doorOrWindow") == "true" or float(item.get("elevation", 0) or 0) > 5:
        return None
    name, height = item["name"].lower(), size_m(item)[2]
    if re.search(r"sitting|lying|under snow", name):
        return None
    for category, (pattern, low, high) in _CATEGORIES.items():
        if low <= height <= high and re.search(pattern, name):
            return category
    return None
