# SPDX-License-Identifier: Apache-2.0
"""What is in the guest: a few programs, Python, xlvs as it is in this checkout."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from bench.ipvs.archive import Archive
from bench.ipvs.failure import Failure
from bench.ipvs.kernel import Kernel, module_files

GUEST = Path(__file__).parent / "guest"
SITE = "/xlvs"
"""Where xlvs and the packages that it needs are in the guest."""

# The system's, not those of a virtual environment: xlvs has an ipvsadm, too.
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
PROGRAMS = ("ip", "tc", "ipvsadm", "kmod")
LIBRARIES = ("libbpf.so.1",)
LIBRARY_FOLDER = Path("/usr/lib/x86_64-linux-gnu")
NOT_NEEDED = re.compile(
    r"^(test|tests|idlelib|tkinter|turtledemo|lib2to3|ensurepip|pydoc_data|config-.*|site-packages"
    r"|dist-packages)$"
)


def build(kernel: Kernel, xlvs: Path, work: Path) -> Archive:
    """Everything but /conf. ``xlvs``: the package's folder, with compiled objects."""
    archive = Archive()
    for path in GUEST.glob("*.sh"):
        archive.copy(path, f"/guest/{path.name}")
    archive.put("/init", (GUEST / "init").read_bytes(), mode=0o755)
    archive.put("/etc/passwd", b"root:x:0:0::/:/bin/sh\n")
    archive.put("/etc/protocols", b"tcp 6 TCP\nudp 17 UDP\n")
    _programs(archive, work)
    for path in module_files(kernel):
        archive.copy(path, f"/lib/modules/{kernel.release}/{path.relative_to(kernel.modules)}")
    _python(archive)
    _xlvs(archive, xlvs)
    return archive


def python() -> Path:
    """The interpreter behind a virtual environment, at the same path in the guest."""
    return Path(sys.executable).resolve()


def _programs(archive: Archive, work: Path) -> None:
    archive.copy(_program("busybox"), "/bin/busybox")
    # busybox's own shell would prefer its own "ip".
    _copy_linked(archive, _program("dash"), "/bin/sh")
    for name in PROGRAMS:
        _copy_linked(archive, _program(name), f"/sbin/{name}")
    archive.link("/sbin/modprobe", "kmod")
    tool = work / "tool"
    sources = sorted((GUEST / "tool").glob("*.c"))
    subprocess.run(["gcc", "-O2", "-Wall", "-static", "-o", tool, *sources], check=True)
    archive.copy(tool, "/sbin/tool")


def _program(name: str) -> Path:
    found = shutil.which(name, path=SYSTEM_PATH)
    if not found:
        raise Failure(f"{name} is missing in {SYSTEM_PATH}")
    return Path(found)


def _copy_linked(archive: Archive, source: Path, path: str | None = None) -> None:
    """A program or library and the libraries that it is linked with, at the same paths."""
    archive.copy(source, path)
    said = subprocess.run(["ldd", source], check=False, capture_output=True, text=True).stdout
    for library in re.findall(r"(/\S+) \(0x", said):
        if not archive.has(library):
            archive.copy(Path(library))


def _python(archive: Archive) -> None:
    _copy_linked(archive, python())
    library = Path(sysconfig.get_path("stdlib"))
    for path in _files(library):
        if path.suffix == ".so":
            _copy_linked(archive, path)
        else:
            archive.copy(path)
    for name in LIBRARIES:
        _copy_linked(archive, LIBRARY_FOLDER / name)


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if NOT_NEEDED.match(path.name):
            continue
        if path.is_dir():
            yield from _files(path)
        elif path.is_file() and not path.name.endswith((".opt-1.pyc", ".opt-2.pyc", ".a")):
            yield path


def _xlvs(archive: Archive, xlvs: Path) -> None:
    for path in _files(xlvs):
        if path.suffix != ".pyc":
            archive.copy(path, f"{SITE}/xlvs/{path.relative_to(xlvs)}")
    for package in _needed("xlvs"):
        for file in package.files or ():
            source = Path(str(package.locate_file(file)))
            # Scripts are outside of the packages' folder, and editable installs point away.
            if ".." in file.parts or file.suffix == ".pth" or not source.is_file():
                continue
            if source.suffix == ".so":
                _copy_linked(archive, source, f"{SITE}/{file}")
            else:
                archive.copy(source, f"{SITE}/{file}")


def _needed(name: str) -> list[Distribution]:
    """The installed package and all that it requires to run."""
    found: dict[str, Distribution] = {}
    left = [name]
    while left:
        name = left.pop()
        try:
            package = distribution(name)
        except PackageNotFoundError:
            continue  # required on other Pythons or systems only
        if package.name in found:
            continue
        found[package.name] = package
        for requirement in package.requires or ():
            word = re.match(r"[\w.-]+", requirement)
            if word and "extra ==" not in requirement:
                left.append(word.group())
    return list(found.values())
