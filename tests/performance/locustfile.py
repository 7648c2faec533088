"""The load test of the same API: `locust -f tests/performance/locustfile.py --host http://127.0.0.1:8000`."""

from pinchpoint.stress.scenarios.openuser import AuthenticationUser, OpenUserUser, ReadOnlyUser

__all__ = ["AuthenticationUser", "OpenUserUser", "ReadOnlyUser"]
