# SPDX-License-Identifier: Apache-2.0
"""``enable_script_security``: what root may run, nobody else may change."""

from __future__ import annotations

import os
import stat


def insecure(path: str) -> str:
    """Why a program should not be run by root, "" if nothing is wrong.

    Each folder of its path, and of the path that symbolic links lead to, has to be root's,
    and not be writable for others (for a folder with the sticky bit: it may be).
    """
    if not path.startswith("/"):
        return f"{path} is no absolute path"
    for each in dict.fromkeys((os.path.normpath(path), os.path.realpath(path))):
        parts = each.strip("/").split("/")
        for count in range(len(parts) + 1):
            why = _insecure_part("/" + "/".join(parts[:count]), last=count == len(parts))
            if why:
                return why
    return ""


def _insecure_part(path: str, *, last: bool) -> str:
    try:
        found = os.lstat(path)
    except OSError as error:
        return f"{path}: {(error.strerror or '').lower()}"
    mode = found.st_mode
    # Where a link leads to is looked at too; in a sticky folder files are their owners'.
    guarded = stat.S_ISLNK(mode) or (stat.S_ISDIR(mode) and mode & stat.S_ISVTX)
    why = ""
    if found.st_uid:
        why = f"belongs to user {found.st_uid}, not root"
    elif last and not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
        why = "is no file"
    elif not guarded and mode & stat.S_IWOTH:
        why = "is writable for everybody"
    elif not guarded and found.st_gid and mode & stat.S_IWGRP:
        why = f"is writable for group {found.st_gid}"
    return f"{path} {why}" if why else ""
