"""A key-value store: `apple=3` stores, `apple` asks."""

import socketserver
import sys


class Store(socketserver.StreamRequestHandler):
    data = {}

    def handle(self):
        for line in self.rfile:
            key, _, value = line.decode().strip().partition("=")
            if value:
                self.data[key] = value
            self.wfile.write((self.data.get(key, "") + "\n").encode())


socketserver.ThreadingTCPServer.allow_reuse_address = True
if __name__ == "__main__":
    socketserver.ThreadingTCPServer(("127.0.0.1", int(sys.argv[1])), Store).serve_forever()
