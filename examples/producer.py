#!/usr/bin/env python3
"""Submits tasks to TaskMaster over AMQP, with pika (Debian: python3-pika).

    AMQP_URL=amqp://user:password@host:5672/%2f examples/producer.py [tasks.jsonl]

Without a file: one message with a single task, and one with an array of tasks. With a file of one task a line: its tasks
in arrays of 100. The environment: AMQP_URL, and TASKMASTER_PREFIX if the fleet has another prefix than `taskmaster`.

The queue is the coordinator's to declare. A message is safe when RabbitMQ has confirmed it: the coordinator takes it off
the queue only after it is in Postgres. Each message has an id: however often it comes, by RabbitMQ or because it was
published again when no confirm came, it is taken in once.
"""

import json
import os
import sys
import uuid

import pika
import pika.exceptions

BATCH = 100
ONE = {"command": "echo 'one task from Python'"}
SEVERAL = [
    {"command": "sha256sum /usr/share/common-licenses/GPL-3", "priority": 5},
    {"command": "wc -w /usr/share/common-licenses/Apache-2.0"},
    {"command": 'echo "$WHO says hello"', "env": {"WHO": "pika"}, "delay_seconds": 1},
]


def bodies(arguments):
    """What to publish: each is one task or an array of them."""
    if not arguments:
        return [ONE, SEVERAL]
    with open(arguments[0], encoding="utf-8") as file:
        tasks = [json.loads(line) for line in file if line.strip()]
    return [tasks[start : start + BATCH] for start in range(0, len(tasks), BATCH)]


def main(arguments):
    url = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/%2f")
    queue = os.environ.get("TASKMASTER_PREFIX", "taskmaster") + ".submissions"
    to_publish = bodies(arguments)
    try:
        connection = pika.BlockingConnection(pika.URLParameters(url))
    except (pika.exceptions.AMQPError, OSError) as error:
        sys.exit(f"cannot connect to RabbitMQ, check AMQP_URL: {error!r}")

    channel = connection.channel()
    # From here on each publish waits for RabbitMQ's word, and raises when it is a bad one.
    channel.confirm_delivery()
    messages = tasks = 0
    try:
        for body in to_publish:
            properties = pika.BasicProperties(
                content_type="application/json",
                delivery_mode=pika.spec.PERSISTENT_DELIVERY_MODE,
                message_id=str(uuid.uuid4()),
            )
            channel.basic_publish("", queue, json.dumps(body).encode(), properties, mandatory=True)
            messages += 1
            tasks += len(body) if isinstance(body, list) else 1
    except pika.exceptions.UnroutableError:
        sys.exit(f"there is no queue {queue}: is the coordinator running, and is TASKMASTER_PREFIX the same as its own?")
    except pika.exceptions.NackError:
        sys.exit(f"RabbitMQ refused a message for {queue}")
    finally:
        print(f"confirmed: {messages} messages, {tasks} tasks", flush=True)
        connection.close()


if __name__ == "__main__":
    main(sys.argv[1:])
