#!/usr/bin/env python3
"""fake_claude.py - a scripted stand-in for the Claude Messages API.

One file, Python 3.9+, standard library only.  It listens on loopback, answers
`POST /v1/messages` (streaming and not) from a script you write, checks every
request against the rules of the real API, and writes each request to a JSONL
log, so that a test can compare both what the model "answered" and what the client
really sent.

    python3 fake_claude.py --script turns.json --log requests.jsonl --port 8787
    ANTHROPIC_BASE_URL=http://127.0.0.1:8787 ANTHROPIC_API_KEY=sk-test  your-program

`--port 0` picks a free port; the URL is printed on the first line of stdout
(and written to `--port-file FILE` when given).


ENDPOINTS
    POST /v1/messages                 the next matching turn of the script
    POST /v1/messages/count_tokens    {"input_tokens": N}
    GET  /v1/models, /v1/models/{id}  a short list / one model
    GET  /_fake/state                 turns used and left, violations, requests (a
                                      request is logged when its answer has ended)
    GET  /_fake/log                   the log as a JSON array
    POST /_fake/script                replace the script (body = script JSON)
    POST /_fake/reset                 forget what was used and logged


SCRIPT
A JSON list of turns, or {"defaults": {...}, "turns": [...]}; `defaults` is
merged under every turn.  Each request takes the first turn that is not used up
and whose `match` fits; a request that no turn fits gets a 500 api_error and is
logged with "violation": "script exhausted".

What to answer (any mix; order: thinking, text, tool_calls, then content):
    "text": "Hello"                       one text block
    "thinking": "...", "signature": "..." one thinking block (signature optional)
    "tool_calls": [{"name": "bash", "input": {...}, "id": "toolu_..."}]
    "content": [ blocks as the API has them: text, thinking, redacted_thinking,
                 tool_use, server_tool_use, ... ]
    "stop_reason": "end_turn"             default: tool_use if a tool is called
    "stop_sequence", "stop_details"       as the API has them
    "usage": {"input_tokens": 10, "output_tokens": 5,
              "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}
    "model": "..."                        default: the request's model

Which requests it is for:
    "match": [assertion, ...]             all must hold, else the turn is passed over
    "expect": [assertion, ...]            all must hold, else 400 + logged violation
    "on_fail": "400" | "log"              default "400"
    "repeat": 3 | "forever"               default 1
    "name": "review-1"                    for the log
  An assertion is {"path": "messages.-1.content.0.type", "equals": "tool_result"}
  with one of: equals, not_equals, matches (regex, searched), contains (substring
  or list member), exists (true/false), length, one_of.  `path` is dotted, numbers
  index lists (negative from the end), `*` means any element.  "headers.<name>"
  reads a request header (lower case), "attempt" how often this turn has been
  taken before (0 for the first time).

How to send it (streaming only):
    "chunk": 5              characters per delta (default 8; 0 = one delta per block)
    "delay_ms": 20          pause before every delta (default 0)
    "first_delay_ms": 0     pause before the response head
    "gate": "path"          wait for this file before the response head
    "ping_every": 0         a ping after every N deltas (one is always sent first)
    "interleave": true      start all blocks, then deal their deltas in turn
    "eol": "\n"             or "\r\n" or "\r"
    "wire_chunk": 0         write the bytes in pieces of N (splits characters)
    "wire_delay_ms": 0      pause between those pieces
    "padding": true         spaces before the closing brace, as the API sends them
    "comments": true        ": keep-alive" comment lines between events
    "multiline_data": true  break the JSON over several data: lines
    "extra_events": [{"at": 2, "event": "x", "data": {...}}]   before event no. `at`
    "omit": ["content_block_stop", ...]    leave events of these types out
    "raw_sse": "..." / "raw_sse_file": "f" send these bytes instead (same pacing)

How to fail:
    "error": {"status": 429, "type": "rate_limit_error", "message": "...",
              "headers": {"retry-after": "1"}}          an HTTP error
    "error_times": 2        use the error for the first N attempts, then the answer
    "stream_error": {"after_deltas": 3, "type": "overloaded_error",
                     "message": "Overloaded"}           an error event, then the end
    "cut": {"after_deltas": 3, "how": "close"}          or "after_bytes": N
            how: close  drop the connection in the middle of the chunked body
                 reset  the same with a TCP reset
                 eof    a proper end of the body, but no message_stop
                 hang   stop sending and keep the connection open ("hang_ms")
    "hang_ms": 60000        send nothing at all for so long, then close
    "body": "<html>..."     with "error": send this body instead of the JSON error


STRICT CHECKS (on unless --no-strict or "strict": false in a turn)
Every breach is logged under "violations" and answered with the status the API
gives: missing credentials (401), missing anthropic-version (400), unknown or
missing fields (400; sampling parameters are refused from version 2026-10-21
on), messages whose tool_use blocks are not all answered, first and in one user
message, by tool_result blocks (400), empty text blocks (400), thinking blocks
that were changed on the way back (400), forced tool_choice and disabled
thinking on models that refuse them (400), an assistant prefill on models
without it (400), a body over --max-body (413).
"""
import argparse
import base64
import copy
import hashlib
import json
import math
import os
import re
import socket
import struct
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

API_VERSIONS = ("2023-01-01", "2023-06-01", "2026-10-21")
KNOWN_FIELDS = {
    "model", "messages", "max_tokens", "system", "tools", "tool_choice", "stream", "stop_sequences",
    "metadata", "thinking", "output_config", "cache_control", "container", "context_management",
    "diagnostics", "inference_geo", "mcp_servers", "service_tier", "speed", "user_profile_id",
}
SAMPLING_FIELDS = ("temperature", "top_p", "top_k")
# models whose rules differ; matched as regular expressions on the model id
NO_FORCED_TOOLS = re.compile(r"^claude-(fable|mythos)-|^claude-(opus|sonnet)-5-[5-9]|^claude-(opus|sonnet)-[6-9]")
NO_DISABLED_THINKING = re.compile(r"^claude-(fable|mythos)-|^claude-opus-5-[5-9]")
NO_PREFILL = re.compile(r"^claude-(opus|sonnet)-4-[6-9]|^claude-(opus|sonnet|haiku|fable|mythos)-[5-9]|^claude-mythos-preview")
NO_MANUAL_THINKING = re.compile(r"^claude-opus-4-[7-9]|^claude-(opus|sonnet|fable|mythos)-[5-9]")
MODELS = ["claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5", "claude-sonnet-4-6", "claude-haiku-4-5"]
ERROR_TYPES = {
    400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error",
    404: "not_found_error", 409: "conflict_error", 413: "request_too_large", 429: "rate_limit_error",
    500: "api_error", 504: "timeout_error", 529: "overloaded_error",
}
MISSING = object()
ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


# ---------------------------------------------------------------- small things

def make_id(prefix, *parts):
    """A stable identifier: the same parts always give the same id."""
    n = int.from_bytes(hashlib.sha256(repr(parts).encode()).digest(), "big")
    out = ""
    for _ in range(22):
        n, r = divmod(n, len(ALPHABET))
        out += ALPHABET[r]
    return prefix + "01" + out


def estimate_tokens(value):
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return max(1, math.ceil(len(text) / 4))


def lookup(root, path):
    """All values at a dotted path ('*' fans out); an empty list if there is none."""
    values = [root]
    for part in path.split(".") if path else []:
        found = []
        for v in values:
            if part == "*" and isinstance(v, (list, dict)):
                found.extend(v.values() if isinstance(v, dict) else v)
            elif isinstance(v, dict) and part in v:
                found.append(v[part])
            elif isinstance(v, list) and re.fullmatch(r"-?\d+", part) and -len(v) <= int(part) < len(v):
                found.append(v[int(part)])
        values = found
    return values


def check_assertion(a, root):
    """None if the assertion holds, else a sentence with the reason."""
    path = a.get("path", "")
    values = lookup(root, path)
    if "exists" in a:
        return None if bool(values) == bool(a["exists"]) else f"{path}: exists is {bool(values)}"
    if not values:
        return f"{path}: nothing there"

    def holds(v):
        if "equals" in a:
            return v == a["equals"]
        if "not_equals" in a:
            return v != a["not_equals"]
        if "one_of" in a:
            return v in a["one_of"]
        if "length" in a:
            return hasattr(v, "__len__") and len(v) == a["length"]
        if "matches" in a:
            return re.search(a["matches"], v if isinstance(v, str) else json.dumps(v, ensure_ascii=False), re.S) is not None
        if "contains" in a:
            return a["contains"] in v if isinstance(v, (str, list, dict)) else False
        return True

    if any(holds(v) for v in values):
        return None
    shown = json.dumps(values[0], ensure_ascii=False)
    return f"{path}: {({k: v for k, v in a.items() if k != 'path'})} does not hold for {shown[:200]}"


class ApiError(Exception):
    def __init__(self, status, message, type_=None, headers=None, body=None):
        super().__init__(message)
        self.status, self.message = status, message
        self.type = type_ or ERROR_TYPES.get(status, "api_error")
        self.headers, self.body = headers or {}, body


# -------------------------------------------------------- the rules of the API

def as_blocks(content):
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def validate(body, headers, issued_thinking):
    """The first breach of the API's rules as an ApiError, or None."""
    def bad(message, status=400):
        return ApiError(status, message)

    if not headers.get("x-api-key") and not headers.get("authorization", "").startswith("Bearer "):
        return bad("x-api-key header is required", 401)
    version = headers.get("anthropic-version")
    if not version:
        return bad("anthropic-version: header is required")
    if version not in API_VERSIONS:
        return bad(f'anthropic-version: "{version}" is not a valid version')
    if "application/json" not in headers.get("content-type", ""):
        return bad("content-type: must be application/json")
    if not isinstance(body, dict):
        return bad("The request body is not valid JSON")
    for field in ("model", "max_tokens", "messages"):
        if field not in body:
            return bad(f"{field}: Field required")
    if not isinstance(body["model"], str) or not body["model"]:
        return bad("model: Input should be a valid string")
    if not isinstance(body["max_tokens"], int) or isinstance(body["max_tokens"], bool) or body["max_tokens"] < 0:
        return bad("max_tokens: Input should be a valid integer")
    for field in body:
        if field in SAMPLING_FIELDS and version < "2026-10-21":
            continue
        if field not in KNOWN_FIELDS:
            return bad(f"{field}: Extra inputs are not permitted")
    model, messages = body["model"], body["messages"]
    if not isinstance(messages, list) or not messages:
        return bad("messages: at least one message is required")

    # tools and tool_choice
    names = set()
    for i, tool in enumerate(body.get("tools") or []):
        if not isinstance(tool, dict) or not isinstance(tool.get("name") or tool.get("type"), str):
            return bad(f"tools.{i}: Input should be a valid dictionary with a name")
        name = tool.get("name")
        if tool.get("type", "custom") == "custom" or tool.get("type") is None:
            if not isinstance(name, str) or not re.fullmatch(r"[a-zA-Z0-9_-]{1,128}", name):
                return bad(f"tools.{i}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
            schema = tool.get("input_schema")
            if not isinstance(schema, dict):
                return bad(f"tools.{i}.custom.input_schema: Field required")
            if schema.get("type") != "object":
                return bad(f"tools.{i}.custom.input_schema.type: Input should be 'object'")
        if name in names:
            return bad("tools: Tool names must be unique.")
        if name:
            names.add(name)
    choice = body.get("tool_choice")
    if choice is not None:
        if not isinstance(choice, dict) or choice.get("type") not in ("auto", "any", "tool", "none"):
            return bad("tool_choice: Input tag should be one of 'auto', 'any', 'tool', 'none'")
        if choice["type"] in ("any", "tool") and NO_FORCED_TOOLS.search(model):
            return bad('tool_choice: type "tool" and "any" are not supported for this model.')
        if choice["type"] != "none" and not body.get("tools"):
            return bad("tool_choice: tool_choice may only be specified while providing tools")
        if choice["type"] == "tool" and choice.get("name") not in names:
            return bad(f"Tool '{choice.get('name')}' not found in provided tools")

    # thinking and output_config
    thinking = body.get("thinking")
    if thinking is not None:
        kind = thinking.get("type") if isinstance(thinking, dict) else None
        if kind not in ("enabled", "disabled", "adaptive", "between_tools"):
            return bad("thinking: Input tag should be one of 'adaptive', 'between_tools', 'disabled', 'enabled'")
        if kind == "disabled" and NO_DISABLED_THINKING.search(model):
            return bad('"thinking.type.disabled" is not supported for this model.')
        if kind == "enabled":
            if NO_MANUAL_THINKING.search(model):
                return bad('"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and '
                           '"output_config.effort" to control thinking behavior.')
            budget = thinking.get("budget_tokens")
            if not isinstance(budget, int) or budget < 1024:
                return bad("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
            if budget >= body["max_tokens"]:
                return bad("`max_tokens` must be greater than `thinking.budget_tokens`.")
    config = body.get("output_config")
    if config is not None:
        if not isinstance(config, dict) or set(config) - {"effort", "format", "task_budget"}:
            return bad("output_config: Extra inputs are not permitted")
        if config.get("effort") not in (None, "low", "medium", "high", "xhigh", "max"):
            return bad("output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'")
        fmt = config.get("format")
        if fmt is not None and (not isinstance(fmt, dict) or fmt.get("type") != "json_schema" or "schema" not in fmt):
            return bad("output_config.format: Input should be a json_schema format with a schema")

    # messages
    pending = []                      # tool_use ids of the assistant turn just before
    for i, m in enumerate(messages):
        where = f"messages.{i}"
        if not isinstance(m, dict) or m.get("role") not in ("user", "assistant", "system"):
            return bad(f"{where}.role: Input should be 'user', 'assistant' or 'system'")
        extra = set(m) - {"role", "content"}
        if extra:
            return bad(f"{where}.{sorted(extra)[0]}: Extra inputs are not permitted")
        content = m.get("content")
        if not isinstance(content, (str, list)):
            return bad(f"{where}.content: Input should be a valid string or list")
        last = i == len(messages) - 1
        if not content and not (m["role"] == "assistant" and last):
            return bad(f"{where}: all messages must have non-empty content except for the optional final assistant message")
        blocks = as_blocks(content)
        results, other_before = [], False
        for j, b in enumerate(blocks):
            at = f"{where}.content.{j}"
            kind = b.get("type") if isinstance(b, dict) else None
            if not isinstance(kind, str):
                return bad(f"{at}.type: Field required")
            if kind == "text":
                if not isinstance(b.get("text"), str):
                    return bad(f"{at}.text.text: Input should be a valid string")
                if b["text"] == "":
                    return bad("messages: text content blocks must be non-empty")
                if version >= "2026-10-21" and m["role"] == "user" and b.get("citations"):
                    return bad(f"{at}.text.citations: Extra inputs are not permitted")
            if kind == "document" and m["role"] == "assistant" and version >= "2026-10-21":
                return bad(f"{at}: document blocks are not permitted in assistant messages")
            if kind == "tool_result":
                if m["role"] != "user":
                    return bad(f"{where}: `tool_result` blocks can only be in `user` messages")
                extra = set(b) - {"type", "tool_use_id", "content", "is_error", "cache_control", "toolset_name"}
                if extra:
                    return bad(f"{at}.tool_result.{sorted(extra)[0]}: Extra inputs are not permitted")
                if b.get("tool_use_id") not in pending:
                    return bad(f"{at}: unexpected `tool_use_id` found in `tool_result` blocks: {b.get('tool_use_id')}. Each "
                               "`tool_result` block must have a corresponding `tool_use` block in the previous message.")
                if not other_before:
                    results.append(b["tool_use_id"])
            elif m["role"] == "user":
                other_before = True
            if kind == "tool_use":
                if m["role"] != "assistant":
                    return bad(f"{where}: `tool_use` blocks can only be in `assistant` messages")
                if not isinstance(b.get("input"), dict):
                    return bad(f"{at}.tool_use.input: Input should be a valid dictionary")
                for field in ("id", "name"):
                    if not isinstance(b.get(field), str):
                        return bad(f"{at}.tool_use.{field}: Field required")
            if kind == "thinking" and m["role"] == "assistant":
                if not b.get("signature"):
                    return bad(f"{at}.thinking.signature: Field required")
                known = issued_thinking.get(b["signature"])
                if known is not None and known[1] != model:
                    return bad(f"{at}: Invalid `signature` in `thinking` block")
                if known is not None and known[0] != b.get("thinking"):
                    return bad(f"{at}: `thinking` or `redacted_thinking` blocks in the latest assistant message cannot be "
                               "modified. These blocks must remain as they were in the original response.")
        missing = [t for t in pending if t not in results]
        if missing:
            return bad(f"messages.{i - 1}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                       f"{', '.join(missing)}. Each `tool_use` block must have a corresponding `tool_result` block in the "
                       "next message.")
        pending = []
        if m["role"] == "assistant":
            pending = [b["id"] for b in blocks if b.get("type") == "tool_use"]
            if len(set(pending)) != len(pending):
                return bad(f"{where}: `tool_use` ids must be unique")
    if pending:
        return bad(f"messages.{len(messages) - 1}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                   f"{', '.join(pending)}. Each `tool_use` block must have a corresponding `tool_result` block in the next "
                   "message.")
    if messages[-1]["role"] == "assistant" and NO_PREFILL.search(model):
        return bad("This model does not support assistant message prefill. The conversation must end with a user message.")
    return None


# ------------------------------------------------------------ building answers

def build_message(turn, body, serial):
    """The finished Message object that this turn stands for."""
    model = turn.get("model") or body.get("model", MODELS[0])
    content = []
    if "thinking" in turn:
        content.append({"type": "thinking", "thinking": turn["thinking"], "signature": turn.get("signature")})
    if "text" in turn:
        content.append({"type": "text", "text": turn["text"]})
    for call in turn.get("tool_calls", []):
        content.append({"type": "tool_use", **copy.deepcopy(call)})
    content.extend(copy.deepcopy(turn.get("content", [])))
    for j, b in enumerate(content):
        if b["type"] == "tool_use":
            b.setdefault("id", make_id("toolu_", serial, j))
            b.setdefault("input", {})
            b.setdefault("caller", {"type": "direct"})
        if b["type"] == "thinking" and not b.get("signature"):
            seed = f"{serial}/{j}/{b.get('thinking', '')}".encode()
            b["signature"] = base64.b64encode(hashlib.sha512(seed).digest() * 2).decode()
    tools = any(b["type"] == "tool_use" for b in content)
    output = sum(estimate_tokens({k: v for k, v in b.items() if k in ("text", "thinking", "input", "name")}) for b in content)
    usage = {
        "input_tokens": estimate_tokens({k: body.get(k) for k in ("system", "messages", "tools") if body.get(k)}),
        "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output, "service_tier": "standard",
    }
    usage.update(turn.get("usage", {}))
    return {
        "id": turn.get("id") or make_id("msg_", serial), "type": "message", "role": "assistant", "model": model,
        "content": content, "stop_reason": turn.get("stop_reason", "tool_use" if tools else "end_turn"),
        "stop_sequence": turn.get("stop_sequence"), "stop_details": turn.get("stop_details"), "usage": usage,
    }


def pieces(text, size):
    if size <= 0:
        return [text] if text else []
    return [text[i:i + size] for i in range(0, len(text), size)]


def block_events(index, block, size):
    """(start event, [delta events], stop event) of one content block."""
    kind, deltas = block["type"], []

    def delta(d):
        deltas.append({"type": "content_block_delta", "index": index, "delta": d})

    if kind == "text":
        start = {"type": "text", "text": ""}
        for c in block.get("citations") or []:
            delta({"type": "citations_delta", "citation": c})
        for p in pieces(block["text"], size):
            delta({"type": "text_delta", "text": p})
    elif kind in ("tool_use", "server_tool_use"):
        start = {k: v for k, v in block.items() if k != "input_json"}
        start["input"] = {}
        raw = block.get("input_json")           # "input_json": send this text, valid or not
        if raw is None:
            raw = json.dumps(block.get("input", {}), ensure_ascii=False)
        delta({"type": "input_json_delta", "partial_json": ""})
        if block.get("input") or block.get("input_json"):
            for p in pieces(raw, size):
                delta({"type": "input_json_delta", "partial_json": p})
    elif kind == "thinking":
        start = {"type": "thinking", "thinking": "", "signature": ""}
        for p in pieces(block.get("thinking", ""), size):
            delta({"type": "thinking_delta", "thinking": p})
        delta({"type": "signature_delta", "signature": block["signature"]})
    else:                                       # redacted_thinking, tool results: whole at once
        start = block
    return ({"type": "content_block_start", "index": index, "content_block": start}, deltas,
            {"type": "content_block_stop", "index": index})


def message_events(message, turn):
    """The stream of one message, as a list of event objects."""
    shell = {**message, "content": [], "stop_reason": None, "stop_sequence": None, "stop_details": None}
    shell["usage"] = {**message["usage"], "output_tokens": min(1, message["usage"]["output_tokens"])}
    events = [{"type": "message_start", "message": shell}]
    parts = [block_events(i, b, turn.get("chunk", 8)) for i, b in enumerate(message["content"])]
    if turn.get("interleave"):
        events += [p[0] for p in parts]
        queues = [list(p[1]) for p in parts]
        while any(queues):
            for q in queues:
                if q:
                    events.append(q.pop(0))
        events += [p[2] for p in parts]
    else:
        for start, deltas, stop in parts:
            events += [start, *deltas, stop]
    events.insert(2 if len(events) > 1 else 1, {"type": "ping"})
    every = turn.get("ping_every", 0)
    if every:
        out, n = [], 0
        for e in events:
            out.append(e)
            n += e["type"] == "content_block_delta"
            if e["type"] == "content_block_delta" and n % every == 0:
                out.append({"type": "ping"})
        events = out
    usage = {k: message["usage"][k] for k in
             ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")}
    for k in ("output_tokens_details", "server_tool_use"):
        if k in message["usage"]:
            usage[k] = message["usage"][k]
    delta = {"stop_reason": message["stop_reason"], "stop_sequence": message["stop_sequence"]}
    if message["stop_details"] is not None:
        delta["stop_details"] = message["stop_details"]
    events.append({"type": "message_delta", "delta": delta, "usage": usage})
    events.append({"type": "message_stop"})
    return [e for e in events if e["type"] not in turn.get("omit", [])]


def sse(event, data, turn, n):
    """One event as bytes, with the framing that the turn asks for."""
    eol = turn.get("eol", "\n")
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")) if not isinstance(data, str) else data
    if turn.get("padding") and text.endswith("}"):
        text = text[:-1] + " " * ((n * 7) % 16) + "}"
    lines = [f"event: {event}"] if event else []
    if turn.get("multiline_data"):
        # JSON may be broken between tokens; after a top-level comma is always safe here
        lines += ["data: " + part for part in re.sub(r'^(\{"type":"[a-z_]+",)', "\\1\n", text).split("\n")]
    else:
        lines.append("data: " + text)
    if turn.get("comments"):
        lines.insert(0, ": keep-alive")
    return (eol.join(lines) + eol + eol).encode("utf-8")


# ------------------------------------------------------------------ the server

class Script:
    def __init__(self, data):
        self.load(data)

    def load(self, data):
        data = data or []
        defaults, turns = ({}, data) if isinstance(data, list) else (data.get("defaults", {}), data.get("turns", []))
        self.turns = [{**defaults, **t} for t in turns]
        self.used = [0] * len(self.turns)

    def take(self, body, headers):
        for i, t in enumerate(self.turns):
            limit = t.get("repeat", 1)
            limit = limit if limit == "forever" else limit + t.get("error_times", 0)
            if limit != "forever" and self.used[i] >= limit:
                continue
            root = {**(body if isinstance(body, dict) else {}), "headers": headers, "attempt": self.used[i]}
            if all(check_assertion(a, root) is None for a in t.get("match", [])):
                self.used[i] += 1
                return i, t, self.used[i] - 1, root
        return None, None, 0, None

    def left(self):
        return [t.get("name", i) for i, t in enumerate(self.turns)
                if t.get("repeat") != "forever" and self.used[i] < t.get("repeat", 1) + t.get("error_times", 0)]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "fake-claude"

    def log_message(self, *_):
        pass

    # -- plain answers
    def send_json(self, status, value, headers=None, raw=None):
        data = raw.encode() if isinstance(raw, str) else raw
        if data is None:
            data = json.dumps(value, ensure_ascii=False).encode()
        self.send_response(status)
        base = {"content-type": "application/json", "content-length": str(len(data)), "request-id": self.request_id}
        for k, v in {**base, **self.limit_headers(status), **(headers or {})}.items():
            self.send_header(k, str(v))
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()
        self.entry["status"], self.entry["bytes"] = status, len(data)

    def limit_headers(self, status):
        if not self.path.startswith("/v1/"):
            return {}
        reset = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60))
        out = {"anthropic-organization-id": "00000000-0000-4000-8000-000000000000"}
        for name, limit in (("requests", 1000), ("input-tokens", 400000), ("output-tokens", 80000), ("tokens", 480000)):
            out[f"anthropic-ratelimit-{name}-limit"] = limit
            out[f"anthropic-ratelimit-{name}-remaining"] = 0 if status == 429 else limit - 1
            out[f"anthropic-ratelimit-{name}-reset"] = reset
        return out

    def send_error_object(self, e):
        value = {"type": "error", "error": {"type": e.type, "message": e.message}, "request_id": self.request_id}
        self.entry["error"] = {"type": e.type, "message": e.message}
        self.send_json(e.status, value, e.headers, e.body)

    # -- requests
    def do_GET(self):
        self.handle_request("GET")

    def do_POST(self):
        self.handle_request("POST")

    def handle_request(self, method):
        app = self.server.app
        path = self.path.split("?")[0]
        fake = path.startswith("/_fake/")
        with app.lock:
            app.serial += not fake
            serial = app.serial
            app.in_flight += not fake
        self.request_id = make_id("req_", app.seed, serial)
        headers = {k.lower(): v for k, v in self.headers.items()}
        shown = dict(headers)
        for k in ("x-api-key", "authorization"):
            if k in shown:
                shown[k] = f"<{len(shown[k])} characters, sha256 {hashlib.sha256(shown[k].encode()).hexdigest()[:12]}>"
        self.entry = {"n": serial, "at": time.time(), "method": method, "path": self.path, "headers": shown,
                      "violations": [], "status": None}
        try:
            if fake:
                return self.control(method, path)
            data = self.read_body(headers)
            body = None
            if data is not None:
                try:
                    body = json.loads(data)
                    self.entry["body"] = body
                except ValueError:
                    self.entry["body_text"] = data.decode("utf-8", "replace")[:4000]
            if method == "GET" and path == "/v1/models":
                return self.send_json(200, {"data": [model_info(m) for m in MODELS], "has_more": False,
                                            "first_id": MODELS[0], "last_id": MODELS[-1]})
            if method == "GET" and path.startswith("/v1/models/"):
                return self.send_json(200, model_info(path.rsplit("/", 1)[1]))
            if method == "POST" and path == "/v1/messages/count_tokens":
                return self.send_json(200, {"input_tokens": estimate_tokens(body)})
            if not (method == "POST" and path == "/v1/messages"):
                raise ApiError(404, f"Not found: {method} {path}")
            self.messages(body, headers, serial)
        except ApiError as e:
            try:
                self.send_error_object(e)
            except OSError:
                self.entry["client_gone"] = True
        except (BrokenPipeError, ConnectionResetError):
            self.entry["client_gone"] = True
            self.close_connection = True
        finally:
            if not fake:
                self.entry["took_ms"] = round((time.time() - self.entry["at"]) * 1000, 1)
                app.record(self.entry)

    def read_body(self, headers):
        limit = self.server.app.max_body
        if headers.get("transfer-encoding", "").lower() == "chunked":
            out = b""
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                out += self.rfile.read(size)
                self.rfile.readline()
                if size == 0:
                    return out
        length = int(headers.get("content-length", 0))
        if length > limit:
            self.close_connection = True
            raise ApiError(413, "Request exceeds the maximum size")
        return self.rfile.read(length) if length else (b"" if self.command == "POST" else None)

    def control(self, method, path):
        app = self.server.app
        if path == "/_fake/state":
            return self.send_json(200, app.state())
        if path == "/_fake/log":
            app.settle()
            return self.send_json(200, app.entries)
        length = int(self.headers.get("content-length") or 0)
        data = self.rfile.read(length) if length else b""
        if method == "POST" and path == "/_fake/script":
            with app.lock:
                app.script.load(json.loads(data))
            return self.send_json(200, app.state())
        if method == "POST" and path == "/_fake/reset":
            with app.lock:
                app.script.used = [0] * len(app.script.turns)
                app.entries.clear()
                app.thinking.clear()
                app.serial = 0
            return self.send_json(200, app.state())
        return self.send_json(404, {"error": "no such control path"})

    # -- POST /v1/messages
    def messages(self, body, headers, serial):
        app = self.server.app
        with app.lock:
            index, turn, attempt, root = app.script.take(body, headers)
        breach = validate(body, headers, app.thinking) if app.strict and (turn or {}).get("strict", True) else None
        if breach:
            self.entry["violations"].append(breach.message)
            if turn is not None:                      # the turn was not served: give it back
                with app.lock:
                    app.script.used[index] -= 1
            raise breach
        if turn is None:
            self.entry["violations"].append("script exhausted")
            raise ApiError(500, "fake_claude: no turn of the script is left for this request")
        self.entry["turn"] = turn.get("name", index)
        for a in turn.get("expect", []):
            why = check_assertion(a, root)
            if why:
                self.entry["violations"].append("expect: " + why)
        if any(v.startswith("expect: ") for v in self.entry["violations"]) and turn.get("on_fail", "400") == "400":
            raise ApiError(400, "fake_claude: " + "; ".join(self.entry["violations"]))
        if turn.get("first_delay_ms"):
            time.sleep(turn["first_delay_ms"] / 1000)
        while "gate" in turn and not os.path.exists(turn["gate"]):
            time.sleep(0.005)
        if turn.get("hang_ms") and "cut" not in turn:
            time.sleep(turn["hang_ms"] / 1000)
            self.close_connection = True
            self.entry["hung"] = True
            return
        if "error" in turn and ("error_times" not in turn or attempt < turn["error_times"]):
            e = turn["error"]
            raise ApiError(e["status"], e.get("message", "Injected error"), e.get("type"), e.get("headers"), turn.get("body"))
        message = build_message(turn, body, serial if "id" not in turn else turn["id"])
        for b in message["content"]:
            if b["type"] == "thinking":
                app.thinking[b["signature"]] = (b.get("thinking", ""), body.get("model"))
        self.entry["answer"] = {"id": message["id"], "stop_reason": message["stop_reason"], "usage": message["usage"]}
        if body.get("stream"):
            self.stream(turn, message)
        else:
            for b in message["content"]:
                b.pop("input_json", None)
            self.send_json(200, message)

    def stream(self, turn, message):
        self.send_response(200)
        for k, v in {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache",
                     "transfer-encoding": "chunked", "request-id": self.request_id, **self.limit_headers(200)}.items():
            self.send_header(k, str(v))
        self.end_headers()
        self.entry.update(status=200, bytes=0, events=0)
        cut, fail = turn.get("cut") or {}, turn.get("stream_error")
        size, pause = turn.get("wire_chunk", 0), turn.get("wire_delay_ms", 0) / 1000

        def write(data):
            limit = cut.get("after_bytes")
            if limit is not None and self.entry["bytes"] + len(data) >= limit:
                data = data[:limit - self.entry["bytes"]]
            for p in ([data[i:i + size] for i in range(0, len(data), size)] if size else [data]):
                if p:
                    self.wfile.write(b"%x\r\n" % len(p) + p + b"\r\n")
                    self.wfile.flush()
                    self.entry["bytes"] += len(p)
                    if pause:
                        time.sleep(pause)
            return limit is not None and self.entry["bytes"] >= limit

        raw = turn.get("raw_sse")
        if raw is None and turn.get("raw_sse_file"):
            with open(turn["raw_sse_file"], "rb") as f:
                raw = f.read()
        if raw is not None:
            if not write(raw.encode() if isinstance(raw, str) else raw) or not cut:
                return self.finish_body()
            return self.cut(cut, turn)
        extra, deltas = {}, 0
        for x in turn.get("extra_events", []):
            extra.setdefault(x["at"], []).append(x)
        for n, event in enumerate(message_events(message, turn)):
            for x in extra.get(n, []):
                write(sse(x.get("event"), x.get("data", {}), turn, n))
            if event["type"] == "content_block_delta":
                if fail and deltas >= fail.get("after_deltas", 0):
                    return self.error_event(fail, turn, write)
                if "after_deltas" in cut and deltas >= cut["after_deltas"]:
                    return self.cut(cut, turn)
                if turn.get("delay_ms"):
                    time.sleep(turn["delay_ms"] / 1000)
                deltas += 1
            elif event["type"] == "message_delta":
                if fail:
                    return self.error_event(fail, turn, write)
                if "after_deltas" in cut:
                    return self.cut(cut, turn)
            if write(sse(event["type"], event, turn, n)):
                return self.cut(cut, turn)
            self.entry["events"] += 1
        self.finish_body()

    def error_event(self, fail, turn, write):
        error = {"type": fail.get("type", "overloaded_error"), "message": fail.get("message", "Overloaded")}
        self.entry["stream_error"] = error
        write(sse("error", {"type": "error", "error": error, "request_id": self.request_id}, turn, 0))
        self.finish_body()

    def finish_body(self):
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def cut(self, cut, turn):
        how = cut.get("how", "close")
        self.entry["cut"] = how
        self.close_connection = True
        if how == "eof":
            return self.finish_body()
        if how == "hang":
            until = time.time() + turn.get("hang_ms", 60000) / 1000
            self.connection.settimeout(0.2)
            while time.time() < until:
                try:
                    if self.connection.recv(1) == b"":
                        self.entry["client_gone"] = True
                        return
                except (socket.timeout, TimeoutError):
                    continue
                except OSError:
                    self.entry["client_gone"] = True
                    return
            return
        if how == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            try:
                self.connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.connection.close()


def model_info(name):
    return {"id": name, "type": "model", "display_name": name, "created_at": "2026-09-22T00:00:00Z", "lifecycle": "active",
            "max_input_tokens": 1000000, "max_tokens": 128000}


class App:
    def __init__(self, script, log=None, strict=True, max_body=32 * 1024 * 1024, seed=""):
        self.script, self.strict, self.max_body, self.seed = Script(script), strict, max_body, seed
        self.entries, self.thinking, self.serial, self.in_flight = [], {}, 0, 0
        self.lock, self.file = threading.Lock(), open(log, "a", encoding="utf-8") if log else None

    def record(self, entry):
        with self.lock:
            self.in_flight -= 1
            self.entries.append(entry)
            if self.file:
                self.file.write(json.dumps(entry, ensure_ascii=False) + "\n")
                self.file.flush()

    def settle(self, seconds=0.5):
        """Wait a moment for answers that are just being finished to be logged."""
        until = time.time() + seconds
        while self.in_flight > 0 and time.time() < until:
            time.sleep(0.005)

    def state(self):
        self.settle()
        return {"requests": len(self.entries), "in_flight": self.in_flight, "used": self.script.used, "left": self.script.left(),
                "violations": [{"n": e["n"], "violation": v} for e in self.entries for v in e["violations"]]}


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        pass


def start(script, port=0, host="127.0.0.1", **options):
    """Serve from a background thread; returns (server, base URL).  For tests in Python."""
    server = Server((host, port), Handler)
    server.app = App(script, **options)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return server, f"http://{host}:{server.server_address[1]}"


def main():
    p = argparse.ArgumentParser(description="A scripted stand-in for the Claude Messages API.")
    p.add_argument("--script", help="JSON file with the turns (may also be sent to /_fake/script)")
    p.add_argument("--log", help="append one JSON line per request to this file")
    p.add_argument("--port", type=int, default=0)
    p.add_argument("--host", default="127.0.0.1")
    p.add_argument("--port-file", help="write the base URL to this file")
    p.add_argument("--no-strict", action="store_true", help="do not check requests against the API's rules")
    p.add_argument("--max-body", type=int, default=32 * 1024 * 1024, help="largest accepted request in bytes")
    a = p.parse_args()
    script = []
    if a.script:
        with open(a.script, encoding="utf-8") as f:
            script = json.load(f)
    server, url = start(script, a.port, a.host, log=a.log, strict=not a.no_strict, max_body=a.max_body)
    print(url, flush=True)
    if a.port_file:
        with open(a.port_file, "w", encoding="utf-8") as f:
            f.write(url)
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        server.shutdown()
        sys.exit(0)


if __name__ == "__main__":
    main()
