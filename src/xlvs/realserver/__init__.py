# SPDX-License-Identifier: Apache-2.0
"""A real server's part of DR and TUN: ``xlvs realserver up|down|check``.

``state`` what was there before; ``host`` everything that touches the kernel;
``change`` up and down; ``check`` what is wrong, in words; ``decap`` the eBPF
program that replaces ``tunl0``. FULLNAT's part: ``client_address`` programs are
told the client, ``un_fullnat`` the whole host is.
"""
