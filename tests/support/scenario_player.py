"""Let users of a Locust file play against answers from a script: `python scenario_player.py LOCUSTFILE`.

A program of its own, because importing Locust replaces sockets, sleep and threads of the interpreter. One JSON object a
line on stdin, one a line on stdout; `scenario_users` is the other end.
"""

import json
import random
import socket
import sys
from collections import Counter, deque
from typing import Any

import locust.user.inspectuser
from gevent.pywsgi import WSGIServer
from locust.env import Environment
from locust.event import Events
from locust.util.load_locustfile import load_locustfile

WAITS = 2000
NO_MORE_ANSWERS = 599


class Script:
    """A server that gives the next answer of a list, whatever it is asked, and remembers the question."""

    def __init__(self) -> None:
        self.answers: deque[list[Any]] = deque()
        self.asked: list[dict[str, Any]] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        """Answer one request."""
        body = environ["wsgi.input"].read().decode()
        query = environ["QUERY_STRING"]
        self.asked.append(
            {
                "method": environ["REQUEST_METHOD"],
                "path": environ["PATH_INFO"] + (f"?{query}" if query else ""),
                "body": json.loads(body) if body else None,
                "authorization": environ.get("HTTP_AUTHORIZATION"),
            }
        )
        status, answer = self.answers.popleft() if self.answers else (NO_MORE_ANSWERS, None)
        text = answer if isinstance(answer, str) else "" if answer is None else json.dumps(answer)
        start_response(f"{status} Scripted", [("Content-Type", "application/json")])
        return [text.encode()]


def describe(classes: dict[str, Any]) -> dict[str, Any]:
    """Return what Locust knows of each class: its share, its tasks, how often it picks each, how long it pauses."""
    spawned = dict.fromkeys(classes, 1)
    ratios: Any = locust.user.inspectuser.get_ratio(list(classes.values()), spawned, total=False)
    random.seed(0)
    return {
        name: {
            "parents": [parent.__name__ for parent in user_class.__mro__[1:]],
            "weight": user_class.weight,
            "tasks": dict(Counter(task.__name__ for task in user_class.tasks)),
            "shares": {task: found["ratio"] for task, found in ratios[name]["tasks"].items()},
            "waits": [user_class.wait_time(None) for _ in range(WAITS)],
        }
        for name, user_class in classes.items()
    }


def play(user_class: Any, order: dict[str, Any], script: Script, url: str) -> dict[str, Any]:
    """Call methods of one user; return what it asked for, what it reported to Locust, and the ids it holds."""
    reported: list[dict[str, Any]] = []

    def report(request_type: str, name: str, exception: Exception | None, **_: Any) -> None:
        failure = None if exception is None else str(exception)
        reported.append({"method": request_type, "name": name, "failure": failure})

    random.seed(order["seed"])
    events: Any = Events()  # type: ignore[no-untyped-call]
    events.request.add_listener(report)
    user_class.host = url
    user = user_class(Environment(events=events, host=url))
    script.answers, script.asked = deque(order["answers"]), []
    for method in order["calls"]:
        getattr(user, method)()
    user.client.client.clientpool.close()
    return {
        "asked": script.asked,
        "reported": reported,
        "ids": getattr(user, "customer_ids", None),
        "left": len(script.answers),
    }


def main() -> None:
    """Serve until stdin ends."""
    classes, _ = load_locustfile(sys.argv[1])
    script = Script()
    server: Any = WSGIServer(("127.0.0.1", 0), script, log=None)
    server.start()
    # Head and body go out apart: the body would wait for the client's delayed ACK of the head.
    server.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    living = f"http://127.0.0.1:{server.server_port}"
    # Bound and not listening: a connection is refused at once, and nobody else takes the port.
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{closed.getsockname()[1]}"
        for line in sys.stdin:
            order = json.loads(line)
            if order.get("constant"):
                result: Any = getattr(sys.modules[next(iter(classes.values())).__module__], order["constant"])
            elif order.get("user"):
                result = play(classes[order["user"]], order, script, dead if order["dead"] else living)
            else:
                result = describe(classes)
            sys.stdout.write(json.dumps(result) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
