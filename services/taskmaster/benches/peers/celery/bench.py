"""`bench.py drain COUNT|sustained SECONDS|latency COUNT`: one run of Celery.

On the Postgres of DATABASE_URL and the RabbitMQ of AMQP_URL. Prints one line of JSON. What is measured, and why so:
../../bench/peers.rs.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

FOLDER = Path(tempfile.mkdtemp())
os.environ["LEDGER"] = str(FOLDER)
os.environ["QUEUE"] = f"bench-{os.getpid()}"

import psycopg2  # noqa: E402

from ledger import Ledger, now  # noqa: E402
from tasks import PLACE, app, no_op  # noqa: E402

PROCESSES = 4
PRODUCERS = 2
# Fewer than elsewhere: Celery would take minutes for what others do in a second.
BACKLOG = 2000
WARM_UP_SECONDS = 3
WARM_UP_JOBS = 50
DEADLINE_SECONDS = 300

ledger = Ledger(FOLDER, PROCESSES)


def start_worker() -> subprocess.Popen:
    """One node with its processes, without what only fleets of nodes need."""
    celery = [sys.executable, "-m", "celery", "--app", "tasks", "worker", "--loglevel", "ERROR"]
    pool = ["--pool", "prefork", "--concurrency", str(PROCESSES), "-O", "fair"]
    alone = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    folder = Path(__file__).parent
    return subprocess.Popen([*celery, *pool, *alone], cwd=folder, stdout=sys.stderr)


def until(what, is_so) -> float:
    """Until it is so; when that was."""
    deadline = now() + DEADLINE_SECONDS
    while not is_so():
        if now() > deadline:
            raise TimeoutError(f"{what}: {ledger.ran()} tasks ran")
        time.sleep(0.002)
    return now()


def until_done(submitted: int) -> float:
    """Until so many jobs were run and all of them are recorded as done; when that was."""
    until("all ran", lambda: ledger.ran() >= submitted)
    connection = psycopg2.connect("postgresql://" + PLACE)
    connection.autocommit = True
    cursor = connection.cursor()

    def all_recorded() -> bool:
        cursor.execute("select count(*) from celery_taskmeta where status = 'SUCCESS'")
        return cursor.fetchone()[0] >= submitted

    done = until("all are recorded", all_recorded)
    connection.close()
    # Time for a job that should not run again to do so.
    time.sleep(0.3)
    return done


def ready():
    until("the worker is ready", (FOLDER / "ready").exists)


def drain(count: int, start) -> dict:
    with app.producer_pool.acquire() as producer:
        for job in range(count):
            no_op.apply_async((job,), producer=producer)
    start()
    took = until_done(count) - ledger.first_at()
    return {"submitted": count, "rate": (count - 1) / took}


def sustained(seconds: int, start) -> dict:
    start()
    ready()
    counts = [0] * PRODUCERS
    stop = threading.Event()

    def produce(number: int) -> None:
        with app.producer_pool.acquire() as producer:
            while not stop.is_set():
                if counts[number] * PRODUCERS - ledger.ran() > BACKLOG:
                    time.sleep(0.005)
                    continue
                job = counts[number] * PRODUCERS + number
                no_op.apply_async((job,), producer=producer)
                counts[number] += 1

    producers = [threading.Thread(target=produce, args=(number,)) for number in range(PRODUCERS)]
    for producer in producers:
        producer.start()
    time.sleep(WARM_UP_SECONDS)
    since, before = now(), ledger.ran()
    time.sleep(seconds)
    rate = (ledger.ran() - before) / (now() - since)
    stop.set()
    for producer in producers:
        producer.join()
    until_done(sum(counts))
    return {"submitted": sum(counts), "rate": rate}


def latency(count: int, start) -> dict:
    start()
    ready()
    submitted = WARM_UP_JOBS + count
    calls = []
    for job in range(submitted):
        calls.append(now())
        no_op.delay(job)
        time.sleep(0.0173)
    until_done(submitted)
    milliseconds = [(ledger.start_of(job) - called) * 1000 for job, called in enumerate(calls)]
    return {"submitted": submitted, "milliseconds": milliseconds[WARM_UP_JOBS:]}


def main() -> None:
    mode, argument = sys.argv[1], int(sys.argv[2])
    modes = {"drain": drain, "sustained": sustained, "latency": latency}
    workers: list[subprocess.Popen] = []
    try:
        answer = modes[mode](argument, lambda: workers.append(start_worker()))
        print(json.dumps({**answer, "ran": ledger.ran(), "distinct": ledger.distinct()}))
    finally:
        for worker in workers:
            worker.terminate()
            worker.wait()
        with app.connection_for_write() as connection:
            connection.default_channel.queue_delete(os.environ["QUEUE"])
        shutil.rmtree(FOLDER)


main()
