# SPDX-License-Identifier: Apache-2.0
"""One UDP flow that never stops.

``python one_flow.py ADDRESS PORT SECONDS`` sends a datagram every 20 ms from one socket and
prints a line for each answer: when it came, in seconds since the Epoch, and who it is from.
"""

from __future__ import annotations

import socket
import sys
import time

PACE = 0.02

if __name__ == "__main__":
    address, port, seconds = sys.argv[1:]
    flow = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    flow.connect((address, int(port)))
    until = time.monotonic() + float(seconds)
    while time.monotonic() < until:
        flow.settimeout(PACE)
        try:
            flow.send(b"?")
            sys.stdout.write(f"{time.time()} {flow.recv(4096).decode().split()[0]}\n")
            sys.stdout.flush()
            time.sleep(PACE)
        except TimeoutError:
            pass
        except OSError:  # an ICMP error's
            time.sleep(PACE)
