"""Who is next, among jobs of clients and requests."""

from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from app.runtime.fair_queue import LIGHT_FIRST, FairQueue

JOBS = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3), st.booleans()), max_size=40)


def order(turns: FairQueue[str]) -> list[str]:
    taken = []
    while job := turns.take():
        taken.append(job[0])
    return taken


def test_single_requests_are_taken_as_they_came() -> None:
    turns = FairQueue[str]()
    for number in range(5):
        turns.put("a client", number, str(number))

    assert order(turns) == ["0", "1", "2", "3", "4"]


def test_a_batch_and_single_pictures_take_turns() -> None:
    turns = FairQueue[str]()
    for _ in range(4):
        turns.put("a client", "batch", "batch")
    turns.put("a client", "1", "single")
    turns.put("a client", "2", "single")

    assert order(turns) == ["batch", "single", "single", "batch", "batch", "batch"]


def test_clients_take_turns_however_many_requests_each_has() -> None:
    turns = FairQueue[str]()
    for number in range(4):
        turns.put("greedy", number, "greedy")
    for number in range(2):
        turns.put("modest", number, "modest")

    assert order(turns) == ["greedy", "modest", "greedy", "modest", "greedy", "greedy"]


def test_what_is_heavy_yields_to_what_is_light_and_has_its_turn_at_last() -> None:
    turns = FairQueue[str]()
    turns.put("a", "heavy", "heavy", heavy=True)
    for number in range(2 * LIGHT_FIRST):
        turns.put("b", number, "light")

    assert order(turns).index("heavy") == LIGHT_FIRST


def test_a_heavy_one_is_left_where_only_light_ones_are_asked_for() -> None:
    turns = FairQueue[str]()
    turns.put("a", "heavy", "heavy", heavy=True)

    assert turns.take(heavy_too=False) is None
    assert turns.take() == ("heavy", True)


def test_a_request_that_turns_out_to_be_heavy_yields_with_all_that_is_left_of_it() -> None:
    turns = FairQueue[str]()
    for _ in range(3):
        turns.put("a", "batch", "batch")
    turns.take()
    turns.make_heavy("a", "batch")
    turns.put("b", "photo", "photo")

    assert order(turns) == ["photo", "batch", "batch"]


@given(JOBS)
def test_everything_is_taken_once(jobs: list[tuple[str, int, bool]]) -> None:
    turns = FairQueue[tuple[str, int, bool, int]]()
    for number, (client, request, heavy) in enumerate(jobs):
        turns.put(client, request, (client, request, heavy, number), heavy=heavy)
        if number % 7 == 3:
            turns.make_heavy(client, request)

    taken = [job[0] for job in islice(iter(turns.take, None), 100)]

    assert len(turns) == 0
    assert sorted(job[3] for job in taken) == list(range(len(jobs)))
