"""Addresses that riskbot listens on: what they are, and who reaches them."""

from __future__ import annotations

import ipaddress


def is_address(host: str) -> bool:
    """Whether a host is written as an IP address, with brackets or without."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    if host == "localhost":
        return True
    return is_address(host) and ipaddress.ip_address(host.strip("[]")).is_loopback
