"""Celery doing the same job as TaskMaster: tasks through RabbitMQ, and in Postgres when each started and how it ended.

Otherwise with what "Optimizing" in its documentation has for short tasks: several processes, each with a reserve of tasks,
and connections that are kept.
"""

import os
from pathlib import Path

from celery import Celery
from celery.signals import worker_process_init, worker_ready

from ledger import Page

FOLDER = Path(os.environ["LEDGER"])
PLACE = os.environ["DATABASE_URL"].split("://", 1)[1]

app = Celery("bench", broker=os.environ["AMQP_URL"], backend="db+postgresql+psycopg2://" + PLACE)
app.conf.update(
    task_default_queue=os.environ["QUEUE"],
    task_track_started=True,
    task_ignore_result=False,
    worker_prefetch_multiplier=64,
    worker_disable_rate_limits=True,
    broker_heartbeat=0,
    broker_pool_limit=4,
    # No question to Postgres before each use of a connection, whether it still is one.
    database_engine_options={"pool_pre_ping": False},
)

page: Page | None = None


@worker_process_init.connect
def open_page(**_):
    global page
    page = Page(FOLDER / f"{os.getpid()}.page")


@worker_ready.connect
def tell(**_):
    (FOLDER / "ready").touch()


@app.task
def no_op(job: int) -> None:
    page.record(job)
