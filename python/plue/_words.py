"""``Plan``, ``Step``, ``Trigger`` and ``Hooks``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from plue._canonical import canonical, data, duration, duration_unless, plan_hash, put, text, texts
from plue._functions import travelling
from plue._references import Reference, ref
from plue._settings import (
    Artifacts,
    Budget,
    Cache,
    Checkout,
    Concurrency,
    Goto,
    Input,
    Key,
    Mcp,
    Prompt,
    Retry,
    Service,
    Setting,
    Value,
)

if TYPE_CHECKING:
    if sys.version_info >= (3, 11):
        from typing import TypedDict, Unpack
    else:
        from typing_extensions import TypedDict, Unpack

    class Unnamed(TypedDict, total=False):
        """What every step takes."""

        depends_on: Sequence[str | Step]
        when: str | Reference
        env: Mapping[str, Value]
        secrets: Sequence[str | Reference]
        timeout: str | int
        retry: Retry
        on_failure: Literal["fail", "skip", "continue"] | Goto
        on_success: Goto
        runner: str
        image: str
        resources: Mapping[str, Any]
        cwd: str
        outputs: Mapping[str, Any]
        writes: str | Key
        artifacts: Sequence[str] | Artifacts
        cache: Cache
        checkout: Checkout
        services: Sequence[Service]
        pure: bool
        interactive: bool
        required: bool

    class Common(Unnamed, total=False):
        """What every step takes, and the name that is shown."""

        name: str | Reference


Json = Mapping[str, Any]


class Trigger(Setting):
    """What makes a plan run; made by one of its kinds."""

    __slots__ = ()

    @classmethod
    def _of(cls, on: str, **fields: Any) -> Trigger:
        trigger = cls()
        trigger.fields["on"] = on
        for name, value in fields.items():
            put(trigger.fields, name, value)
        return trigger

    @staticmethod
    def on_push(
        *,
        branch: str | None = None,
        branches: Sequence[str] = (),
        tag: str | None = None,
        tags: Sequence[str] = (),
        paths: Sequence[str] = (),
        paths_ignore: Sequence[str] = (),
    ) -> Trigger:
        """A push of a branch or tag."""
        return Trigger._of(
            "push",
            branches=_one_or_many(branch, branches),
            tags=_one_or_many(tag, tags),
            paths=list(paths),
            paths_ignore=list(paths_ignore),
        )

    @staticmethod
    def on_pull_request(
        *,
        types: Sequence[str] = (),
        branch: str | None = None,
        branches: Sequence[str] = (),
        paths: Sequence[str] = (),
    ) -> Trigger:
        """A pull or merge request."""
        return Trigger._of(
            "pull_request", types=list(types), branches=_one_or_many(branch, branches), paths=list(paths)
        )

    @staticmethod
    def on_issue(*, types: Sequence[str] = (), labels: Sequence[str] = ()) -> Trigger:
        """An issue."""
        return Trigger._of("issue", types=list(types), labels=list(labels))

    @staticmethod
    def on_issue_comment(*, contains: str | None = None) -> Trigger:
        """A new comment on an issue or pull request."""
        return Trigger._of("issue_comment", contains=contains)

    @staticmethod
    def on_schedule(
        cron: str, *, tz: str = "UTC", misfire: Literal["run_once", "skip", "catch_up"] = "run_once"
    ) -> Trigger:
        """A clock."""
        tz_field = None if tz == "UTC" else tz
        return Trigger._of("schedule", cron=cron, tz=tz_field, misfire=None if misfire == "run_once" else misfire)

    @staticmethod
    def on_manual(*, inputs: Mapping[str, Input] | None = None) -> Trigger:
        """A person or an API call."""
        return Trigger._of("manual", inputs=_inputs(inputs))

    @staticmethod
    def on_webhook(name: str) -> Trigger:
        """A call of a named webhook endpoint."""
        return Trigger._of("webhook", name=name)

    @staticmethod
    def on_event(topic: str, *, when: str | Reference | None = None) -> Trigger:
        """A message on a topic."""
        return Trigger._of("event", topic=topic, when=_expression(when))

    @staticmethod
    def on_workflow(name: str, *, outcome: str | None = None) -> Trigger:
        """The end of a run of another workflow."""
        return Trigger._of("workflow", name=name, outcome=outcome)


class Step(Setting):
    """A node of a plan; made by one of its kinds."""

    __slots__ = ()

    @classmethod
    def _of(cls, kind: str, id: str, action: Mapping[str, Any], options: Mapping[str, Any]) -> Step:
        step = cls()
        step.fields.update({"kind": kind, "id": text(id, "the id of a step")})
        for name, value in action.items():
            put(step.fields, name, value)
        _options(step.fields, f"Step.{kind}({id!r})", options)
        return step

    @staticmethod
    def bash(id: str, run: str, *, shell: Literal["bash", "sh"] = "bash", **options: Unpack[Common]) -> Step:
        """A shell command, run as ``bash -euo pipefail``."""
        return Step._of("bash", id, {"run": text(run, "`run`"), "shell": None if shell == "bash" else shell}, options)

    @staticmethod
    def python(
        id: str,
        code: str | Callable[..., Any] | None = None,
        *,
        script: str | None = None,
        args: Sequence[Value] = (),
        **options: Unpack[Common],
    ) -> Step:
        """A Python program on the runner: its text, a function of this file, or a script of the workspace."""
        call = None
        if callable(code) and not isinstance(code, str):
            code, call = travelling(code)
        if (code is None) == (script is None):
            raise TypeError('give either the code or script="path.py"')
        action = {"code": code, "call": call, "script": script, "args": [data(arg, "`args`", True) for arg in args]}
        return Step._of("python", id, action, options)

    @staticmethod
    def llm(
        id: str,
        prompt: str | Prompt | Reference,
        *,
        model: str | None = None,
        fallback_models: Sequence[str] = (),
        system: str | None = None,
        tools: Sequence[str] | None = None,
        approve: Sequence[str] = (),
        approve_timeout: str | int | None = None,
        mcp: Sequence[Mcp] = (),
        max_turns: int | None = None,
        max_tokens: int | None = None,
        budget: Budget | None = None,
        output: Json | None = None,
        role: str | None = None,
        effort: str | None = None,
        **options: Unpack[Common],
    ) -> Step:
        """A Claude step."""
        action = {
            "prompt": prompt.fields if isinstance(prompt, Prompt) else data(prompt, "`prompt`", True),
            "model": model,
            "fallback_models": texts(fallback_models, "`fallback_models`"),
            "system": system,
            "approve": texts(approve, "`approve`"),
            "approve_timeout": None if approve_timeout is None else duration(approve_timeout, "`approve_timeout`"),
            "mcp": [server.fields for server in mcp],
            "max_turns": max_turns,
            "max_tokens": max_tokens,
            "budget": None if budget is None else budget.fields,
            "output": None if output is None else data(output, "`output`", False),
            "role": role,
            "effort": effort,
        }
        step = Step._of("llm", id, action, options)
        if tools is not None:
            # An empty list counts: no tools, also none of the role.
            step.fields["tools"] = texts(tools, "`tools`")
        return step

    @staticmethod
    def approval(
        id: str,
        message: str | Reference | None = None,
        *,
        approvers: Sequence[str] = (),
        quorum: int = 1,
        on_timeout: Literal["reject", "approve"] = "reject",
        fields: Json | None = None,
        **options: Unpack[Common],
    ) -> Step:
        """A decision by people."""
        action = {
            "message": data(message, "`message`", True),
            "approvers": texts(approvers, "`approvers`"),
            "quorum": None if quorum == 1 else quorum,
            "on_timeout": None if on_timeout == "reject" else on_timeout,
            "fields": None if fields is None else data(fields, "`fields`", False),
        }
        return Step._of("approval", id, action, options)

    @staticmethod
    def negotiate(
        id: str,
        parties: Sequence[str],
        subject: Json,
        *,
        rounds: int | None = None,
        accept: str | None = None,
        **options: Unpack[Common],
    ) -> Step:
        """A decision by several parties that may counter."""
        step = Step._of("negotiate", id, {"rounds": rounds, "accept": None if accept == "all" else accept}, options)
        step.fields["parties"] = texts(parties, "`parties`")
        step.fields["subject"] = data(subject, "`subject`", False)
        return step

    @staticmethod
    def workflow(
        id: str,
        name: str | None = None,
        *,
        plan: Value = None,
        inputs: Mapping[str, Value] | None = None,
        **options: Unpack[Unnamed],
    ) -> Step:
        """A child run of a workflow, or of a plan that an earlier step put out."""
        if (name is None) == (plan is None):
            raise TypeError("give either the workflow's name or plan=step.output(…)")
        action = {"workflow": name, "plan": data(plan, "`plan`", True), "inputs": data(inputs or {}, "`inputs`", True)}
        return Step._of("workflow", id, action, options)

    @staticmethod
    def call(
        id: str,
        url: str | Reference,
        *,
        method: str | None = None,
        headers: Mapping[str, Value] | None = None,
        body: Value = None,
        callback: bool = True,
        **options: Unpack[Common],
    ) -> Step:
        """An HTTP call, answered at once or later through a callback."""
        step = Step._of(
            "call",
            id,
            {
                "url": data(url, "`url`", True),
                "method": method,
                "headers": data(headers or {}, "`headers`", True),
                "callback": None if callback else False,
            },
            options,
        )
        if body is not None:
            step.fields["body"] = data(body, "`body`", True)
        return step

    @staticmethod
    def wait(
        id: str,
        event: Trigger | str | int | None = None,
        *,
        duration: str | int | None = None,
        **options: Unpack[Common],
    ) -> Step:
        """A pause until an event or for a duration."""
        pause = duration if event is None or isinstance(event, Trigger) else event
        action = {
            "event": event.fields if isinstance(event, Trigger) else None,
            "duration": None if pause is None else _duration(pause, "`duration`"),
        }
        return Step._of("wait", id, action, options)

    @staticmethod
    def plugin(id: str, kind: str, **config: Value) -> Step:
        """A step kind that a plugin provides."""
        options = {name: config.pop(name) for name in _COMMON & set(config)}
        values = {key: data(value, f"`{key}`", True) for key, value in config.items()}
        return Step._of("plugin", id, {"plugin": kind, "config": values}, options)

    def output(self, path: str | None = None) -> Reference:
        """An expression for the output or a part of it."""
        return ref(self.id, path)

    @property
    def id(self) -> str:
        """The id."""
        return str(self.fields["id"])

    @property
    def name(self) -> str | None:
        """What is shown instead of the id, as it is written."""
        name = self.fields.get("name")
        if isinstance(name, Mapping):
            expression = name.get("$expr")
            return str(name["$template"]) if expression is None else f"${{{expression}}}"
        return name

    @property
    def kind(self) -> str:
        """``bash``, ``python``, …"""
        return str(self.fields["kind"])

    @property
    def depends_on(self) -> list[str]:
        """Ids of the steps before it."""
        return list(self.fields.get("depends_on", []))

    def __repr__(self) -> str:
        return f'Step.{self.kind}("{self.id}")'


class Hooks(Setting):
    """Steps around a run."""

    __slots__ = ()

    def __init__(
        self,
        *,
        on_start: Sequence[Step] = (),
        on_success: Sequence[Step] = (),
        on_failure: Sequence[Step] = (),
        on_complete: Sequence[Step] = (),
    ) -> None:
        super().__init__()
        lists = {"on_start": on_start, "on_success": on_success, "on_failure": on_failure, "on_complete": on_complete}
        for name, steps in lists.items():
            put(self.fields, name, _steps(steps))


class Plan(Setting):
    """An immutable graph of steps with triggers."""

    __slots__ = ()

    def __init__(
        self,
        name: str,
        triggers: Sequence[Trigger] = (),
        steps: Sequence[Step] = (),
        *,
        description: str | None = None,
        goal: str | None = None,
        inputs: Mapping[str, Input] | None = None,
        context: Sequence[Key] = (),
        env: Mapping[str, Value] | None = None,
        secrets: Mapping[str, str] | None = None,
        runner: str | None = None,
        image: str | None = None,
        timeout: str | int | None = None,
        max_parallel: int | None = None,
        on_failure: Literal["stop", "continue"] = "stop",
        concurrency: Concurrency | None = None,
        checkout: Checkout | None = None,
        hooks: Hooks | None = None,
        budget: Budget | None = None,
        outputs: Mapping[str, Value] | None = None,
        tags: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.fields = {"version": 1, "name": text(name, "`name` of Plan"), "steps": _steps(steps)}
        fields: dict[str, Any] = {
            "description": description,
            "goal": goal,
            "inputs": _inputs(inputs),
            "context": _keys(context),
            "env": data(env or {}, "`env` of Plan", True),
            "secrets": {name: text(source, "`secrets` of Plan") for name, source in (secrets or {}).items()},
            "runner": runner,
            "image": image,
            "max_parallel": max_parallel,
            "on_failure": None if on_failure == "stop" else on_failure,
            "concurrency": None if concurrency is None else concurrency.fields,
            "checkout": None if checkout is None else checkout.fields,
            "hooks": None if hooks is None else hooks.fields,
            "budget": None if budget is None else budget.fields,
            "outputs": data(outputs or {}, "`outputs` of Plan", True),
            "tags": texts(tags, "`tags` of Plan"),
            "triggers": [trigger.fields for trigger in triggers],
        }
        for key, value in fields.items():
            put(self.fields, key, value)
        put(self.fields, "timeout", duration_unless(timeout, "`timeout` of Plan", "1h"))

    @property
    def name(self) -> str:
        """The name."""
        return str(self.fields["name"])

    def to_json(self) -> str:
        """The canonical IR, as ``plue plan --output json`` prints it."""
        return canonical(self.fields)

    def hash(self) -> str:
        """``sha256:…`` of the canonical IR."""
        return plan_hash(self.to_json())

    def __repr__(self) -> str:
        return f'Plan("{self.name}")'


_duration = duration
_UNNAMED = (
    "depends_on when env secrets timeout retry on_failure on_success runner image resources cwd outputs artifacts cache"
    " checkout services pure interactive required writes"
)
_COMMON = frozenset([*_UNNAMED.split(), "name"])


def _one_or_many(one: str | None, many: Sequence[str]) -> list[str]:
    return list(many) if one is None else [text(one, "a pattern")]


def _inputs(inputs: Mapping[str, Input] | None) -> dict[str, Any]:
    return {name: value.fields for name, value in (inputs or {}).items()}


def _keys(keys: Sequence[Key]) -> dict[str, Any]:
    if not isinstance(keys, (list, tuple)) or not all(isinstance(key, Key) for key in keys):
        raise TypeError("`context` of Plan is a list of Keys")
    by_name = {key.name: key.fields for key in keys}
    if len(by_name) != len(keys):
        raise ValueError("`context` of Plan has two keys of one name")
    return by_name


def _steps(steps: Sequence[Step]) -> list[dict[str, Any]]:
    if not isinstance(steps, (list, tuple)) or not all(isinstance(step, Step) for step in steps):
        raise TypeError("steps are a list of Steps")
    return [step.fields for step in steps]


def _expression(value: str | Reference | None) -> str | None:
    return value.source if isinstance(value, Reference) else value


def _options(fields: dict[str, Any], what: str, options: Mapping[str, Any]) -> None:
    unknown = sorted(set(options) - _COMMON)
    if unknown:
        raise TypeError(f"{what} has no argument `{unknown[0]}`")
    given = {name: value for name, value in options.items() if value is not None}
    before = [step if isinstance(step, str) else step.id for step in given.pop("depends_on", [])]
    put(fields, "depends_on", sorted(before, key=lambda id: id.encode()))
    put(fields, "when", _expression(given.pop("when", None)))
    secrets = [name.source if isinstance(name, Reference) else name for name in given.pop("secrets", [])]
    put(fields, "secrets", secrets)
    if "timeout" in given:
        fields["timeout"] = duration(given.pop("timeout"), f"`timeout` of {what}")
    for name in ("retry", "on_success", "cache"):
        if name in given:
            fields[name] = given.pop(name).fields
    if "checkout" in given:
        put(fields, "checkout", given.pop("checkout").fields)
    key = given.pop("writes", None)
    put(fields, "writes", key.name if isinstance(key, Key) else key)
    failure = given.pop("on_failure", "fail")
    put(fields, "on_failure", failure.fields if isinstance(failure, Goto) else failure, "fail")
    put(fields, "services", [service.fields for service in given.pop("services", [])])
    put(fields, "env", data(given.pop("env", {}), f"`env` of {what}", True))
    for name in ("resources", "outputs"):
        if name in given:
            value = data(given.pop(name), f"`{name}` of {what}", False)
            fields.update({name: value} if name == "outputs" or value else {})
    for name in ("pure", "interactive", "required"):
        put(fields, name, given.pop(name, False), False)
    artifacts = given.pop("artifacts", [])
    if isinstance(artifacts, Artifacts):
        # Rules that are all the default are not written: the list alone is the same.
        has_rules = len(artifacts.fields) > 1
        artifacts = artifacts.fields if has_rules else artifacts.fields["paths"]
    else:
        artifacts = texts(artifacts, f"`artifacts` of {what}")
    put(fields, "artifacts", artifacts)
    put(fields, "name", _name(given.pop("name", None), what))
    for name, value in given.items():
        put(fields, name, text(value, name))


def _name(value: str | Reference | None, what: str) -> Any:
    if isinstance(value, Reference) and "$secret" in value.value:
        raise TypeError(f"`name` of {what} is shown to everyone and cannot be a secret")
    if value is None or isinstance(value, (str, Reference)):
        return data(value, f"`name` of {what}", True)
    return text(value, f"`name` of {what}")
