"""``python -m tests.two_hosts.round_trip``: the latency of a link, as `ping` shows it: half of a round trip, by TCP.

Run on both hosts with RANK and MASTER_ADDR. Rank 0 answers at once, as a kernel answers a ping, since it never sleeps;
rank 1 prints seconds one way.
"""

from __future__ import annotations

import os
import socket
import statistics
import time

TRIPS, MESSAGE = 200, b"x" * 56
PATIENCE_S = 10.0


def main() -> None:
    """Answer, or ask and print."""
    address = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    if os.environ["RANK"] == "0":
        with socket.create_server(address) as server:
            server.settimeout(PATIENCE_S)
            connection, _ = server.accept()
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.setblocking(False)
                answer(connection)
        return
    until_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            connection = socket.create_connection(address, timeout=PATIENCE_S)
            break
        except ConnectionRefusedError:
            if time.monotonic() > until_s:
                raise
            time.sleep(0.05)
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        seconds = []
        for _ in range(TRIPS):
            begun_s = time.perf_counter()
            connection.sendall(MESSAGE)
            connection.recv(4096)
            seconds.append(time.perf_counter() - begun_s)
    print(statistics.quantiles(seconds, n=4)[0] / 2)


def answer(connection: socket.socket) -> None:
    """Send back what comes until the other side closes."""
    while True:
        try:
            message = connection.recv(4096)
        except BlockingIOError:
            continue
        if not message:
            return
        connection.sendall(message)


if __name__ == "__main__":
    main()
