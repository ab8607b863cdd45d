"""Small changes of the source that are likely bugs, each at one place.

  condition   of if, while, for and ?: negated
  bound       < and <=, > and >= exchanged
  constant    a number, one more
  statement   a call or an assignment dropped

libclang says where the places are; their text is read from the source, so that what the
preprocessor made of it stays out. Places that a build without mitigations does not contain are
left to the modules that only the hardened flavour has.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from clang import cindex

cindex.Config.set_library_file("/usr/lib/llvm-19/lib/libclang-19.so.1")
Kind = cindex.CursorKind

# What only the hardened flavour runs: mutated and killed there.
HARDENED = {"chacha", "empty", "guard", "harden", "held", "quarantine", "random", "sized", "sweep",
            "types"}
BOUNDS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}
# What a condition names that is false in the builds that are tried.
ABSENT = re.compile(r"MITIGATE_|(?<!!)WITHOUT_")
CONDITIONED = {Kind.IF_STMT: "if", Kind.WHILE_STMT: "while"}
DROPPED = {Kind.CALL_EXPR, Kind.BINARY_OPERATOR, Kind.COMPOUND_ASSIGNMENT_OPERATOR,
           Kind.UNARY_OPERATOR}
BODIES = {Kind.COMPOUND_STMT, Kind.CASE_STMT, Kind.DEFAULT_STMT}


@dataclass(frozen=True)
class Change:
    """source[begin:end] becomes `after`."""

    file: str
    line: int
    text: str  # of the line
    kind: str
    begin: int
    end: int
    before: str
    after: str

    @property
    def name(self):
        return f"{self.file}:{self.line} {self.kind}"

    def of(self, text):
        return text[:self.begin] + self.after + text[self.end:]


def modules(root):
    """src/x.c of the modules that make slow paths: no seams, no names of other interfaces."""
    return [p for p in sorted((root / "src").glob("*.c")) if not p.name.startswith("override")]


def is_hardened(path):
    return Path(path).stem in HARDENED


def blanked(text):
    """Comments and strings as blanks: offsets stay."""
    token = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
    return token.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def closing(text, at):
    """The offset of the parenthesis that closes the one at `at`."""
    depth = 0
    for i in range(at, len(text)):
        depth += (text[i] in "([{") - (text[i] in ")]}")
        if depth == 0:
            return i
    return len(text)


def end_of_statement(text, at):
    """The offset behind its semicolon."""
    while at < len(text) and text[at] != ";":
        at = closing(text, at) + 1 if text[at] in "([{" else at + 1
    return at + 1


def top_level(text, separator):
    """Offsets of a separator outside of all parentheses."""
    found, depth = [], 0
    for i, c in enumerate(text):
        depth += (c in "([{") - (c in ")]}")
        if depth == 0 and c == separator:
            found.append(i)
    return found


class Finder:
    def __init__(self, root, path):
        self.file = str(path.relative_to(root))
        self.text = path.read_text()
        self.code = blanked(self.text)
        self.changes = []

    def add(self, kind, begin, end, after):
        before = self.text[begin:end]
        if begin >= end or ABSENT.search(before) or "HAK_ASSERT" in before:
            return
        line = self.text.count("\n", 0, begin) + 1
        text = self.text.splitlines()[line - 1].strip()
        change = Change(self.file, line, text, kind, begin, end, before, after)
        if change not in self.changes:
            self.changes.append(change)

    def negate(self, begin, end):
        while begin < end and self.text[begin].isspace():
            begin += 1
        self.add("condition", begin, end, f"!({self.text[begin:end].rstrip()})")

    def visit(self, cursor, parent):
        at = cursor.extent.start.offset
        kind = cursor.kind
        if kind in CONDITIONED and self.code.startswith(CONDITIONED[kind], at):
            opening = self.code.index("(", at)
            end = closing(self.code, opening)
            if ABSENT.search(self.text[opening:end]):
                return  # what is below is not in every build
            self.negate(opening + 1, end)
        elif kind == Kind.FOR_STMT and self.code.startswith("for", at):
            opening = self.code.index("(", at)
            inside = self.code[opening + 1:closing(self.code, opening)]
            parts = top_level(inside, ";")
            if len(parts) == 2 and inside[parts[0] + 1:parts[1]].strip():
                self.negate(opening + 1 + parts[0] + 1, opening + 1 + parts[1])
        elif kind == Kind.CONDITIONAL_OPERATOR:
            mark = self.code.find("?", at)
            if mark > 0 and re.match(r"[\w(!*]", self.code[at:at + 1]) and not re.search(
                    r"[;{}]", self.code[at:mark]) and self.balanced(at, mark):
                self.negate(at, mark)
        elif kind == Kind.BINARY_OPERATOR:
            self.bound(cursor)
        elif kind == Kind.INTEGER_LITERAL:
            match = re.compile(r"(?:0x[0-9a-fA-F]+|\d+)[uUlL]*\b").match(self.code, at)
            if match and not re.match(r"[\w.]", self.code[at - 1:at]):
                self.add("constant", at, match.end(), f"({match.group()} + 1)")
        if parent in BODIES and kind in DROPPED:
            end = end_of_statement(self.code, at)
            begins = re.search(r"[;{}:]\s*$", self.code[:at])
            if begins and not re.search(r"[{}]", self.code[at:end]):
                self.add("statement", at, end, ";")
        for child in cursor.get_children():
            self.visit(child, kind)

    def balanced(self, begin, end):
        part = self.code[begin:end]
        return part.count("(") == part.count(")")

    def bound(self, cursor):
        sides = list(cursor.get_children())
        if len(sides) != 2:
            return
        # Between the two sides lies the operator, if no macro hides it.
        begin, end = sides[0].extent.end.offset, sides[1].extent.start.offset
        match = re.fullmatch(r"\s*(<=|>=|<|>)\s*", self.code[begin:end])
        if match:
            self.add("bound", begin + match.start(1), begin + match.end(1), BOUNDS[match[1]])


def changes_of(root, path):
    """All changes of a file, in the order of the source."""
    mitigations = 2047 if is_hardened(path) else 0
    arguments = ["-std=gnu11", f"-I{root}/src", "-DHAK_CHECKED=1", "-DGEOMETRY_SMALL=1",
                 f"-DHAK_MITIGATIONS={mitigations}", "-DHAK_CEILING=0",
                 '-DHAK_FLAVOUR="audit"', "-D_GNU_SOURCE"]
    unit = cindex.Index.create().parse(str(path), arguments)
    errors = [d for d in unit.diagnostics if d.severity >= cindex.Diagnostic.Error]
    if errors:
        raise ValueError(f"{path}: {errors[0]}")
    finder = Finder(root, path)
    for cursor in unit.cursor.get_children():
        if cursor.location.file and cursor.location.file.name == str(path) and (
                cursor.kind == Kind.FUNCTION_DECL and cursor.is_definition()):
            finder.visit(cursor, None)
    return sorted(finder.changes, key=lambda c: (c.begin, c.kind))
