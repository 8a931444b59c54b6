"""Stands for the users' worker: asks its database and its cache once a second, and once more when it is told to end.

Each line on standard output is one round; what fails is told and tried again in the next."""

import os
import signal
import sys
import threading

import tailnet

DATABASE = os.environ["DATABASE_ADDRESS"]
CACHE = os.environ["VALKEY_ADDRESS"]


class Worker:
    def __init__(self) -> None:
        self.database = None
        self.cache = tailnet.valkey(CACHE)

    def ask_database(self) -> str:
        try:
            self.database = self.database or tailnet.postgres(DATABASE, user="postgres", database="postgres")
            cursor = self.database.cursor()
            cursor.execute("SELECT 1")
            return f"SELECT 1 -> {cursor.fetchone()[0]}"
        except Exception as error:
            self.database = None
            return f"failed: {error!r}"

    def ask_cache(self) -> str:
        try:
            self.cache.set("worker", "was here")
            return f"PING -> {self.cache.ping()}, GET -> {self.cache.get('worker').decode()}"
        except Exception as error:
            return f"failed: {error!r}"

    def round(self, name: str) -> None:
        print(f"{name}: postgres {self.ask_database()}; valkey {self.ask_cache()}", flush=True)


def main() -> None:
    told_to_end = threading.Event()
    # The first process of a container has no default for SIGTERM: without a handler it would be ignored.
    signal.signal(signal.SIGTERM, lambda *_: told_to_end.set())
    worker = Worker()
    print(f"worker: begins, proxy {tailnet.PROXY}", flush=True)
    while not told_to_end.wait(1):
        worker.round("round")
    worker.round("last round")
    print("worker: ends", flush=True)


if __name__ == "__main__":
    sys.exit(main())
