"""The parts of a written Locust file that are the same in all of them; each is written only where it is used."""

HELPERS = {
    "SUCCESS": "SUCCESS = range(200, 300)",
    "UNAUTHORIZED": "UNAUTHORIZED = 401",
    "NOT_FOUND": "NOT_FOUND = 404",
    "KEPT": "KEPT = 100  # records of each kind that a user remembers",
    "LOGIN_S": "LOGIN_S = 30.0  # an older token that is refused has expired; a younger one is not worth another login",
    "FORM": 'FORM = {"Content-Type": "application/x-www-form-urlencoded"}',
    "TOKEN_NAMES": "",  # written by `words`, from `access`
    "PLACE": 'PLACE = re.compile(r"\\[[^]]*]")  # in a name such as /items/[item_id]',
    "Ids": "Ids = tuple[Any, ...]  # of a record: those in the path that made it, then its own",
}
"""Constants in their order."""

FUNCTIONS = {
    "text": '''
def text(shortest: int, longest: int, letters: str = string.ascii_lowercase) -> str:
    """Return random letters, `shortest` to `longest` of them."""
    return "".join(random.choices(letters, k=random.randint(shortest, longest)))
''',
    "distinct": '''
def distinct(make: Callable[[], Any], count: int) -> list[Any]:
    """Return `count` values that differ, or fewer where there are not so many."""
    found: list[Any] = []
    for _ in range(100):
        if len(found) == count:
            break
        value = make()
        if value not in found:
            found.append(value)
    return found
''',
    "form": '''
def form(fields: dict[str, Any]) -> bytes:
    """Return a form as a browser sends it."""
    return urlencode(fields, doseq=True).encode()
''',
    "filled": '''
def filled(template: str, ids: tuple[object, ...]) -> str:
    """Return /items/7 for /items/[item_id] and 7."""
    values = iter(ids)
    return PLACE.sub(lambda _: quote(str(next(values)), safe=""), template)
''',
    "told": '''
def told(response: ResponseContextManager) -> Any:
    """Return the JSON of a successful answer; None for any other answer."""
    if response.status_code not in SUCCESS or not response.content:
        return None
    try:
        return response.json()
    except (TypeError, ValueError):
        return None
''',
    "value_in": '''
def value_in(answer: Any, *names: str) -> Any:
    """Return the first of `names` in an answer, also one level down as in {"data": {"id": 7}}; a bare 7 is itself."""
    if not isinstance(answer, dict):
        return answer if isinstance(answer, int | str) else None
    for part in (answer, *answer.values()):
        for name in names:
            if isinstance(part, dict) and part.get(name) is not None:
                return part[name]
    return None
''',
    "ids_in": '''
def ids_in(answer: Any, *names: str) -> list[Any]:
    """Return the ids of a list: of [{"id": 7}], {"items": [{"id": 7}]}, or the keys of {"7": {}}."""
    if isinstance(answer, dict):
        lists = [part for part in answer.values() if isinstance(part, list)]
        if not lists and all(isinstance(part, dict) for part in answer.values()):
            return list(answer)
        answer = lists[0] if lists else []
    found = [value_in(one, *names) for one in answer] if isinstance(answer, list) else []
    return [one for one in found if one is not None]
''',
}

METHODS = {
    "pick": '''
    def pick(self, kind: str) -> Ids:
        """Return one of the records of a kind."""
        return random.choice(self.records[kind])
''',
    "keep": '''
    def keep(
        self, kind: str, parents: Ids, response: ResponseContextManager, *names: str, sent: object = None
    ) -> None:
        """Remember the record that was just made, if it was: its id is in the answer, else it was in the body."""
        own = value_in(told(response), *names)
        if own is None and response.status_code in SUCCESS:
            own = sent
        if own is not None:
            self.records[kind] = [*self.records[kind], (*parents, own)][-KEPT:]
''',
    "keep_listed": '''
    def keep_listed(self, kind: str, parents: Ids, response: ResponseContextManager, *names: str) -> None:
        """Remember the records of a list, to read them one by one."""
        found = [(*parents, own) for own in ids_in(told(response), *names)]
        if found:
            self.records[kind] = found[:KEPT]
''',
    "forget": '''
    def forget(self, kind: str, record: Ids) -> None:
        """Drop a record that is gone, and what was made below it."""
        for other, kept in self.records.items():
            if other == kind or other.startswith(f"{kind}/"):
                kept[:] = [one for one in kept if one[: len(record)] != record]
''',
}
"""Methods of the user, in their order."""

SEND = '''
    def send(
        self, name: str, *ids: object, query: dict[str, Any] | None = None, fine: tuple[int, ...] = (), **request: Any
    ) -> ResponseContextManager:
        """Send a request, counted under `name`; `ids` take the places in brackets, a status in `fine` is no failure."""
        method, _, template = name.partition(" ")
        {keys}path = BASE + filled(template, ids) + (f"?{{urlencode(query, doseq=True)}}" if query else "")
        headers = {{**self.auth, **request.pop("headers", {{}})}}
        # Redirections are not followed: where they lead may not be yours to press.
        with self.client.request(
            method, path, name=name, headers=headers, catch_response=True, allow_redirects=False, **request
        ) as response:
            if response.status_code in fine:
                response.success()
{again}        return response
'''
LOGIN_AGAIN = """\
        if response.status_code == UNAUTHORIZED and time.monotonic() > self.logged_in_s + LOGIN_S:
            self.log_in()
"""

MODULES = ("base64", "json", "os", "random", "re", "string", "time", "uuid")
NAMES = (
    ("collections", ("defaultdict",)),
    ("collections.abc", ("Callable",)),
    ("typing", ("Any",)),
    ("urllib.parse", ("quote", "urlencode")),
)
"""What the file may import of the standard library, in the order in which imports are sorted."""
