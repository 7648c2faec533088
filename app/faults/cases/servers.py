"""Cases to come."""

from ..case import Case

CASES: tuple[Case, ...] = ()
