"""Where ranks meet: rank 0's address and a free port, and the network interface towards it.

Tests: `tests/backends/ranks/test_launch.py`.
"""

from __future__ import annotations

import socket

NOWHERE = ("192.0.2.1", "10.255.255.255")
"""Addresses that nobody has; asking for the way to one sends nothing."""


def free_port() -> int:
    """Return a port that the operating system gives out as free."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def port_is_free(port: int) -> bool:
    """Return whether this process could listen on a port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one that was closed a moment ago is free
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def address_towards(address: str) -> str | None:
    """Return this host's address on the way to another, ``None`` if there is no way."""
    try:
        family, _, _, _, place = socket.getaddrinfo(address, 9, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(place)
            return str(probe.getsockname()[0])
    except OSError:
        return None


def own_address() -> str:
    """Return this host's address on its default way out, or else what its name resolves to."""
    for address in NOWHERE:
        if mine := address_towards(address):
            return mine
    return socket.gethostbyname(socket.gethostname())


def interface_towards(address: str) -> str | None:
    """Return the name of the network interface on the way to an address, ``None`` if it cannot be told."""
    try:
        import psutil
    except ImportError:
        return None
    mine = address_towards(address)
    for name, addresses in psutil.net_if_addrs().items():
        if any(known.address.split("%")[0] == mine for known in addresses):
            return str(name)
    return None


def name_resolves_to() -> str | None:
    """Return the address that this host's own name resolves to, ``None`` if it does not."""
    try:
        return socket.gethostbyname(socket.gethostname())
    except OSError:
        return None
