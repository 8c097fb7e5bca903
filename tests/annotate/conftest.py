"""Makes the hub's fixture known to the tests in this folder."""

from tests.hub.fixtures import hub

__all__ = ["hub"]
