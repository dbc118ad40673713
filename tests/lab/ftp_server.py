# SPDX-License-Identifier: Apache-2.0
"""As much of FTP as curl needs to fetch a file passively (RFC 959, EPSV of RFC 2428).

``python ftp_server.py NAME PORT`` gives NAME as the content of any file.
"""

from __future__ import annotations

import socket
import socketserver
import sys

PATIENCE = 5.0


class Control(socketserver.StreamRequestHandler):
    """A control connection. Data connections are for the address that it came to."""

    timeout = PATIENCE
    listener: socket.socket | None = None

    def say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())

    def handle(self) -> None:
        self.say("220 ready")
        for raw in self.rfile:
            verb = raw.decode().split()[0].upper()
            if verb == "EPSV":
                self.passive()
            elif verb == "RETR":
                self.retrieve()
            elif verb == "QUIT":
                self.say("221 bye")
                return
            else:
                self.say(
                    {"USER": "331 password?", "PASS": "230 welcome", "PWD": '257 "/"'}.get(
                        verb, "200 fine"
                    )
                )

    def passive(self) -> None:
        address = self.connection.getsockname()[0]
        self.listener = socket.create_server((address, 0))
        self.listener.settimeout(PATIENCE)
        self.say(f"229 passive (|||{self.listener.getsockname()[1]}|)")

    def retrieve(self) -> None:
        if self.listener is None:
            self.say("425 no data connection")
            return
        self.say("150 here it comes")
        with self.listener, self.listener.accept()[0] as data:
            data.sendall(f"{sys.argv[1]}\n".encode())
        self.listener = None
        self.say("226 done")


class Server(socketserver.ThreadingTCPServer):
    """On all addresses, virtual ones too."""

    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    Server(("", int(sys.argv[2])), Control).serve_forever()
