"""What a suite needs on this machine: its source package, an environment of its own with the program, and this tree's wheel."""
import functools
import hashlib
import json
import pathlib
import shutil
import subprocess
import sys
import tarfile
import threading

HERE = pathlib.Path(__file__).resolve().parent
TREE = HERE.parent.parent
BUILD = TREE / "build" / "programs"
ALWAYS = ["pytest==9.1.1", "pytest-timeout==2.4.0"]


class Missing(Exception):
    """Something cannot be had; the message says what."""


def call(command, log, **options):
    """Run it; what it prints goes to the log, whose end the exception tells."""
    with open(log, "a") as output:
        print("$", *command, file=output, flush=True)
        status = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, **options).returncode
    if status:
        tail = "".join(open(log, errors="replace").readlines()[-15:])
        raise Missing(f"this failed, see {log}:\n  {' '.join(map(str, command))}\n{tail}")


def pip(python, *arguments):
    return [python, "-m", "pip", "--disable-pip-version-check", *arguments]


@functools.cache
def tools():
    """An environment with a pip, for what belongs to no suite."""
    folder = BUILD / "tools"
    python = folder / "bin" / "python"
    if not python.exists():
        call([sys.executable, "-m", "venv", folder], BUILD / "tools.log")
    return python


def wheel():
    """This tree's, built anew."""
    folder, log = BUILD / "wheel", BUILD / "wheel.log"
    shutil.rmtree(folder, ignore_errors=True)
    log.unlink(missing_ok=True)
    call(pip(tools(), "wheel", "-q", "--no-deps", "-w", folder, TREE), log)
    return next(folder.glob("evenloop-*.whl"))


# ---- the source package ----

def from_pypi(name, program, folder, log):
    # By its hash: pip refuses another file. Its build's own needs come as wheels: only this one is wanted as a source.
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{name}=={program['version']} --hash=sha256:{program['sha256']}\n")
    call(pip(tools(), "download", "-q", "--no-deps", "--no-binary", name, "--require-hashes", "-d", folder, "-r", wanted), log)
    wanted.unlink()


APT = threading.Lock()


def from_debian(name, program, folder, log):
    """The original archive of a source package of Debian's, through apt, from where this machine's packages come."""
    sites = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(LABEL)", "Created-By: Packages",
                            "Origin: Debian"], capture_output=True, text=True).stdout
    site = next((line.split()[0] for line in sites.splitlines() if line.endswith(" Debian")), None)
    if site is None:
        raise Missing(f"{name}'s tests are in Debian's source package, and this machine's apt knows no archive of Debian's")
    with APT:
        lists = BUILD / "apt"
        (lists / "partial").mkdir(parents=True, exist_ok=True)
        listed = BUILD / "apt.sources"
        listed.write_text(f"Types: deb-src\nURIs: {site}\nSuites: {program['source']}\nComponents: main\n"
                          "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n")
        apt = ["apt-get", "-q", "-o", f"Dir::Etc::sourcelist={listed}", "-o", "Dir::Etc::sourceparts=-",
               "-o", f"Dir::State::lists={lists}", "-o", f"Dir::Cache::pkgcache={BUILD}/apt.pkg",
               "-o", f"Dir::Cache::srcpkgcache={BUILD}/apt.src", "-o", "APT::Sandbox::User="]
        call([*apt, "update"], log)
        call([*apt, "source", "--download-only", "--tar-only", program["debian_name"]], log, cwd=folder)


def hash_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def source(name, program, log):
    """The archive's path."""
    folder = BUILD / "sources" / f"{name}-{program['version']}"
    if not any(folder.glob("*.tar.*")):
        folder.mkdir(parents=True, exist_ok=True)
        fetch = from_pypi if program.get("source", "pypi") == "pypi" else from_debian
        fetch(name, program, folder, log)
    for path in folder.glob("*.tar.*"):
        if hash_of(path) == program["sha256"]:
            return path
    raise Missing(f"{folder} has no archive whose SHA-256 is {program['sha256']}")


def lay_out(name, program, archive):
    """Unpack what the tests need, without the program's own modules, and give the folder."""
    folder = BUILD / name / "suite"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with tarfile.open(archive) as tar:
        for member in tar:
            member.name = member.name.partition("/")[2]
            if any(member.name == kept or member.name.startswith(kept + "/") for kept in program.get("keep", ())):
                if hasattr(tarfile, "data_filter"):
                    tar.extract(member, folder, filter="data")
                else:
                    tar.extract(member, folder)
    if not any((folder / name).exists() for name in ("pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")):
        (folder / "pytest.ini").write_text("[pytest]\n")       # else pytest would look further up, into this tree
    return folder


# ---- the environment ----

def environment(name, program, archive, log):
    """The Python in which the suite runs; made once for each list of packages."""
    folder = BUILD / name / "venv"
    python = folder / "bin" / "python"
    stamp = folder / "stamp"
    itself = str(archive) if program.get("installed_from_source") else f"{name}=={program['version']}"
    packages = [itself, *ALWAYS, *program["packages"]]
    made_of = json.dumps([sys.version, packages])
    if not stamp.exists() or stamp.read_text() != made_of:
        shutil.rmtree(folder, ignore_errors=True)
        call([sys.executable, "-m", "venv", folder], log)
        call(pip(python, "install", "-q", "--prefer-binary", *packages), log)
        stamp.write_text(made_of)
    return python


def put_in(python, built, log):
    """This tree's evenloop, and what puts the suite on a loop, into an environment."""
    call(pip(python, "install", "-q", "--no-deps", "--force-reinstall", built), log)
    site = subprocess.run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
                          capture_output=True, text=True, check=True).stdout.strip()
    for module in ("even_suite_loop", "even_suite_results"):
        shutil.copy(HERE / f"{module}.py", site)
    (pathlib.Path(site) / "even_suite.pth").write_text("import even_suite_loop\n")
