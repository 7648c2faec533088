"""The probe's figures at zero, for one test of hooks inside this process."""

import inspect
import math
import time
from typing import Any

import pytest

from pinchpoint.monitoring.probe import busy, gates, peers, pool
from pinchpoint.monitoring.probe.layout import CALLS, GATES
from pinchpoint.monitoring.probe.runtime import Hook
from pinchpoint.monitoring.probe.tables import Rows


class Figures:
    """What the page would say."""

    def fields(self) -> dict[str, float]:
        """Return the fields of gates and peers that are available."""
        fields: dict[str, float] = {}
        for hook in (gates.HOOK, peers.HOOK):
            hook.fill(fields, time.monotonic())
        return {name: value for name, value in fields.items() if not math.isnan(value)}

    def gates(self) -> dict[str, gates.Gate]:
        """Return every gate by its name."""
        return {gate.name: gate for gate in gates.GATES_OPEN.all}

    def peers(self) -> dict[str, peers.Peer]:
        """Return every peer by its name."""
        return {peer.name: peer for peer in peers.PEERS.named.values()}


def fresh_probe(monkeypatch: pytest.MonkeyPatch) -> Figures:
    """Replace everything that hooks report to by something empty; nothing looks at threads."""
    monkeypatch.setattr(gates, "GATE_ROWS", Rows(GATES))
    monkeypatch.setattr(gates, "GATES_OPEN", gates.Gates())
    monkeypatch.setattr(gates, "HOOK", Hook("gates", gates.GATES_OPEN.fill, gates.GATES_OPEN.reset))
    monkeypatch.setattr(peers, "CALL_ROWS", Rows(CALLS))
    monkeypatch.setattr(peers, "PEERS", peers.Peers())
    monkeypatch.setattr(peers, "HOOK", Hook("calls", peers.PEERS.fill, peers.PEERS.reset))
    monkeypatch.setattr(pool, "OWNERS", pool.Owners())
    monkeypatch.setattr(busy.BUSY, "watching", True)
    return Figures()


def unhooked(monkeypatch: pytest.MonkeyPatch, owner: Any, *names: str) -> None:
    """Take hooks off these attributes of `owner`, whoever put them there; put back what was there afterwards."""
    for name in names:
        value = owner.__dict__[name]
        bound = isinstance(value, classmethod)
        plain = inspect.unwrap(value.__func__ if bound else value)
        monkeypatch.setattr(owner, name, classmethod(plain) if bound else plain)
