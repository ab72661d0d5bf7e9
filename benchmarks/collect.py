"""A collection under load: how fast it answers many annotators, and whether anything is lost when its server is killed.

    python benchmarks/collect.py load --annotators 50 --judgements 10000 --pace 1
    python benchmarks/collect.py load --annotators 50 --judgements 10000 --pace 0   # as fast as it goes
    python benchmarks/collect.py kill --times 200

Each with `--store postgresql://USER@HOST/DATABASE` (an empty database) for PostgreSQL. Annotators sign in beforehand.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import httpx2
import numpy as np
from sqlalchemy import select

from guerdon.collect.accounts import accept, invite, open_session
from guerdon.collect.collection_run import open_store
from guerdon.collect.kinds.asking import Task
from guerdon.collect.questions import read_project
from guerdon.collect.store import CollectStore
from guerdon.collect.store_tables import judgements
from guerdon.collect.tasks import add_tasks

TEXT = "A paragraph of an answer, *as long* as such paragraphs are, with `code` and a list:\n\n- one\n- two\n\n" * 3


class Server:
    """`guerdon collect serve` in a process of its own, where people sign in."""

    def __init__(self, store: str, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "guerdon", "collect", "serve", "--store", store, "--port", str(port)]
        self.process = subprocess.Popen([*command, "--url", self.url], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("Open"):
                break

    def cpu_seconds(self) -> float:
        """What it has worked so far, on Linux."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def kill(self) -> None:
        """Gives it no time to put anything in order."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


class Annotator:
    """One person: judges, and remembers what was acknowledged."""

    def __init__(self, url: str, session: str) -> None:
        port = url.rsplit(":", 1)[1]
        self.url, self.headers = url, {"cookie": f"guerdon-{port}={session}", "origin": url, "x-guerdon": "1"}
        self.acknowledged: list[str] = []
        self.seconds: list[float] = []

    async def judge(self, client: httpx2.AsyncClient) -> bool:
        """One judgement, as the page makes it; False where nothing is left."""
        started = time.perf_counter()
        page = (await client.get(f"{self.url}/judge", headers=self.headers)).raise_for_status().text
        self.seconds.append(time.perf_counter() - started)
        task = re.search(r'action="/judge/(\d+)"', page)
        if task is None:
            return False
        fields = {
            name: re.search(rf'name="{name}" value="([^"]*)"', page)[1] for name in ("csrf", "token", "guidelines")
        }  # type: ignore[index]  # every page has them
        started = time.perf_counter()
        sent = fields | {"preference.choice": random.choice(("0-1", "1-2", "tie")), "seconds": "1"}
        answer = await client.post(f"{self.url}/judge/{task[1]}", data=sent, headers=self.headers)
        answer.raise_for_status()
        self.acknowledged.append(fields["token"])
        self.seconds.append(time.perf_counter() - started)
        return True


def prepared(place: str, annotators: int, tasks: int, url: str) -> list[Annotator]:
    """A new store with tasks and people, who are signed in."""
    store = open_store(place, create=True)
    store.set_project(read_project("pairwise"))
    add_tasks(store, (Task(f"Question {n}? {TEXT}", (f"{n} {TEXT}", f"{TEXT} {n}")) for n in range(tasks)))
    people = [
        accept(store, invite(store, "annotator"), f"Person {n}", f"the password of {n}") for n in range(annotators)
    ]
    found = [Annotator(url, open_session(store, person.id)) for person in people]
    store.close()
    return found


def check(store: CollectStore, people: list[Annotator]) -> None:
    """Counts what was acknowledged and is not there, or there twice."""
    with store.reading() as connection:
        stored = Counter(connection.execute(select(judgements.c.token)).scalars())
    acknowledged = [token for one in people for token in one.acknowledged]
    lost = [token for token in acknowledged if token not in stored]
    twice = [token for token, count in stored.items() if count > 1]
    print(f"acknowledged {len(acknowledged):,}, stored {len(stored):,}, lost {len(lost)}, twice {len(twice)}")
    store.close()
    if lost or twice or len(set(acknowledged)) < len(acknowledged):
        sys.exit(1)


async def load(people: list[Annotator], total: int, pace: float) -> float:
    """All judge until the total is reached; each begins one every `pace` seconds, or at once with 0."""
    left = total

    async def work(one: Annotator, client: httpx2.AsyncClient) -> None:
        nonlocal left
        if pace:
            await asyncio.sleep(random.random() * pace)
        while left > 0:
            left -= 1
            began = time.perf_counter()
            if not await one.judge(client):
                return
            await asyncio.sleep(max(0.0, pace - (time.perf_counter() - began)))

    limits = httpx2.Limits(max_connections=len(people), max_keepalive_connections=len(people))
    async with httpx2.AsyncClient(limits=limits, timeout=60) as client:
        started = time.perf_counter()
        await asyncio.gather(*(work(one, client) for one in people))
        return time.perf_counter() - started


async def until_killed(people: list[Annotator], server: Server, seconds: float) -> None:
    """All judge as fast as they can, until the server is killed so long after their first judgement."""

    async def work(one: Annotator, client: httpx2.AsyncClient) -> None:
        try:
            while await one.judge(client):
                pass
        except httpx2.TransportError:
            pass

    async with httpx2.AsyncClient(timeout=60) as client:
        before = sum(len(one.acknowledged) for one in people)
        workers = [asyncio.create_task(work(one, client)) for one in people]
        while sum(len(one.acknowledged) for one in people) == before:
            await asyncio.sleep(0.05)
        await asyncio.sleep(seconds)
        server.kill()
        await asyncio.gather(*workers)


def main() -> None:
    """Runs one of the two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("load", "kill"))
    parser.add_argument("--store")
    parser.add_argument("--annotators", type=int, default=50)
    parser.add_argument("--judgements", type=int, default=10_000)
    parser.add_argument("--pace", type=float, default=1.0)
    parser.add_argument("--times", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        place = options.store or str(Path(folder) / "load.db")
        tasks = options.judgements if options.what == "load" else 100_000
        people = prepared(place, options.annotators, tasks, f"http://127.0.0.1:{port}")
        if options.what == "load":
            server = Server(place, port)
            before = server.cpu_seconds()
            took = asyncio.run(load(people, options.judgements, options.pace))
            worked = server.cpu_seconds() - before
            server.kill()
            times = 1000 * np.array([seconds for one in people for seconds in one.seconds])
            p50, p95, p99 = np.percentile(times, (50, 95, 99))
            done = sum(len(one.acknowledged) for one in people)
            print(f"{done:,} judgements in {took:.1f} s: {done / took:.1f} a second")
            print(f"requests: median {p50:.0f} ms, 95% {p95:.0f} ms, 99% {p99:.0f} ms, most {times.max():.0f} ms")
            print(f"the server worked {1000 * worked / done:.1f} ms for each judgement")
        else:
            for _ in range(options.times):
                server = Server(place, port)
                asyncio.run(until_killed(people, server, random.uniform(0.1, 2.0)))
            print(f"killed {options.times} times")
        check(open_store(place), people)


if __name__ == "__main__":
    main()
