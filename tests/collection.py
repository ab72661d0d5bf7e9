"""What tests of collections share: tasks, a project, and somebody with a browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from starlette.testclient import TestClient

from guerdon.collect.accounts import ensure_person, invite
from guerdon.collect.assigning import next_task
from guerdon.collect.kinds.asking import Task
from guerdon.collect.questions import Project, parse_question
from guerdon.collect.recording import Judged, record
from guerdon.collect.store import CollectStore
from guerdon.collect.web.site import Site

ORIGIN = "http://127.0.0.1:8765"
PASSWORD = "a long enough password"
SECRET = bytes(32)
PAIRWISE = Project(questions=(parse_question({"kind": "pairwise", "name": "preference"}),))


def some_tasks(count: int) -> list[Task]:
    return [Task(f"Question {n}?", (f"Good answer {n}.", f"Bad answer {n}.")) for n in range(count)]


def judge_all(store: CollectStore, name: str, choice: Callable[[int], Any], overlap: int = 3) -> None:
    """Somebody compares all of `some_tasks`, by the number in the prompt: 0, 1, "tie" or "bad"."""
    person = ensure_person(store, name, "annotator")
    while (found := next_task(store, SECRET, person.id, overlap=overlap)) is not None:
        assert isinstance(found.task.prompt, str)
        said = choice(int(found.task.prompt[9:-1]))
        answer = {"choice": said, "strength": 1} if said in (0, 1) else {"choice": said}
        judged = Judged(token=f"{name} {found.id}", answers={"preference": answer}, seconds=1.0)
        record(store, SECRET, person.id, found.id, judged)


class Visitor:
    """Somebody with a browser: keeps cookies, and sends forms as the pages have them."""

    def __init__(self, app: Any) -> None:
        self.client = TestClient(app, base_url=ORIGIN, follow_redirects=True)
        self.page = ""

    def get(self, path: str, **options: Any) -> Any:
        answer = self.client.get(path, **options)
        self.page = answer.text
        return answer

    def field(self, name: str) -> str:
        found = re.search(rf'name="{name}" value="([^"]*)"', self.page)
        assert found, f"no field {name} in {self.page[:2000]}"
        return found[1]

    def post(self, path: str, fields: dict[str, str] | None = None, **headers: str) -> Any:
        """Sends fields with the tokens of the page that was last got."""
        sent = {"csrf": self.field("csrf")} if 'name="csrf"' in self.page else {}
        sent |= {name: self.field(name) for name in ("token", "guidelines") if f'name="{name}"' in self.page}
        answer = self.client.post(path, data=sent | (fields or {}), headers={"origin": ORIGIN} | headers)
        if "text/html" in answer.headers.get("content-type", ""):
            self.page = answer.text
        return answer

    @property
    def task(self) -> int:
        found = re.search(r'action="/judge/(\d+)"', self.page)
        assert found, self.page[:2000]
        return int(found[1])

    def judge(self, **fields: str) -> Any:
        """Judges the task of the page."""
        return self.post(f"/judge/{self.task}", {name.replace("__", "."): value for name, value in fields.items()})

    def join(self, site: Site, name: str, role: str = "annotator") -> Visitor:
        path = f"/invitation/{invite(site.store, role)}"
        self.get(path)
        answer = self.post(path, {"name": name, "password": PASSWORD, "again": PASSWORD})
        assert answer.status_code == 200, answer.text
        return self
