# SPDX-License-Identifier: Apache-2.0
"""The three commands as processes of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest


def run(function: str, *words: str, stdin: bytes = b"", tmp: str = "/nonexistent", **more: str):
    code = f"import sys; from xlvs.cli.ipvsadm import main as m; sys.exit(m.{function}())"
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        input=stdin,
        capture_output=True,
        check=False,
        env={"XLVS_RUN": tmp, **more},
    )


@pytest.mark.parametrize(
    ("function", "words"), [("main", ["-Ln"]), ("save_main", ["-n"]), ("restore_main", [])]
)
def test_no_daemon_is_one_sentence_that_says_what_to_do(function, words) -> None:
    done = run(function, *words)
    assert done.returncode == 255
    assert done.stdout == b""
    assert done.stderr.count(b"\n") == 1
    assert b"xlvsd is not running" in done.stderr
    assert b"start it" in done.stderr


def test_a_director_elsewhere(tmp_path) -> None:
    url = "http://127.0.0.1:1"
    done = run("main", "-Ln", XLVS_URL=url)
    assert (done.returncode, done.stderr) == (
        255,
        b"XLVS_URL needs XLVS_TOKEN_FILE, a file with the token alone\n",
    )
    token = tmp_path / "token"
    token.write_text("x")
    done = run("main", "-Ln", XLVS_URL=url, XLVS_TOKEN_FILE=str(token))
    assert done.returncode == 255
    assert b"no answer from xlvsd (http://127.0.0.1:1)" in done.stderr


def test_save_knows_one_option() -> None:
    done = run("save_main", "-x")
    assert done.returncode == 1
    assert done.stderr.startswith(b"ipvsadm-save: Script to save the IPVS table to stdout.\n")


def test_bytes_that_are_no_text_come_back_as_they_were() -> None:
    done = run("main", "-L", "\udcff")
    assert (done.returncode, done.stderr) == (2, b"unexpected argument \xff\n")


def test_a_reader_that_leaves_is_no_error() -> None:
    code = "from xlvs.cli.ipvsadm.main import main; raise SystemExit(main(['-h']))"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""


def test_the_module_runs() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "xlvs.cli.ipvsadm", "-v"], capture_output=True, check=False
    )
    assert done.stdout.startswith(b"ipvsadm v1.31")


def test_it_imports_little() -> None:
    code = (
        "import sys; import xlvs.cli.ipvsadm.main; "
        "print(*({'asyncio','rich','pyroute2','argparse','http.client','email','ssl'}"
        " & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == b"\n"
