#!/usr/bin/env python3
"""test_names.py: what the documents and the comments name is there: files and links, commands with their words and options,
variables of the environment, functions and macros, and what is evenloop's or asyncio's in Python.

(What runs, test_docs.py and test_golden.py run. Here each name is looked up, and one that is missing is told with file and line.)
"""
import ast
import asyncio
import builtins
import fnmatch
import functools
import io
import keyword
import os
import pathlib
import re
import sys
import tokenize

if sys.version_info < (3, 11):
    print("evenloop: skipped: names are looked up in asyncio as it is since Python 3.11")
    sys.exit(77)

ROOT = pathlib.Path(__file__).resolve().parent.parent
TREE = {}
for folder, folders, files in os.walk(ROOT):
    folders[:] = sorted(name for name in folders if name == ".ci" or not name.startswith((".", "build", "__pycache__")))
    TREE |= {str(path.relative_to(ROOT)): path for path in (pathlib.Path(folder, name) for name in sorted(files))}

# Named, but not here: what is others', and what stands for any.
ELSEWHERE = set("""
    base_events.py conftest.py fenv.h kernel.json file.c FILE.py golden/NAME.txt tests/golden/NAME.txt
    LocalCluster __errno_location function_return getpeercert jump_fcontext ret
""".split())
# In some versions of Python alone.
SOMETIMES = {"Server.close_clients"}

problems = []


# ---- reading: each file's code and its prose (comments, or all of a document), as long as the file -------------------------

def blank(text):
    return re.sub(r"[^\n]", " ", text)


def c_comments(text):
    for m in re.finditer(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', text, re.S):
        if m[0][0] == "/":
            yield m.span()


def python_comments(text):
    """Comments, and strings that are a statement."""
    starts = [0, *(m.end() for m in re.finditer("\n", text))]
    before = tokenize.NEWLINE
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT or (token.type == tokenize.STRING
                                              and before in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)):
            yield tuple(starts[line - 1] + column for line, column in (token.start, token.end))
        if token.type not in (tokenize.COMMENT, tokenize.NL):
            before = token.type


def hash_comments(text):
    return (m.span() for m in re.finditer(r"(?:^|(?<=\s))#.*", text, re.M))


def document(text):
    return [(0, len(text))]


READERS = {"*.[chS]": c_comments, "*.cpp": c_comments, "*.py": python_comments, "*.pyi": python_comments, "*.md": document,
           "*.sh": hash_comments, ".ci/run": hash_comments, "*.cmake": hash_comments, "*CMakeLists.txt": hash_comments,
           "*.toml": hash_comments, "Makefile": hash_comments}
CODE, PROSE = {}, {}
for name, path in TREE.items():
    for read in [read for pattern, read in READERS.items() if fnmatch.fnmatch(name, pattern)]:
        text, code, prose, at = path.read_text(), "", "", 0
        for begin, end in read(text):
            code += text[at:begin] + blank(text[begin:end])
            prose += blank(text[at:begin]) + text[begin:end]
            at = end
        CODE[name] = code + text[at:]
        PROSE[name] = prose + blank(text[at:])


def words(*patterns):
    """The identifiers of the code of files."""
    found = set()
    for name, code in CODE.items():
        if any(fnmatch.fnmatch(name, pattern) for pattern in patterns):
            if name.endswith((".c", ".h")):
                code = re.sub(r'"(?:\\.|[^"\\\n])*"', '""', code)
            found.update(re.findall(r"[A-Za-z_]\w*", code))
    return found


LIBRARY = words("include/*", "src/*")
WORDS = words("*") | {*dir(builtins), *keyword.kwlist, *sys.stdlib_module_names} | ELSEWHERE
for module in [module for name, module in sys.modules.items() if name.split(".")[0] == "asyncio"]:
    WORDS |= {word for value in vars(module).values() for word in dir(value)}      # asyncio's classes and their methods


# ---- files, links --------------------------------------------------------------------------------------------------------

FOLDERS = r"\.ci|bench|cli|cmake|docs|examples|include|python|scripts|src|tests|build/examples"
FILE = re.compile(rf"(?<![\w/.<*+-])(?:(?:{FOLDERS})/[\w./*-]*"
                  r"|(?:[\w*-][\w.*-]*/)*[\w*-][\w.*-]*\.(?:c|h|S|cpp|py|pyi|sh|md|txt|toml|cmake|json)\b(?![\w.]*[\w(]))")


@functools.cache
def own(by):
    """What a document's own programs are called, and what stands in them: those whose first line is their name (test_debugging.py
    runs them)."""
    blocks = re.findall(r"^```\w+\n(?:/\*|#) (\S+\.\w+).*\n((?s:.*?))^```$", PROSE[by] if by.endswith(".md") else "", re.M)
    names = {word for _, text in blocks for word in re.findall(r"[A-Za-z_]\w*", text)}
    return names | {f"{word}__body" for word in names} | {name for name, _ in blocks}


def is_there(name, by):
    """A file or a folder: from the top, from where it is named, or by the end of its path; of a program, its source."""
    name = name.rstrip("./")
    if name in ELSEWHERE or name in own(by) or (ROOT / name).exists() or (ROOT / by).parent.joinpath(name).exists():
        return True
    name = re.sub("^build/", "", name)
    return any(fnmatch.fnmatch("/" + file, f"*/{wanted}") for file in TREE for wanted in (name, name + ".c"))


def check_file(m, by):
    return None if is_there(m[0], by) else f"there is no file {m[0]}"


@functools.cache
def anchors(name):
    headings = re.findall(r"^#+ +(.*)$", re.sub(r"```.*?```", "", TREE[name].read_text(), flags=re.S), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def check_link(m, by):
    if re.match(r"\w+:", m[1]):
        return None
    file, _, anchor = m[1].partition("#")
    target = (ROOT / by).parent.joinpath(file).resolve() if file else ROOT / by
    if not target.exists():
        return f"the link to {file} leads nowhere"
    if anchor and anchor not in anchors(str(target.relative_to(ROOT))):
        return f"{file or by} has no heading for #{anchor}"
    return None


# ---- commands ------------------------------------------------------------------------------------------------------------

def check_make(m, by):
    for word in m[1].split():
        variable, is_set, _ = word.partition("=")
        if is_set and f"$({variable})" not in CODE["Makefile"]:
            return f"the Makefile knows no {variable}"
        if not is_set and re.match("[a-z]", word) and not re.search(rf"^{re.escape(word)}:", CODE["Makefile"], re.M):
            return f"there is no `make {word}`"
    return None


PROGRAMS = {"build/evenloop": "cli/*.c", "evenloop run": "cli/*.c", "python -m evenloop": "python/evenloop/*.py"}


def check_command(m, by):
    """A script's or a program's options, and the words that a shell script tells apart."""
    sources = PROGRAMS.get(m[1], m[1].removeprefix("build/venv/bin/python "))
    code = "".join(code for name, code in CODE.items() if fnmatch.fnmatch(name, sources))
    for word in re.split(r" (?:-m|--) |  |[|;&>]", m[2])[0].split():
        option = re.match(r"\[?(--[a-z-]*[a-z])", word)
        if option and not re.search(rf"(?<![\w-]){option[1]}(?![\w-])", code):
            return f"{m[1]} has no option {option[1]}"
        if re.fullmatch("[a-z][a-z-]*", word) and sources.endswith(".sh") and not re.search(rf"^ *{word}\)", code, re.M):
            return f"{m[1]} knows no '{word}'"
    return None


# ---- names ---------------------------------------------------------------------------------------------------------------

# Where a variable of the environment is read.
READ = {"*.[ch]": r'(?<!setenv\()"(EVENLOOP_\w+)"', "*": r"\$(?:ENV)?\{?(\w+)",
        "*.py": r'(?:environ(?:\.get\(|\[)|(?="\w+" in os\.environ))"(\w+)"(?!\] = )'}
VARIABLES = {variable for name, code in CODE.items() for pattern, read in READ.items() if fnmatch.fnmatch(name, pattern)
             for variable in re.findall(read, code)}


def check_name(m, by):
    """even_... and EVEN_...; one that ends in _, or goes on with dots or a star, stands for all that begin so."""
    if m[0].startswith("EVENLOOP_"):
        known, what = VARIABLES, "nothing reads the variable"
    elif m[0].startswith("even_") and (by.endswith(".md") or by.startswith(("include/", "src/"))):
        known, what = LIBRARY, "neither include/ nor src/ declares"
    else:
        known, what = WORDS, "there is no"
    several = m[0].endswith("_") or m.string.startswith(("...", "*"), m.end())
    found = m[0] in known or several and any(word.startswith(m[0]) for word in known)
    return None if found else f"{what} {m[0]}"


def check_cmake_option(m, by):
    option = re.compile(rf"\b(?:option\({m[1]} |set\({m[1]} .*CACHE)")
    found = any(option.search(code) for name, code in CODE.items() if "cmake" in name.lower())
    return None if found else f"CMake has no option {m[1]}"


def check_call(m, by):
    return None if m[1] in WORDS or m[1] in own(by) else f"there is no function {m[1]}()"


def check_span(m, by):
    """A name alone, perhaps with arguments, in a document: the last part of a dotted one."""
    return None if m[1] in WORDS or m[1] in own(by) else f"no code has the name {m[1]}"


def check_hyphened(m, by):
    word = re.compile(rf"(?<![\w-]){m[1]}(?![\w-])")
    found = any(word.search(code) for name, code in CODE.items() if name.endswith((".sh", "Makefile")))
    return None if found else f"no script and no target has the word {m[1]}"


def has(value, names):
    for name in names:
        if not hasattr(value, name):
            return False
        value = getattr(value, name)
    return True


def check_asyncio(m, by):
    found = has(asyncio, m[1].split(".")) or m[1] in SOMETIMES
    return None if found else f"there is no asyncio.{m[1]}"


def check_counterpart(m, by):
    """What a public header names as asyncio's, such as loop.call_soon or Task.cancel."""
    owner = {"loop": "AbstractEventLoop", "transport": "Transport"}.get(m[1], m[1])
    if is_there(m[0], by) or not hasattr(asyncio, owner):
        return None
    found = has(asyncio, (owner, m[2])) or m[0] in SOMETIMES
    return None if found else f"asyncio has no {m[0]}"


package = ast.parse(TREE["python/evenloop/__init__.pyi"].read_text() + TREE["python/evenloop/__init__.py"].read_text())
PACKAGE = {pathlib.PurePath(name).stem for name in TREE if name.startswith("python/evenloop/")} | {"_core"} | {
    node.name for node in ast.walk(package) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))}


def check_package(m, by):
    first, *rest = m[1].split(".")
    found = is_there(m[0], by) or first in PACKAGE and all(name in WORDS for name in rest)
    return None if found else f"Python's evenloop has no {m[1]}"


# ---- all of it -----------------------------------------------------------------------------------------------------------

COMMAND = (r"((?:build/venv/bin/python )?(?:scripts|tests|python|bench)/[\w./-]+\.(?:sh|py)"
           r"|build/evenloop|(?<!/)evenloop run|python -m evenloop)")
DOTTED = r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)"
CHECKS = [          # of which files, what, by which function
    ("*", FILE, check_file),
    ("*.md", r"\]\(([^)\s]+)\)", check_link),
    ("*", r"`make ([^`\n]*)", check_make),
    ("*", r"`(?:\w+=\S+ )*" + COMMAND + r"( [^`\n]*)", check_command),
    ("*", COMMAND + r"((?: \[?--[\w-]+\S*| [A-Z]+\]?)+)", check_command),
    ("*", r"-D(EVEN_\w+)", check_cmake_option),
    ("*", r"\b(?:even|EVEN|EVENLOOP)_\w+", check_name),
    ("*", r"(?<![\w$])(?!even_)([A-Za-z_]\w*)\(\)", check_call),
    ("*.md", r"`(?:[A-Za-z_]\w*\.)*([A-Za-z_]\w*)(?:\([^`\n]*\))?`", check_span),
    ("*.md", r"`([a-z]+(?:-[a-z]+)+)`", check_hyphened),
    ("*", r"(?<![\w./])asyncio\." + DOTTED, check_asyncio),
    ("*", r"(?<![\w./])evenloop\." + DOTTED, check_package),
    ("include/*", r"(?<![\w./>-])(loop|transport|[A-Z]\w+)\.(\w+)", check_counterpart),
]


def commands(name, prose):
    """With the lines that are a command in backticks, too: those of a document's examples, and a script's usage."""
    if name.endswith(".md"):
        line = re.compile(r"^(?:\$ )?((?:\w+=\S+ )*(?:make|scripts/|build/|python ).*)$", re.M)
        return re.sub(r"^```\n.*?^```", lambda m: line.sub(r"`\1`", m[0]), prose, flags=re.M | re.S)
    return re.sub(r"^(#? {4,})(scripts/.*)$", r"\1`\2`", prose, flags=re.M)


looked_up = 0
for name, prose in PROSE.items():
    prose = commands(name, prose)
    for files, pattern, check in CHECKS:
        if fnmatch.fnmatch(name, files):
            for m in re.finditer(pattern, prose):
                looked_up += 1
                problem = check(m, name)
                if problem:
                    problems.append(f"{name}:{prose.count(chr(10), 0, m.start()) + 1}: {problem}")
print("\n".join(sorted(set(problems))) or f"{looked_up} names, all there")
sys.exit(bool(problems))
