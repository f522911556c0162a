"""An MCP server over streamable HTTP that wants `Authorization: Bearer TOKEN`, but not at `/open`; `/sse` answers with event
streams. The text `hang` has no answer."""

import http.server
import json
import os
import sys
import time

TOKEN = sys.argv[1]
TEXT = {"type": "object", "properties": {"text": {"type": "string"}}}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/moved":
            return self.reply(307, b"", ("location", "/mcp"))
        if self.path != "/open" and self.headers.get("authorization") != f"Bearer {TOKEN}":
            return self.reply(401, f"no, {self.headers.get('authorization')}".encode())
        method = message.get("method")
        if method == "initialize":
            result = {"protocolVersion": message["params"]["protocolVersion"], "capabilities": {"tools": {}}}
            return self.answer(message, result, ("mcp-session-id", "s1"))
        if self.headers.get("mcp-session-id") != "s1" or not self.headers.get("mcp-protocol-version"):
            return self.reply(400, b"no session")
        if "id" not in message or "error" in message:
            return self.reply(202, b"")
        if method == "tools/list":
            return self.answer(message, {"tools": [{"name": "echo", "description": "Echoes.", "inputSchema": TEXT}]})
        with open("http-calls", "a", encoding="utf-8") as calls:
            calls.write(message["params"]["name"] + "\n")
        while message["params"]["arguments"]["text"] == "hang":
            time.sleep(60)
        text = f"{message['params']['arguments']['text']} for {self.headers['authorization']}"
        return self.answer(message, {"content": [{"type": "text", "text": text}]})

    def answer(self, message, result, *headers):
        body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result})
        if self.path == "/sse":
            ask = json.dumps({"jsonrpc": "2.0", "id": 7, "method": "sampling/createMessage", "params": {}})
            events = f": hello\n\nevent: message\ndata: {ask}\n\nid: 1\ndata: {body}\n\n"
            return self.reply(200, events.encode(), ("content-type", "text/event-stream"), *headers)
        return self.reply(200, body.encode(), ("content-type", "application/json"), *headers)

    def reply(self, status, body, *headers):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


os.chdir(sys.argv[2])
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
