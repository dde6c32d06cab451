#!/usr/bin/env python3
"""test_debugging.py BUILD [COMPILER]: docs/debugging.md is true. Its programs are compiled and its commands run, one after the
other, in a temporary folder beside an installed library, and what they print is compared with the page, line by line; three dots
stand for anything. The messages in its table are the library's.

A command whose program is not installed, or may not be used here, is left out with a line that says so.
"""
import ast
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
build = pathlib.Path(sys.argv[1]).resolve()
page = (ROOT / "docs/debugging.md").read_text()
problems, run, left_out = [], 0, 0
without = set()                         # programs that could not be compiled here


def why_not(command, output):
    """Why a command cannot be run here, or None; `output` is what it printed, if it was."""
    for program in ("gdb", "valgrind"):
        if re.search(rf"(^|; | ){program} -", command) and not shutil.which(program):
            return f"{program} is not installed"
    for program in without:
        if f"./{program}" in command:
            return f"{program} was not compiled"
    if re.search("ptrace: Operation not permitted|Could not (attach to|trace the inferior) process", output):
        return "one process may not look into another here"
    if re.search("cannot find (-lasan|.*libclang_rt.asan)", output):
        without.add(re.search(r" -o (\S+)", command)[1])
        return "there is no AddressSanitizer here"
    return "this backend cannot be used here" if "] skipped: " in output else None


def fits(wanted, output):
    """The lines of the page, in full; a line of dots alone stands for any number of lines, none too. A narration's times vary."""
    output = re.sub(r"^   \d+\.\d{3}  ", "   0.000  ", output, flags=re.M)
    lines = [r"(?:.*\n)*?" if line == "..." else ".*".join(map(re.escape, line.split("..."))) + r"\n" for line in wanted]
    return re.fullmatch("".join(lines), output)


def try_out(command, wanted, folder, environment):
    global run, left_out
    reason, output = why_not(command, ""), ""
    if not reason:
        done = subprocess.run(["bash", "-c", command], cwd=folder, env=environment, text=True, errors="replace", timeout=60,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output = "".join(line + "\n" for line in done.stdout.splitlines())
        reason = why_not(command, output)
    if reason:
        left_out += 1
        print(f"evenloop: skipped: {reason}: {command}")
    elif fits(wanted, output):
        run += 1
    else:
        problems.append(f"$ {command}\n--- the page has\n" + "\n".join(wanted) + f"\n--- it prints\n{output}")


with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    prefix = folder / "prefix"
    subprocess.run(["cmake", "--install", build, "--prefix", prefix], check=True, stdout=subprocess.DEVNULL)
    settings = next(prefix.glob("**/evenloop.pc")).parent
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EVENLOOP_")}
    compiler = sys.argv[2] if len(sys.argv) > 2 else "cc"
    if "clang" in compiler:
        compiler += " -gdwarf-4"        # for valgrind, as the page says
    environment |= {"PKG_CONFIG_PATH": str(settings), "LD_LIBRARY_PATH": str(settings.parent), "LC_ALL": "C",
                    "DEBUGINFOD_URLS": "", "CC": compiler, "HOME": str(folder)}
    (folder / "build").mkdir()
    (folder / "build/test").symlink_to(build)
    (folder / "build/evenloop").symlink_to(build / "evenloop")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", page, re.M | re.S)
    for name, text in [(re.match(r"(?:/\*|#) (\S+)", text)[1], text) for language, text in blocks if language]:
        (folder / name).write_text(text.replace("$rbp", "$x29") if platform.machine() == "aarch64" else text)
    for text in [text for language, text in blocks if not language]:
        for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
            command, *wanted = part.replace("\\\n", "").splitlines()
            command = re.sub("^cc ", '$CC ', command)
            try_out(command, wanted, folder, environment)

# The first column of the table has, between dots, words of the library's; and each report has a row, but for those made of
# words from elsewhere alone.
words = " ".join(ast.literal_eval(f'b"{text}"').decode() for name in sorted(ROOT.glob("src/**/*.c"))
                 for text in re.findall(r'"((?:\\.|[^"\\\n])*)"', name.read_text()))
words += " ".join(re.findall(r'"([^"\n]*)"', (ROOT / "include/evenloop/error.h").read_text()))
rows = re.findall(r"^\| ([^`|]+) \| ", page[page.index("| report |"):page.index("A busy program")], re.M)[1:]
fragments = [part.strip(" ;',:") for row in rows for part in re.split(r"\.\.\.|[:;] |(?<=never) ", row)]
for fragment in filter(None, fragments):
    if fragment not in words:
        problems.append(f"no message of the library has \"{fragment}\"")
for name in sorted(ROOT.glob("src/**/*.c")):
    for text in re.findall(r'even__report\(((?:\s*"(?:\\.|[^"\\\n])*"|\s*#\w+.*)+)', name.read_text()):
        report = "".join(re.findall(r'"([^"]*)"', text))
        if re.search(r"[a-z]{3}", report) and not any(len(part) > 6 and part in report for part in fragments):
            problems.append(f"docs/debugging.md does not explain the report \"{report}\"")

print("\n\n".join(problems) or f"{run} commands run, {left_out} left out, {len(rows)} messages found")
sys.exit(bool(problems))
