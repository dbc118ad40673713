# SPDX-License-Identifier: Apache-2.0
"""Measure the director against the kernel's IPVS. Run by script/bench-ipvs; see README.md."""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.ipvs import console, image, qemu, report
from bench.ipvs.cases import FLOWS, HOOKS, METHODS, items
from bench.ipvs.failure import Failure
from bench.ipvs.kernel import kernel

QUICK_METHODS = ("dr", "nat")
QUICK_FLOWS = ("256", "new")
PACKETS, QUICK_PACKETS = 16384, 4096
KERNEL = "linux-image-cloud-amd64"
LIMIT = 900.0
XLVS = Path("src/xlvs")
VERIFIER_COST = Path("script/verifier-cost")
SCRIPT_LINES = 80
FAILURE, INTERRUPTED = 1, 130


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        prog="script/bench-ipvs",
        description="instructions per packet of xlvs and of the kernel's IPVS, in one guest",
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="dr and nat, 256 flows and new ones, few packets")
    add("--method", action="append", choices=METHODS, help="only this method (repeatable)")
    add("--hook", action="append", choices=HOOKS, help="only this hook (repeatable)")
    add("--flows", action="append", choices=FLOWS, help="only so many flows (repeatable)")
    add("--load-only", action="store_true", help="measure nothing: does its verifier take it all?")
    add("--alone", action="store_true", help="xlvs only: no IPVS, no plain forwarding")
    add("--packets", type=int, metavar="N", help=f"per case; {PACKETS}, quick {QUICK_PACKETS}")
    add("--profile", action="store_true", help="also where the instructions go, by symbol")
    add("--json", type=Path, metavar="FILE", help="write all figures there")
    add(
        "--work",
        type=Path,
        default=Path(tempfile.gettempdir()) / "xlvs-bench-ipvs",
        metavar="FOLDER",
        help="where the kernel and the console's text are kept (default %(default)s)",
    )
    add("--kernel", default=KERNEL, metavar="PACKAGE", help="Debian package (default %(default)s)")
    add("--limit", type=float, default=LIMIT, metavar="SECONDS", help="give up after %(default)s s")
    return parser.parse_args(argv)


def settings(asked: argparse.Namespace) -> str:
    """The guest's /conf: shell assignments."""
    methods = asked.method or (QUICK_METHODS if asked.quick else METHODS)
    flows = asked.flows or (QUICK_FLOWS if asked.quick else FLOWS)
    packets = asked.packets or (QUICK_PACKETS if asked.quick else PACKETS)
    words = items(methods, asked.hook or HOOKS, alone=asked.alone)
    return (
        f"LOAD_ONLY={int(asked.load_only)}\n"
        f'ITEMS="{" ".join(words)}"\n'
        f'FLOWS="{" ".join(flows)}"\n'
        f"PACKETS={packets}\nPROFILE={int(asked.profile)}\n"
        f"export PYTHON={image.python()}\n"
    )


def say(line: str) -> None:
    """Progress, on stderr: the guest names what it begins."""
    tag, _, rest = line.partition(" ")
    if tag == "T":
        print(f"{time.strftime('%H:%M:%S')} {rest}", file=sys.stderr, flush=True)


def measure(asked: argparse.Namespace) -> console.Run:
    """Prepare the guest, run it, read what it said."""
    if platform.machine() != "x86_64":
        raise Failure("the guest is an x86-64 machine, and its programs are those of this one")
    asked.work.mkdir(parents=True, exist_ok=True)
    chosen = kernel(asked.kernel, asked.work)
    said = asked.work / "console.txt"
    folder = Path(tempfile.mkdtemp(dir=asked.work))
    try:
        archive = image.build(chosen, XLVS, folder)
        archive.copy(VERIFIER_COST, f"/guest/{VERIFIER_COST.name}")
        archive.put("/conf", settings(asked).encode())
        archive.write(folder / "initramfs")
        qemu.boot(chosen, folder / "initramfs", said, asked.limit, say)
    finally:
        shutil.rmtree(folder)
    return console.read(said.read_text(encoding="utf-8", errors="replace").splitlines())


def main(argv: Sequence[str] | None = None) -> int:
    """0: all is measured and was what it should be."""
    asked = arguments(argv)
    # Ends by an exception, so that the guest ends with us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(INTERRUPTED))
    try:
        run = measure(asked)
    except Failure as failure:
        print(failure, file=sys.stderr)
        return FAILURE
    except KeyboardInterrupt:
        return INTERRUPTED
    if asked.load_only:
        # What that script said, its failure too: the verifier's last words.
        print("\n".join(run.script), file=sys.stdout if run.complete else sys.stderr)
        return 0 if run.complete else FAILURE
    if run.wrong:
        print("\n".join(run.script[-SCRIPT_LINES:]), file=sys.stderr)
    print(report.text(run))
    if asked.json:
        asked.json.write_text(json.dumps(report.document(run), indent=1) + "\n", encoding="utf-8")
    return FAILURE if run.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
