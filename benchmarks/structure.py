"""Counts what a source tree repeats, with the same rules for every tree.

    python benchmarks/structure.py OLD/src src             one table, a column a tree
    python benchmarks/structure.py OLD/src src --places    and where each count comes from

Each argument is a folder that holds the package `vlm3`; tests/test_arrows.py is looked for beside
it. Nothing is imported: trees of any age are read as syntax. A rule is a function below; the one
thing that syntax cannot tell, which classes are pictures with labels, is a list with a reason each.
"""

import argparse
import ast
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

TASKS = {"depth", "objects", "correspondence", "pose", "fov", "questions"}
TASK_OBJECTS = {"DEPTH", "OBJECTS", "CORRESPONDENCE", "POSE", "FOV"}
NO_TASKS = {"table", "kind", "names", "lower", "intrinsics", "fields"}
"""Variables that hold something else where they are compared with a task's name."""
LONG_FUNCTION = 60

LABELLED_PICTURES: dict[str, str] = {
    "tasks/sample Sample": "pictures and their labels, wherever they came from",
    "data/record Record": "one picture and its labels as a file holds them",
    "data/record PairRecord": "two of those and their motion",
    "worlds/sample Frame": "a rendered picture and its labels",
    "worlds/sample Pair": "two of those",
    "worlds/labels Pictured": "either kind of rendered pair",
    "train/batch Lesson": "pictures at their final size, with questions and answers",
    "tasks/conversation Conversation": "pictures at their final size, with questions and answers",
    "eval/items Item": "pictures and queries with their truth",
    "eval/readers/rgbd Frame": "a benchmark's picture with depth and pose",
    "sources/base RawFrame": "a published set's picture with depth and pose, before curation",
    "own Sample": "a picture with its depth file, while a folder is read",
    "prepare Kept": "a picture with its labels, before it is written",
    "curation/stored StoredFrame": "a frame of a set, and its picture as it is stored",
    "pairs PairView": "a stored picture with depth and pose, while pairs are chosen",
    "pairs _View": "that at the size of the covisibility rule",
    "tracks Posed": "a picture file with camera and pose",
    "pose_survey SurveyView": "depth, camera and pose of one picture",
    "geometry/posed_depth PosedDepth": "depth on a grid with camera and pose, to compare views",
    "nano/workers ReadyPair": "a rendered pair on its way between processes",
    "nano/store Views": "rendered pairs as a batch of arrays",
    "assets/__init__ Example": "the package's two photographs and their truth",
}
"""End of a module's path and the class -> why it is a picture, or a pair, with its labels."""
MOVED = {
    "sources/base RawFrame": "datasets/base RawFrame",
    "worlds/sample Frame": "worlds/frame Frame",
    "eval/readers/rgbd Frame": "eval/readers/rgbd RgbdFrame",
}
"""Where a class stands in the newer tree, if the end of its path or its name changed."""


@dataclass(frozen=True)
class Module:
    """One file of a tree."""

    name: str
    tree: ast.Module
    lines: int

    @property
    def room(self) -> str:
        """The package of `vlm3` that it is in, or its own name."""
        return self.name.split("/")[0].removesuffix(".py")


@dataclass(frozen=True)
class Tree:
    """A package as syntax."""

    root: Path
    modules: tuple[Module, ...]

    @classmethod
    def read(cls, source: Path) -> "Tree":
        """The package below a folder."""
        package = source / "vlm3"
        paths = sorted(package.rglob("*.py"))
        if not paths:
            raise SystemExit(
                f"{source} holds no package vlm3: give the folder above it, such as src"
            )
        texts = [(path, path.read_text(encoding="utf-8")) for path in paths]
        return cls(
            source,
            tuple(
                Module(path.relative_to(package).as_posix(), ast.parse(text), text.count("\n"))
                for path, text in texts
            ),
        )


Places = list[str]
Rule = Callable[[Tree], Places]


def labelled_pictures(tree: Tree) -> Places:
    """Classes of the list that the tree has."""
    return [f"{name}: {why}" for name, _, why in _labelled(tree)]


def asked_from(tree: Tree) -> Places:
    """Those of them that a module which writes questions takes as an argument."""
    writers = [module for module in tree.modules if _is_writer(module)]
    found = []
    for name, home, _ in _labelled(tree):
        _, label = name.split()
        at = [module.name for module in writers if _takes(module, label, home)]
        if at:
            found.append(f"{name}: {', '.join(at)}")
    return found


def _labelled(tree: Tree) -> Iterator[tuple[str, str, str]]:
    """Module and class, the module as it is imported, and why the class is in the list."""
    for name, why in LABELLED_PICTURES.items():
        for ending in {name, MOVED.get(name, name)}:
            path, label = ending.split()
            for module, node in classes(tree):
                # "pairs" is data/pairs.py or curation/pairs.py, and not nano/pairs.py.
                if node.name == label and f"/{module.name}".endswith(f"/{path}.py"):
                    dotted = "vlm3." + module.name.removesuffix(".py").replace("/", ".")
                    yield f"{module.name} {label}", dotted.removesuffix(".__init__"), why


def _is_writer(module: Module) -> bool:
    if module.room == "tasks":
        return module.name != "tasks/conversation.py"
    return any(_writes(node) or _queries(node) for node in ast.walk(module.tree))


def _takes(module: Module, label: str, home: str) -> bool:
    """Whether a function of the module has an argument of that class of that module."""
    own = "vlm3." + module.name.removesuffix(".py").replace("/", ".")
    imported = own == home or any(
        isinstance(node, ast.ImportFrom)
        and node.module == home
        and label in {alias.name for alias in node.names}
        for node in ast.walk(module.tree)
    )
    arguments = (node for node in ast.walk(module.tree) if isinstance(node, ast.arg))
    return imported and any(
        isinstance(part, ast.Name) and part.id == label
        for argument in arguments
        if argument.annotation is not None
        for part in ast.walk(argument.annotation)
    )


def classes(tree: Tree) -> Iterator[tuple[Module, ast.ClassDef]]:
    for module in tree.modules:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef):
                yield module, node


def classes_twice(tree: Tree) -> Places:
    """Names of classes that several modules define; private ones are of one module each."""
    found: dict[str, set[str]] = defaultdict(set)
    for module, node in classes(tree):
        if not node.name.startswith("_"):
            found[node.name].add(module.name)
    return [f"{name}: {', '.join(sorted(at))}" for name, at in sorted(found.items()) if len(at) > 1]


def branches(tree: Tree) -> Places:
    """Modules outside the task's own file that compare with a task's name, or key a dict by it."""
    return _lines_where(tree, lambda node: _asks_ability(node) or _branches(node))


def branches_of_work(tree: Tree) -> Places:
    """Those that do more than to see whether a protocol has a task ("pose" in protocol.tasks)."""
    return _lines_where(tree, _branches)


def _lines_where(tree: Tree, wanted: Callable[[ast.AST], bool]) -> Places:
    found = []
    for module in tree.modules:
        if module.name in {f"tasks/{task}.py" for task in TASKS}:
            continue
        lines = {node.lineno for node in ast.walk(module.tree) if wanted(node)}  # type: ignore[attr-defined]
        if lines:
            found.append(f"{module.name}: {', '.join(map(str, sorted(lines)))}")
    return found


def _branches(node: ast.AST) -> bool:
    if isinstance(node, ast.Compare):
        return _compares_task(node) and not _asks_ability(node)
    if isinstance(node, ast.Match):
        values = [n.value for n in ast.walk(node) if isinstance(n, ast.MatchValue)]
        return any(map(_names_a_task, values)) and _last_name(node.subject) not in NO_TASKS
    if isinstance(node, ast.Dict):
        keys = [key for key in node.keys if key is not None]
        return len(keys) > 1 and all(_names_a_task(key) for key in keys)
    return False


def _asks_ability(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Compare)
        and _compares_task(node)
        and isinstance(node.ops[0], ast.In | ast.NotIn | ast.LtE)
        and _last_name(node.comparators[0]) == "tasks"
    )


def _compares_task(node: ast.Compare) -> bool:
    sides = [node.left, *node.comparators]
    others = [side for side in sides if not _names_a_task(side)]
    # "depth" is a half of Table 5 too, and a name of files and arrays; "fov" is an origin of K.
    apart = any(_last_name(o) in NO_TASKS for o in others)
    return len(others) < len(sides) and not apart


def _names_a_task(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant):
        return node.value in TASKS
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return bool(node.elts) and all(_names_a_task(one) for one in node.elts)
    return isinstance(node, ast.Name) and node.id in TASK_OBJECTS


def _last_name(node: ast.AST) -> str:
    if isinstance(node, ast.Call):
        return _last_name(node.func)
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        return str(node.slice.value)
    return node.id if isinstance(node, ast.Name) else ""


def message_builders(tree: Tree) -> Places:
    """Modules that write a user's chat message: a dict with the role "user" and a content."""
    found = []
    for module in tree.modules:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Dict):
                fields = {
                    key.value: value
                    for key, value in zip(node.keys, node.values, strict=True)
                    if isinstance(key, ast.Constant)
                }
                role = fields.get("role")
                if isinstance(role, ast.Constant) and role.value == "user" and "content" in fields:
                    found.append(f"{module.name}: {node.lineno}")
                    break
    return found


def question_writers(tree: Tree) -> Places:
    """Modules outside tasks/ that write questions with their answers.

    They make a `QA` of anything but constants, call a function named *_qa or *_qas, or a task
    module's `ask`.
    """
    return [place for place in _lines_where(tree, _writes) if not place.startswith("tasks/")]


def _writes(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    name = _last_name(node.func)
    if name == "QA":
        return len(node.args) > 2 and not all(isinstance(a, ast.Constant) for a in node.args)
    if name == "ask":
        return isinstance(node.func, ast.Attribute) and _last_name(node.func.value) in TASKS
    return name.endswith(("_qa", "_qas"))


def _queries(node: ast.AST) -> bool:
    """Whether it writes a query of an evaluation."""
    return isinstance(node, ast.Call) and _last_name(node.func).endswith("_query")


def scorers(tree: Tree) -> Places:
    """Modules that judge distances themselves: compare with 1.25, or call `delta_values`."""
    # The metric's own definition is one of them in every tree.
    return [place for place in _lines_where(tree, _judges) if "metrics.py" not in place]


def _judges(node: ast.AST) -> bool:
    if isinstance(node, ast.Compare):
        return any(isinstance(o, ast.Constant) and o.value == 1.25 for o in node.comparators)
    return isinstance(node, ast.Call) and _last_name(node.func) == "delta_values"


def readers_of_the_run(tree: Tree) -> Places:
    """Modules beside its own that import the type of a whole training run."""
    found = []
    for module in tree.modules:
        for node in ast.walk(module.tree):
            if (
                isinstance(node, ast.ImportFrom)
                and node.module == "vlm3.train.config"
                and {"Run", "RunConfig"} & {alias.name for alias in node.names}
            ):
                found.append(module.name)
                break
    return found


def fields_of_the_run(tree: Tree) -> Places:
    """Fields of the type of a whole training run."""
    for module, node in classes(tree):
        if module.name == "train/config.py" and node.name in ("Run", "RunConfig"):
            return [_last_name(n.target) for n in node.body if isinstance(n, ast.AnnAssign)]
    return []


def exempt_rooms(tree: Tree) -> Places:
    """What tests/test_arrows.py lets import anything, doors of one file left out."""
    path = tree.root.parent / "tests" / "test_arrows.py"
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and _last_name(node.targets[0]) == "FREE":
            return sorted(ast.literal_eval(node.value) - {"__init__", "__main__"})
    return []


def longest_module(tree: Tree) -> tuple[int, Places]:
    ranked = sorted(tree.modules, key=lambda module: -module.lines)
    return ranked[0].lines, [f"{module.name}: {module.lines}" for module in ranked[:10]]


def modules_above(limit: int) -> Rule:
    """Modules of more lines than that."""
    return lambda tree: [f"{m.name}: {m.lines}" for m in tree.modules if m.lines > limit]


def long_functions(tree: Tree) -> Places:
    """Functions of more than 60 lines, from `def` to the end, docstring included."""
    found = []
    for module in tree.modules:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
                lines = node.end_lineno - node.lineno + 1
                if lines > LONG_FUNCTION:
                    found.append((lines, f"{module.name} {node.name}: {lines}"))
    return [place for _, place in sorted(found, key=lambda one: -one[0])]


def long_bodies(tree: Tree) -> Places:
    """The same without signature and docstring."""
    found = []
    for module in tree.modules:
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            body = node.body[1:] if ast.get_docstring(node) else node.body
            lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
            if lines > LONG_FUNCTION:
                found.append((lines, f"{module.name} {node.name}: {lines}"))
    return [place for _, place in sorted(found, key=lambda one: -one[0])]


RULES: dict[str, Rule] = {
    "classes for a picture with labels": labelled_pictures,
    "of them, those questions are written from": asked_from,
    "public class names in two modules": classes_twice,
    "modules that branch on a task's name": branches,
    "of them, for more than what a protocol has": branches_of_work,
    "modules that build a user's chat message": message_builders,
    "modules outside tasks/ that write questions": question_writers,
    "modules that judge distances (δ1) themselves": scorers,
    "modules that take a whole training run": readers_of_the_run,
    "fields of a training run": fields_of_the_run,
    "packages exempt from the arrows": exempt_rooms,
    "modules above 300 lines": modules_above(300),
    "functions above 60 lines": long_functions,
    "of them, with a body above 60 lines": long_bodies,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Counts what source trees repeat.")
    parser.add_argument("sources", nargs="+", type=Path, metavar="SRC")
    parser.add_argument("--places", action="store_true", help="say where each count comes from")
    arguments = parser.parse_args()
    trees = [Tree.read(source) for source in arguments.sources]
    counts = {name: [rule(tree) for tree in trees] for name, rule in RULES.items()}
    rows = {name: [str(len(places)) for places in found] for name, found in counts.items()}
    longest = [longest_module(tree) for tree in trees]
    rows["lines of the longest module"] = [str(lines) for lines, _ in longest]
    rows["modules"] = [str(len(tree.modules)) for tree in trees]
    rows["lines"] = [f"{sum(m.lines for m in tree.modules):,}" for tree in trees]
    print(f"| | {' | '.join(str(source) for source in arguments.sources)} |")
    print(f"|---|{'---:|' * len(trees)}")
    for name, cells in rows.items():
        print(f"| {name} | {' | '.join(cells)} |")
    if arguments.places:
        counts["lines of the longest module"] = [places for _, places in longest]
        for name, found in counts.items():
            for source, places in zip(arguments.sources, found, strict=True):
                print(f"\n{name}, {source}: {len(places)}")
                print("\n".join(f"  {place}" for place in places))


if __name__ == "__main__":
    main()
