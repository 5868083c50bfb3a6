"""Generate mutants of a module: the same source with one small, plausible mistake in it.

A mutant replaces one span of the source text, so that everything else, docstrings and layout included, stays as it is.
Annotations, docstrings, f-strings and the messages of exceptions are left alone.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

COMPARISONS = {
    "<": ("<=", ">="),
    "<=": ("<", ">"),
    ">": (">=", "<="),
    ">=": (">", "<"),
    "==": ("!=",),
    "!=": ("==",),
    "is not": ("is",),
    "is": ("is not",),
    "not in": ("in",),
    "in": ("not in",),
}
COMPARISON_TEXT = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Is: "is",
    ast.IsNot: "is not",
    ast.In: "in",
    ast.NotIn: "not in",
}
ARITHMETIC = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "/"),
    ast.Mod: ("%", "*"),
    ast.Pow: ("**", "*"),
    ast.BitOr: ("|", "&"),
    ast.BitAnd: ("&", "|"),
}
# Functions and methods that are easily taken for each other. An empty name leaves the bare argument.
CALLS = {
    "min": "max",
    "max": "min",
    "any": "all",
    "all": "any",
    "round": "int",
    "int": "round",
    "sorted": "list",
}
CALLS |= {"ceil": "floor", "floor": "ceil", "abs": "", "set": "list", "reversed": ""}
METHODS = {"mean": "sum", "sum": "mean", "min": "max", "max": "min", "any": "all", "all": "any"}
METHODS |= {
    "argmin": "argmax",
    "argmax": "argmin",
    "floor": "ceil",
    "ceil": "floor",
    "sin": "cos",
    "cos": "sin",
}
METHODS |= {"zeros": "ones", "ones": "zeros", "startswith": "endswith", "endswith": "startswith"}
METHODS |= {
    "is_file": "exists",
    "is_dir": "exists",
    "softmax": "sigmoid",
    "zeros_": "ones_",
    "union": "intersection",
}
# Functions whose arguments can change places.
COMMUTATIVE = (
    "min",
    "max",
    "minimum",
    "maximum",
    "hypot",
    "logaddexp",
    "equal",
    "array_equal",
    "assert_equal",
)
# Methods that return whole numbers.
WHOLE = ("argmax", "argmin", "integers", "numel", "count", "searchsorted", "prod")
# Methods without arguments that can be left out: `model.eval()` becomes `model`.
DROPPED = (
    "eval",
    "detach",
    "clone",
    "abs",
    "square",
    "sqrt",
    "exp",
    "log",
    "relu",
    "float",
    "double",
    "copy",
)
DROPPED += (
    "strip",
    "lower",
    "resolve",
    "absolute",
    "flush",
    "items",
    "keys",
    "unique",
    "train",
    "commit",
)
ATTRIBUTES = {"LOCK_EX": "LOCK_SH", "LOCK_SH": "LOCK_EX", "O_EXCL": "O_CREAT", "SIGKILL": "SIGTERM"}
# Keyword arguments that change how fast or how visibly something is done, but not what.
UNMUTATED_KEYWORDS = (
    "reach",
    "desc",
    "unit",
    "mininterval",
    "chunksize",
    "flush",
    "encoding",
    "strict",
    "help",
)
OPPOSITES = [
    ("support", "query"),
    ("backward", "forward"),
    ("train", "test"),
    ("start", "stop"),
    ("start", "end"),
]
OPPOSITES += [
    ("first", "last"),
    ("height", "width"),
    ("before", "after"),
    ("top", "bottom"),
    ("left", "right"),
]
OPPOSITES += [
    ("rows", "columns"),
    ("row", "column"),
    ("old", "new"),
    ("keys", "values"),
    ("1", "2"),
    ("in", "out"),
]
OPPOSITES += [
    ("least", "most"),
    ("low", "high"),
    ("lower", "upper"),
    ("way", "shot"),
    ("key", "value"),
    ("a", "b"),
]


KEY = ("module", "function", "text", "column", "before", "after")


@dataclass(frozen=True)
class Mutant:
    """One replacement in one module; `text` is the source line on which it begins, `function` its qualified name."""

    module: str
    line: int
    column: int
    function: str
    operator: str
    text: str
    before: str
    after: str
    start: int
    end: int

    @property
    def key(self) -> tuple[str, ...]:
        """What names the mutant in files of results even after lines were inserted above it; see `KEY`."""
        return tuple(str(getattr(self, name)) for name in KEY)

    def apply(self, source: bytes) -> bytes:
        return source[: self.start] + self.after.encode() + source[self.end :]


def mutants(path: Path, module: str) -> list[Mutant]:
    """All mutants of a module, no two alike. Some may be no valid Python: see `compiles`."""
    source = path.read_bytes()
    found = _Generator(source, module)
    found.visit(ast.parse(source))
    return list(
        {(mutant.start, mutant.end, mutant.after): mutant for mutant in found.mutants}.values()
    )


def compiles(source: bytes) -> bool:
    try:
        compile(source, "mutant", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    return True


class _Generator(ast.NodeVisitor):
    def __init__(self, source: bytes, module: str) -> None:
        self.source, self.module = source, module
        self.mutants: list[Mutant] = []
        self.lines = [0]
        for line in source.splitlines(keepends=True):
            self.lines.append(self.lines[-1] + len(line))
        self.scope: list[str] = []
        self.names: list[set[str]] = [set()]

    # Positions

    def start(self, node: ast.AST) -> int:
        return self.lines[node.lineno - 1] + node.col_offset

    def end(self, node: ast.AST) -> int:
        return self.lines[node.end_lineno - 1] + node.end_col_offset

    def segment(self, node: ast.AST) -> str:
        return self.source[self.start(node) : self.end(node)].decode()

    def add(self, operator: str, start: int, end: int, after: str) -> None:
        line = self.source.count(b"\n", 0, start)
        text = self.source[self.lines[line] : self.lines[line + 1]].decode().strip()
        before = self.source[start:end].decode()
        if before == after:
            return
        function = "".join(self.scope).removesuffix(".<locals>.").removesuffix(".") or "<module>"
        column = start - self.lines[line]
        mutant = Mutant(
            self.module, line + 1, column, function, operator, text, before, after, start, end
        )
        self.mutants.append(mutant)

    def replace(self, operator: str, node: ast.AST, after: str) -> None:
        self.add(operator, self.start(node), self.end(node), after)

    def between(
        self, operator: str, left: ast.AST, right: ast.AST, before: str, after: str
    ) -> None:
        """Replace the sign between two operands."""
        gap = self.source[self.end(left) : self.start(right)].decode()
        at = gap.find(before)
        if at >= 0:
            start = self.end(left) + len(gap[:at].encode())
            self.add(operator, start, start + len(before.encode()), after)

    # What is walked through

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self.scope.append(f"{node.name}.<locals>.")
        arguments = node.args
        self.names.append({name.id for name in ast.walk(node) if isinstance(name, ast.Name)})
        self.names[-1] |= {
            a.arg for a in [*arguments.args, *arguments.kwonlyargs, *arguments.posonlyargs]
        }
        for default in [*arguments.defaults, *arguments.kw_defaults]:
            if default is not None:
                self.visit(default)
        self._body(node.body)
        self.names.pop()
        self.scope.pop()

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.scope.append(f"{node.name}.")
        attributes = (n for n in ast.walk(node) if isinstance(n, ast.Attribute))
        self.attributes = {
            n.attr for n in attributes if isinstance(n.value, ast.Name) and n.value.id == "self"
        }
        self._body(node.body)
        self.scope.pop()

    def visit_Module(self, node: ast.Module) -> None:
        self.attributes: set[str] = set()
        self._body(node.body)

    def _body(self, body: list[ast.stmt]) -> None:
        for statement in body:
            docstring = isinstance(statement, ast.Expr) and isinstance(
                statement.value, ast.Constant
            )
            if not docstring:
                self.visit(statement)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Texts for people."""

    def visit_Import(self, node: ast.Import) -> None:
        """Nothing to get wrong unnoticed."""

    visit_ImportFrom = visit_Import

    def visit_Raise(self, node: ast.Raise) -> None:
        self.replace("statement", node, "pass")

    # Operators

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call):
            self.replace("statement", node, "pass")
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        if isinstance(node.targets[0], ast.Subscript):
            self.replace("statement", node, "pass")
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.replace("statement", node, "pass")
        if type(node.op) in ARITHMETIC:
            before, after = (f"{sign}=" for sign in ARITHMETIC[type(node.op)])
            self.between("arithmetic", node.target, node.value, before, after)
        self.generic_visit(node)

    def visit_Delete(self, node: ast.Delete) -> None:
        self.replace("statement", node, "pass")

    def visit_Continue(self, node: ast.Continue) -> None:
        self.replace("statement", node, "break")

    def visit_Break(self, node: ast.Break) -> None:
        self.replace("statement", node, "continue")

    def visit_If(self, node: ast.If | ast.IfExp | ast.While) -> None:
        if not isinstance(node.test, ast.Compare | ast.UnaryOp):
            self.replace("condition", node.test, f"(not ({self.segment(node.test)}))")
        self.generic_visit(node)

    visit_IfExp = visit_While = visit_If

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for condition in node.ifs:
            self.replace("condition", condition, "True")
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        operands = [node.left, *node.comparators]
        for left, operation, right in zip(operands, node.ops, operands[1:]):
            before = COMPARISON_TEXT[type(operation)]
            for after in COMPARISONS[before]:
                self.between("comparison", left, right, before, after)
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        before, after = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in itertools.pairwise(node.values):
            self.between("boolean", left, right, before, after)
        for value in node.values:
            if not isinstance(value, ast.Compare):
                self.replace("boolean", value, f"(not ({self.segment(value)}))")
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not | ast.USub):
            self.replace("negation", node, f"({self.segment(node.operand)})")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        texts = _is_text(node.left) or _is_text(node.right)
        if type(node.op) in ARITHMETIC and not texts:
            before, after = ARITHMETIC[type(node.op)]
            self.between("arithmetic", node.left, node.right, before, after)
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, bool):
            self.replace("constant", node, str(not value))
        elif isinstance(value, int):
            self.replace("constant", node, str(value + 1))
        elif isinstance(value, float):
            self.replace("constant", node, repr(2 * value or 1.0))
        elif isinstance(value, str) and "->" in value:
            self._pattern(node)

    def _pattern(self, node: ast.Constant) -> None:
        """Swap the first two neighbors of an einops pattern's left side that are plain names."""
        text = self.segment(node)
        pair = re.search(r"\b([a-z_]+) ([a-z_]+)\b(?=.*->)", text)
        if pair:
            self.replace(
                "axes", node, text[: pair.start()] + f"{pair[2]} {pair[1]}" + text[pair.end() :]
            )

    def visit_Tuple(self, node: ast.Tuple | ast.List) -> None:
        if len(node.elts) <= 4:
            self._swaps("order", node.elts)
        self.generic_visit(node)

    visit_List = visit_Tuple

    def visit_Slice(self, node: ast.Slice) -> None:
        for part in (node.lower, node.upper, node.step):
            if part is not None:
                self.replace("slice", part, "")
        self.generic_visit(node)

    def _swaps(self, operator: str, nodes: list[ast.expr]) -> None:
        """Swap neighbors. A text and something else are left alone: a mistake that shows at once."""
        for left, right in itertools.pairwise(nodes):
            starred = isinstance(left, ast.Starred) or isinstance(right, ast.Starred)
            if not starred and _is_text(left) == _is_text(right):
                gap = self.source[self.end(left) : self.start(right)].decode()
                after = f"{self.segment(right)}{gap}{self.segment(left)}"
                self.add(operator, self.start(left), self.end(right), after)

    def visit_keyword(self, node: ast.keyword) -> None:
        if node.arg not in UNMUTATED_KEYWORDS:
            self.visit(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        if name not in COMMUTATIVE:
            self._swaps("arguments", node.args)
        self._keywords(node)
        if (
            isinstance(node.func, ast.Name)
            and node.func.id in CALLS
            and not _converts_whole_number(node)
        ):
            self.replace("function", node.func, CALLS[node.func.id])
        if isinstance(node.func, ast.Attribute):
            name, tail = node.func.attr, self.end(node.func)
            if name in METHODS:
                self.add("method", tail - len(name), tail, METHODS[name])
            if name in DROPPED and not node.args and not node.keywords:
                self.replace("method", node, self.segment(node.func.value))
        self.generic_visit(node)

    def _keywords(self, node: ast.Call) -> None:
        """Leave out one keyword argument; where it has no default, the call fails."""
        everything = sorted([*node.args, *node.keywords], key=self.start)
        for keyword in node.keywords:
            if keyword.arg is None or keyword.arg in UNMUTATED_KEYWORDS:
                continue
            at = everything.index(keyword)
            if at > 0:
                self.add("keyword", self.end(everything[at - 1]), self.end(keyword), "")
            elif len(everything) > 1:
                self.add("keyword", self.start(keyword), self.start(everything[1]), "")
            else:
                self.replace("keyword", keyword, "")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if node.attr in ATTRIBUTES:
            self._renamed(node, ATTRIBUTES[node.attr])
        if (
            isinstance(node.value, ast.Name)
            and node.value.id == "self"
            and isinstance(node.ctx, ast.Load)
        ):
            for other in _opposites(node.attr, self.attributes):
                self._renamed(node, other)
        self.generic_visit(node)

    def _renamed(self, node: ast.Attribute, name: str) -> None:
        self.add("attribute", self.end(node) - len(node.attr), self.end(node), name)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            for other in _opposites(node.id, self.names[-1]):
                self.replace("name", node, other)


def _opposites(name: str, known: set[str]) -> Iterator[str]:
    """Other known names that differ from this one by a word with the opposite meaning."""
    words = name.split("_")
    for pair in OPPOSITES:
        for one, other in (pair, pair[::-1]):
            if one in words:
                changed = "_".join(other if word == one else word for word in words)
                if changed in known:
                    yield changed


def _converts_whole_number(node: ast.Call) -> bool:
    """Whether this is int(x.argmax()) or the like, which round(...) leaves as it is."""
    inner = node.args[0] if node.args else None
    return (
        isinstance(inner, ast.Call)
        and isinstance(inner.func, ast.Attribute)
        and inner.func.attr in WHOLE
    )


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
