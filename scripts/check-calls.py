#!/usr/bin/env python3
"""Lists the calls from python/core into Python after which state is used that may have changed: see python/core/checked.h.

A method, a finalizer or a signal handler of the program's runs inside of such a call. So each of them, if its function uses one
of our objects afterwards, either is made through call_checked(), or says in a comment of its statement what makes that use right:

    none = held_call(&r->held, name, protocol, bytes);      /* again: read_next() looks at all of it */

`again:` means that what is used is looked up or tested anew; `only:` that what is used cannot be changed by a call.
With --all it prints each call, with what is said of it. A folder is looked through in place of python/core.
"""
import argparse
import pathlib
import re
import sys

CORE = pathlib.Path(__file__).resolve().parent.parent / "python" / "core"

# What runs code of the program's: the C API's; what calls through a pointer; what lets other threads run. Our own functions that
# contain one of these do, too: they are found out.
RUNS = r"""
    PyObject_(Call\w*|Vectorcall\w*|VectorcallMethod|GetAttr\w*|SetAttr\w*|GetOptionalAttr|GetBuffer|Length|Size|IsTrue|
              IsInstance|Repr|Str|GetIter|AsFileDescriptor|RichCompare\w*|GenericSetAttr)
    | PyIter_(Next|Send) | PyNumber_\w+ | PySequence_\w+ | PyMapping_\w+ | PyFloat_AsDouble | PyBytes_FromObject
    | PyBuffer_Release | PyDict_Clear
    | PyList_Sort | PyErr_(CheckSignals|WarnFormat|WriteUnraisable) | PySys_Audit | PyImport_ImportModule | PyArg_Parse\w*
    | \w+->(?:run|drop)\s*\( | PyEval_SaveThread | even_loop_(run_forever|run_queued|look) | call_in_context | loop_follow_clock
    | Py_(CLEAR|XSETREF|SETREF)\s*\(\s*\w+->
"""
RUNS = re.sub(r"\s+", "", RUNS)
# A use of one of our objects.
OURS = (r"(?:struct\s+)?(?:loop|transport|output|held|tls|port|watch|wait|child|reader|writer|call|change|direction|part|"
        r"timer_part)")
FUNCTION = re.compile(r"^(?!static const|enum|struct|typedef)[\w *]+\([^;{}]*\)\n\{\n(?P<body>.*?)^\}", re.M | re.S)
SAID = re.compile(r"/\*\s*(again|only):(.*?)\*/", re.S)


# What ends an object, or makes the module, is the interpreter's to call: nobody else has what it uses.
ENDS = re.compile(r"(_dealloc|_clear|_traverse|_free|_make|_exec)$|^(clear|dealloc|drop)$")


def blank(text):
    """Without comments and strings, at the same places."""
    return re.sub(r"/\*.*?\*/|\"(?:\\.|[^\"\\])*\"", lambda m: re.sub(r"[^\n]", " ", m.group()), text, flags=re.S)


def statement(code, begin, where):
    """(begin, end) of the statement around a place."""
    first = max(begin, *(code.rfind(c, begin, where) + 1 for c in ";{}"))
    depth, last = 0, where
    while last < len(code):
        c = code[last]
        depth += c in "([" and 1 or c in ")]" and -1 or 0
        if depth <= 0 and c in ";{":
            break
        last += 1
    return first, last


def runners(paths):
    """Our own functions that run code of the program's, by what they call: a pattern of calls of them, for each file."""
    bodies, static = {}, set()
    for path in paths:
        for function in FUNCTION.finditer(blank(path.read_text())):
            name = re.search(r"(\w+)\(", function.group()).group(1)
            if not ENDS.search(name):
                bodies[path, name] = function.group("body")
                if "static " in function.group().split("(")[0]:
                    static.add((path, name))
    found = set()

    def pattern(path):
        names = "|".join(sorted({name for file, name in found if file == path or (file, name) not in static}))
        return re.compile(rf"\b(?:(?:{RUNS})" + (rf"|(?:{names})\s*\(" if names else "") + ")")

    while True:
        patterns = {path: pattern(path) for path in paths}
        more = {key for key, body in bodies.items() if key not in found and patterns[key[0]].search(body)}
        if not more:
            return patterns
        found |= more


def calls(path, call_pattern):
    text = path.read_text()
    code = blank(text)
    for function in FUNCTION.finditer(code):
        begin, end = function.span("body")
        names = set(re.findall(rf"\b{OURS}\s*\*\s*(?:const\s+)?(\w+)", code[function.start():end]))
        if not names or ENDS.search(re.search(r"(\w+)\(", function.group()).group(1)):
            continue
        use = re.compile(rf"\b(?:{'|'.join(names)})\b\s*(?:->|\))")
        seen = set()
        for call in call_pattern.finditer(code, begin, end):
            first, last = statement(code, begin, call.start())
            if first in seen:
                continue
            seen.add(first)
            line_end = text.find("\n", last)
            if re.search(r"\breturn\b", code[first:call.start()]) or not use.search(code, last, end):
                continue            # nothing follows
            line = text.find("\n", first, call.start())
            # What stands behind the statement before, on its line, is of that one.
            said = SAID.search(text, first if line < 0 or text[first - 1] == "\n" else line, line_end)
            checked = "call_checked(" in code[first:last]
            yield text.count("\n", 0, call.start()) + 1, " ".join(code[first:last].split())[:100], \
                "call_checked" if checked else said and " ".join(said.group().split())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true")
    parser.add_argument("folder", type=pathlib.Path, nargs="?", default=CORE)
    options = parser.parse_args()
    wrong = total = 0
    paths = sorted(options.folder.glob("*.c"))
    patterns = runners([*sorted(CORE.glob("*.c")), *(path for path in paths if options.folder != CORE)])
    for path in paths:
        for line, what, said in calls(path, patterns[path]):
            total += 1
            wrong += not said
            if options.all or not said:
                where = path.relative_to(CORE.parent.parent) if options.folder == CORE else path
                print(f"{where}:{line}: {what}" + (f"    {said}" if said else ""))
    print(f"{total} calls into Python are followed by a use of state; {wrong} of them say nothing of it")
    return wrong != 0


if __name__ == "__main__":
    sys.exit(main())
