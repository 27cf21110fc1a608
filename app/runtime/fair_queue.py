"""Who is next: clients take turns, so do the requests of each, and what is heavy yields to what is light."""

from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Generic, TypeVar

Job = TypeVar("Job")

LIGHT_FIRST = 8  # light pictures that may go before a heavy one that came earlier; then it has its turn


class _RoundRobin(Generic[Job]):
    """Jobs by client and request: each take moves a client behind the others, and its request behind its others."""

    def __init__(self) -> None:
        self._clients: OrderedDict[Hashable, OrderedDict[Hashable, deque[Job]]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._clients)

    def put(self, client: Hashable, request: Hashable, job: Job) -> None:
        """Puts a job behind those of its request; a new request goes behind the others of its client."""
        self._clients.setdefault(client, OrderedDict()).setdefault(request, deque()).append(job)

    def take(self) -> Job:
        """The next job."""
        client, requests = next(iter(self._clients.items()))
        request, jobs = next(iter(requests.items()))
        job = jobs.popleft()
        if jobs:
            requests.move_to_end(request)
        else:
            del requests[request]
        if requests:
            self._clients.move_to_end(client)
        else:
            del self._clients[client]
        return job

    def remove(self, client: Hashable, request: Hashable) -> deque[Job]:
        """Takes all jobs of a request out."""
        requests = self._clients.get(client, OrderedDict())
        jobs = requests.pop(request, deque[Job]())
        if client in self._clients and not requests:
            del self._clients[client]
        return jobs


class FairQueue(Generic[Job]):
    """What waits, in the order in which it is worked on. Not safe to use from several threads without a lock."""

    def __init__(self) -> None:
        self._light, self._heavy = _RoundRobin[Job](), _RoundRobin[Job]()
        self._passed_over = 0  # light jobs since a heavy one that waits had its turn
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def put(self, client: Hashable, request: Hashable, job: Job, *, heavy: bool = False) -> None:
        """A job that waits, of a request of a client; heavy: it is expected to take long."""
        self._length += 1
        (self._heavy if heavy else self._light).put(client, request, job)

    def take(self, *, heavy_too: bool = True) -> tuple[Job, bool] | None:
        """The next job and whether it is heavy, or None; heavy_too: whether a heavy one may be taken."""
        heavy = heavy_too and bool(self._heavy) and (not self._light or self._passed_over >= LIGHT_FIRST)
        if not heavy and not self._light:
            return None
        self._passed_over = 0 if heavy or not self._heavy else self._passed_over + 1
        self._length -= 1
        return (self._heavy if heavy else self._light).take(), heavy

    def make_heavy(self, client: Hashable, request: Hashable) -> None:
        """Marks the rest of a request as heavy, judged by the part that was already read."""
        for job in self._light.remove(client, request):
            self._heavy.put(client, request, job)
