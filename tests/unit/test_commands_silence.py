"""A load generator that is not heard any more ends the run, and is named in what is left of it."""

from types import SimpleNamespace
from typing import Any

import pytest

from pinchpoint.commands.stepper import Stepper
from pinchpoint.errors import MeasurementError
from pinchpoint.stress.ramp import Slo


def test_a_generator_that_takes_no_command_is_recorded_as_silent() -> None:
    """So that the report says `generator` instead of nothing."""
    events: list[tuple[str, dict[str, Any]]] = []

    def refuse(*_: object, **__: object) -> None:
        raise MeasurementError("it did not take a command")

    session: Any = SimpleNamespace(
        config=SimpleNamespace(model="rate", spacing="poisson"),
        generator=SimpleNamespace(segment=refuse),
        event=lambda kind, **data: events.append((kind, data)),
    )
    progress: Any = SimpleNamespace(phase=lambda *_: None)
    stepper = Stepper(session, Slo(500.0, 0.01), progress)
    with pytest.raises(MeasurementError, match="did not take a command"):
        stepper.hold("ramp", 10.0, 2.0, patience_s=lambda: None)
    assert events == [("generator-silent", {"message": "it did not take a command"})]
