"""An MCP server with one tool: it looks a word up in the notes of this folder."""

import json
import pathlib
import sys

TOOL = {
    "name": "look_up",
    "description": "Notes that have a word, one per line.",
    "inputSchema": {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]},
    "annotations": {"readOnlyHint": True},
}


def look_up(word: str) -> str:
    notes = pathlib.Path(__file__).with_name("notes.txt").read_text(encoding="utf-8")
    return "\n".join(note for note in notes.splitlines() if word.lower() in note.lower()) or "no note"


def result(method: str, params: dict) -> dict:
    if method == "initialize":
        server = {"name": "notes", "version": "1.0"}
        return {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": server}
    if method == "tools/list":
        return {"tools": [TOOL]}
    if method == "tools/call" and params["name"] == TOOL["name"]:
        return {"content": [{"type": "text", "text": look_up(params["arguments"]["word"])}]}
    raise ValueError(f"no {method}")


for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    answer = {"jsonrpc": "2.0", "id": message["id"]}
    try:
        answer["result"] = result(message["method"], message.get("params", {}))
    except (KeyError, ValueError) as error:
        answer["error"] = {"code": -32602, "message": str(error)}
    print(json.dumps(answer), flush=True)
