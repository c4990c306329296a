"""Measures Python's multiprocessing: answers each line `what count` with nanoseconds.

The answer is one number for each operation, or one for all of them together. The argument says which measurements
to prepare for. The program ends when its standard input does.
"""

import itertools
import multiprocessing
import sys
import time

clock = time.perf_counter_ns


def each(count, call):
    """The time of each call."""
    times = []
    for _ in range(count):
        began = clock()
        call()
        times.append(clock() - began)
    return times


def together(count, call):
    """The time of all calls together, since one is too short for the clock."""
    began = clock()
    for _ in itertools.repeat(None, count):
        call()
    return [clock() - began]


def pass_back(mine, other):
    """The other process of a round: waits for its event, and sets the first one's."""
    try:
        while True:
            mine.wait()
            mine.clear()
            other.set()
    except (EOFError, OSError):
        pass  # The manager has ended, and with it the measurement.


def manager():
    """Proxies of a manager: an event, a lock, and a round of two processes."""
    server = multiprocessing.Manager()
    event, lock = server.Event(), server.Lock()
    mine, other = server.Event(), server.Event()
    process = multiprocessing.Process(target=pass_back, args=(other, mine), daemon=True)
    process.start()

    def acquire_and_release():
        lock.acquire()
        lock.release()

    def round_of_two():
        other.set()
        mine.wait()
        mine.clear()

    return {
        "is_set": lambda count: each(count, event.is_set),
        "lock": lambda count: each(count, acquire_and_release),
        "round": lambda count: each(count, round_of_two),
    }


def event():
    """The event in shared memory, which only a process that inherits it can use."""
    shared = multiprocessing.Event()
    return {"is_set": lambda count: together(count, shared.is_set)}


def start():
    """A manager, from nothing to its first answer."""

    def first_answer(context):
        def call():
            with context.Manager() as server:
                server.Event().is_set()
                nonlocal ended
                ended = clock()

        ended = 0

        def measure(count):
            times = []
            for _ in range(count):
                began = clock()
                call()
                times.append(ended - began)
            return times

        return measure

    return {method: first_answer(multiprocessing.get_context(method)) for method in ("spawn", "fork")}


def nothing(_number):
    """A task that does nothing."""


def look(_number, _event):
    """A task with an event as an argument."""


def one():
    """A task that returns something small."""
    return 1


def pool():
    """A pool of two workers, and a manager's event for its tasks."""
    workers = multiprocessing.Pool(2)
    server = multiprocessing.Manager()
    shared = server.Event()
    workers.map(nothing, range(100))

    def first_result(context):
        def measure(count):
            times = []
            for _ in range(count):
                began = clock()
                with context.Pool(2) as fresh:
                    fresh.apply(one)
                    times.append(clock() - began)
            return times

        return measure

    def tasks(count):
        began = clock()
        workers.map(nothing, range(count), 1)
        return [clock() - began]

    def event_tasks(count):
        began = clock()
        workers.starmap(look, ((number, shared) for number in range(count)), 1)
        return [clock() - began]

    return {
        "tasks": tasks,
        "event_tasks": event_tasks,
        "apply": lambda count: each(count, lambda: workers.apply(one)),
        "spawn": first_result(multiprocessing.get_context("spawn")),
        "fork": first_result(multiprocessing.get_context("fork")),
    }


def give_back(content):
    """A task that returns its argument."""
    return content


def large():
    """A pool of two workers, and bytes to send there and back."""
    workers = multiprocessing.Pool(2)
    content = bytes(256 << 20)
    return {"give_back": lambda count: each(count, lambda: workers.apply(give_back, (content,)))}


def main():
    """Prepares, and answers until there are no more questions."""
    families = {"manager": manager, "event": event, "start": start, "pool": pool, "large": large}
    measurements = families[sys.argv[1]]()
    print("ready", flush=True)
    for line in sys.stdin:
        what, count = line.split()
        print(*measurements[what](int(count)), flush=True)


if __name__ == "__main__":
    main()
