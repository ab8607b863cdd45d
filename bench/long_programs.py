"""Whole programs that run for a second and more, on inputs that are made here.

Long enough that what a process pays once, such as loading a library, and what it pays with each
allocation are told apart. The inputs are the same each time.
"""

import os
import random
import subprocess
import tempfile

import programs

REDIS_REQUESTS = 150000
SQL = """
create table t (id integer primary key, name text, value real);
with recursive c(x) as (select 1 union all select x + 1 from c where x < 500000)
    insert into t select x, 'name ' || hex(x * 2654435761 % 65536), x * 0.5 from c;
create index t_name on t (name);
select name, count(*), sum(value) from t group by name order by 3 desc limit 5;
select count(*) from t a join t b on a.name = b.name where a.id < b.id;
select sum(length(group_name)) from
    (select group_concat(name || value) as group_name from t group by id % 1000);
"""
PYTHON = """
import json
kept = [{"number": i, "words": [str(i)] * 5, "inner": {"x": i * 1.5}} for i in range(20000)]
for _ in range(22):
    kept = json.loads(json.dumps(kept))
print(len(kept))
"""
PERL = """
my (%count, @kept);
for my $i (1 .. 600000) {
    my $word = "word" . ($i * 7919 % 40009);
    push @{ $count{$word} }, $i if $i % 3;
    $kept[$i % 5000] = { word => $word, parts => [ split //, $word ] };
}
my $all = join " ", map { "$_=@{$count{$_}}" } sort keys %count;
print scalar(keys %count), " ", length($all), "\\n";
"""


def c_source():
    """Functions of loops and switches, as a generator of parsers writes them."""
    chosen = random.Random(1)
    yield "struct node { struct node *next; long value, key[4]; };"
    for number in range(110):
        yield f"long step_{number}(struct node *n, long seed)\n{{\n    long sum = seed;"
        yield "    for (; n; n = n->next)\n        switch (n->value & 15) {"
        for case in range(16):
            a, b, c = (chosen.randrange(1, 31) for _ in range(3))
            other = chosen.randrange(number) if number else number
            yield f"        case {case}: sum += n->key[{case % 4}] * {a} ^ sum >> {b};"
            yield f"            if (sum % {c + 1} == {case})"
            yield f"                sum -= step_{other}(n->next, sum);\n            break;"
        yield "        }\n    return sum;\n}"


def history():
    """A repository's, as `git fast-import` reads it."""
    chosen = random.Random(2)
    words = [f"word{i}" for i in range(3000)]
    files = {}
    for commit in range(600):
        yield "commit refs/heads/main\n"
        yield f"committer A <a@example.org> {1700000000 + commit * 60} +0000\ndata 7\nchange\n\n"
        for _ in range(4):
            name = f"folder{chosen.randrange(6)}/file{chosen.randrange(20)}"
            lines = files.setdefault(name, [])
            for _ in range(30):
                line = " ".join(chosen.choices(words, k=8))
                lines.insert(chosen.randrange(len(lines) + 1), line)
            text = "\n".join(lines) + "\n"
            yield f"M 100644 inline {name}\ndata {len(text)}\n{text}\n"


class LongPrograms:
    """Use with `with`: the inputs go at its end. names: of the programs."""

    def __init__(self, folder, timeout):
        self.folder, self.timeout = folder, timeout
        self.inputs = tempfile.TemporaryDirectory()
        self.runs = {
            "C compiler": self.compiler, "C++ compiler": self.compiler_cxx,
            "Python": lambda *a: self.python(*a), "Python, each object from malloc":
            lambda *a: self.python(*a, malloc="malloc"),
            "perl": self.perl, "sqlite3": self.sqlite, "git log": self.git, "redis": self.redis,
        }
        self.names = list(self.runs)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.inputs.cleanup()

    def profile_file(self):
        """Where processes may write their profiles."""
        return os.path.join(self.inputs.name, "profile")

    def run(self, name, library, options):
        """The report of one run with these HAKMEM_OPTIONS."""
        return self.runs[name](library, {"HAKMEM_OPTIONS": options})

    def run_short(self, library, options):
        """The same of a process that does next to nothing."""
        report, _ = self.launch(library, {"HAKMEM_OPTIONS": options}, "sh", "-c", ":")
        return report

    def input(self, name, make):
        """The path of an input; make(path) makes it, once."""
        path = os.path.join(self.inputs.name, name)
        if not os.path.exists(path):
            make(path)
        return path

    def text(self, name, pieces, end=""):
        def write(path):
            with open(path, "w") as file:
                file.writelines(piece + end for piece in pieces)
        return self.input(name, write)

    def launch(self, library, environment, program, *arguments):
        return programs.launch(self.folder, library, [programs.program_path(program), *arguments],
                               self.timeout, environment.items())

    def checked(self, library, environment, program, *arguments):
        report, output = self.launch(library, environment, program, *arguments)
        report["checksum"] = programs.digest(output)
        return report

    def compiler(self, library, environment):
        source = self.text("input.c", c_source(), "\n")
        return self.checked(library, environment, "gcc", "-O2", "-S", "-o", "-", source)

    def compiler_cxx(self, library, environment):
        source = os.path.join(programs.HERE, "compile.cc")
        return self.checked(library, environment, "g++", "-std=c++17", "-O2", "-S", "-o", "-",
                            source)

    def python(self, library, environment, malloc="pymalloc"):
        return self.checked(library, {**environment, "PYTHONMALLOC": malloc, "PYTHONHASHSEED": "0"},
                            "python3", "-c", PYTHON)

    def perl(self, library, environment):
        return self.checked(library, {**environment, "PERL_HASH_SEED": "0"}, "perl", "-e", PERL)

    def sqlite(self, library, environment):
        return self.checked(library, environment, "sqlite3", ":memory:", SQL)

    def git(self, library, environment):
        def make(path):
            git = programs.program_path("git")
            subprocess.run([git, "init", "-q", "--bare", path], check=True)
            subprocess.run([git, "-C", path, "fast-import", "--quiet"], check=True,
                           input="".join(history()).encode())
        return self.checked(library, environment, "git", "-C", self.input("repository", make),
                            "log", "-p", "--stat", "main")

    def redis(self, library, environment):
        return programs.run_redis(self.folder, library, self.timeout, REDIS_REQUESTS, environment)
