"""What an arena's workers start in place of `python -m prolight.suspect`: it has the zygote fork one.

`python -I -S suspect.py ADDRESS`, for the standard library alone. stdin, stderr and the environment are handed over.
"""

from __future__ import annotations

import json
import os
import socket
import sys


def main(address: str) -> None:
    with socket.socket(socket.AF_UNIX) as zygote:
        zygote.connect(address)
        socket.send_fds(zygote, [b"."], [0, 2])
        zygote.sendall(json.dumps(dict(os.environ)).encode())


if __name__ == "__main__":
    main(sys.argv[1])
