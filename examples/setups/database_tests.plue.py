"""Integration tests against a server that plue starts, waits for and stops: here the key-value store of
tests/store.py, in earnest `postgres -D …` or `redis-server`. The step fails if the service dies.
"""

PORT = 25431


def ask(port):
    import socket

    with socket.create_connection(("127.0.0.1", port)) as connection, connection.makefile("rw") as lines:
        for text in ("apple=3", "apple"):
            print(text, file=lines, flush=True)
            print(text, "->", lines.readline().strip())


def workflow():
    service = Service(f"exec python3 tests/store.py {PORT}", PORT)
    return Plan(name="database-tests", steps=[Step.python("integration", ask, args=[PORT], services=[service])])
