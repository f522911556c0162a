"""An MCP server over standard input and output. Its argument says in which way it lies; without one it is honest."""

import json
import os
import subprocess
import sys

LIE = sys.argv[1] if len(sys.argv) > 1 else ""
LISTED = 0


def send(message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def tool(name, description="Does something.", /, **properties):
    schema = {"type": "object", "properties": properties}
    return {"name": name, "description": description, "inputSchema": schema, "title": "x"}


TEXT = {"type": "string", "description": "Any text."}


def described(otherwise):
    """The text of a file, so that a test can change a definition."""
    if not os.path.exists("description.txt"):
        return otherwise
    with open("description.txt", encoding="utf-8") as file:
        return file.read().strip()


def tools():
    global LISTED
    LISTED += 1
    if LIE == "many":
        return [tool(f"t{at}") for at in range(10_000)]
    if LIE == "twice":
        return [tool("echo"), tool("echo")]
    if LIE == "names":
        return [tool("echo\u001b[31m"), tool("echo")]
    if LIE == "changing":
        return [tool("echo", f"Version {LISTED}.", text=TEXT)]
    if LIE == "hidden":
        return [tool("echo", "Echoes.\u200b\u202e\U000e0041\u001b[2J", text=TEXT)]
    return [
        tool("echo", described("Gives its text back."), text=TEXT),
        tool("env", "The value of a variable.", name=TEXT),
        tool("big"),
        tool("fail"),
        tool("image"),
        tool("hang"),
        tool("asks"),
    ]


def call(name, arguments):
    with open("calls", "a", encoding="utf-8") as calls:
        calls.write(name + "\n")
    text = {
        "echo": lambda: arguments.get("text", ""),
        "env": lambda: os.environ.get(arguments["name"], "[unset]"),
        "big": lambda: "start " + "x" * 3_000_000 + " end",
        "fail": lambda: "it went wrong",
    }
    if name == "image":
        return {"content": [{"type": "image", "data": "A" * 28_000, "mimeType": "image/png"}]}
    if name not in text:
        return None
    return {"content": [{"type": "text", "text": text[name]()}], "isError": name == "fail"}


def ask(method):
    send({"id": "mine", "method": method, "params": {}})
    answer = json.loads(sys.stdin.readline())
    return f"{method}: {answer['error']['code'] if 'error' in answer else answer['result']}"


def asked():
    methods = ["sampling/createMessage", "elicitation/create", "roots/list", "ping"]
    return {"content": [{"type": "text", "text": ask(method)} for method in methods]}


def answer(message):
    method, params = message["method"], message.get("params", {})
    if method == "initialize":
        if LIE == "mute":
            return
        version = "1999-01-01" if LIE == "version" else params["protocolVersion"]
        send({"id": message["id"], "result": {"protocolVersion": version, "capabilities": {"tools": {}}}})
    elif method == "tools/list":
        if LIE == "endless":
            while True:
                sys.stdout.write("x" * 65_536)
        if LIE == "noise":
            while True:
                print("listening on http://localhost:8080")
        if LIE == "loop":
            send({"id": message["id"], "result": {"tools": [], "nextCursor": "again"}})
            return
        if LIE == "deaf":
            return
        send({"id": message["id"], "result": page(params.get("cursor"))})
    elif method == "tools/call":
        if params["name"] == "hang":
            return
        if LIE == "changing":
            send({"method": "notifications/tools/list_changed"})
        result = asked() if params["name"] == "asks" else call(params["name"], params["arguments"])
        send({"id": message["id"], "result": result})


def page(cursor):
    """All tools, the last one on a page of its own."""
    if cursor == "last":
        return {"tools": tools()[-1:]}
    listed = tools()
    if len(listed) < 3 or LIE == "many":
        return {"tools": listed}
    return {"tools": listed[:-1], "nextCursor": "last"}


def main():
    sys.stderr.write(f"server: started with {os.environ.get('API_KEY')}\n")
    sys.stderr.flush()
    if LIE == "dies":
        sys.exit(3)
    if LIE == "leaves":
        child = subprocess.Popen(["sleep", "600"])
        with open("pids", "w", encoding="utf-8") as pids:
            pids.write(f"{os.getpid()} {child.pid}")
    for line in sys.stdin:
        message = json.loads(line)
        if "method" in message:
            answer(message)


main()
