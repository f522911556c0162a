"""Workers that may surprise, led by a flow that may not: ``Orchestrator`` and the words around it.

A ``WorkflowDefinition`` is a small state machine of workers. ``plan()`` is its plan with a Claude step for each worker.
``Orchestrator`` runs the same machine on the engine with functions of this program as workers: the engine decides what
comes next, keeps the history and survives; the functions only work. Must not route by itself, and must not let one
worker reach another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from plue._hub import Call, Engine, WorkerFailed
from plue._machine import END, Machine
from plue._references import Reference, ref
from plue._service import OrchestrationService, Pipeline
from plue._settings import Goto, Input, Prompt, Retry
from plue._words import Plan, Step, Trigger

__all__ = [
    "OrchestrationService",
    "Orchestrator",
    "Pipeline",
    "WorkerDefinition",
    "WorkerFailed",
    "WorkerType",
    "WorkflowContext",
    "WorkflowDefinition",
    "WorkflowState",
    "WorkflowStep",
    "create_build_website_workflow",
    "create_generic_pipeline",
]

MAX_VISITS = 3
"""Most visits of a step, unless the workflow sets another number."""


class WorkerType(Enum):
    """What a worker is for; the value is the name of the role in a plan."""

    PRODUCT_MANAGER = "product_manager"
    CODER = "coder"
    REVIEWER = "reviewer"
    TESTER = "tester"
    DEPLOYER = "deployer"
    GENERIC = "generic"


class WorkflowState(Enum):
    """Where a workflow is."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass
class WorkflowContext:
    """The data bus: all that workers know of each other. The engine's run is behind it."""

    workflow_id: str
    goal: str
    state: WorkflowState = WorkflowState.PENDING
    current_step: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    """The last output of each step, by its id; after the end also ``reason``, if there is one."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """Every attempt in order: ``step``, ``worker_type``, ``worker``, ``visit``, ``attempt``, ``input``, ``success``,
    ``output``, ``error``."""

    def get_last_output(self, worker: str | WorkerType) -> Any:
        """The newest output of a worker, named by type, name or step; ``None`` if there is none."""
        if isinstance(worker, WorkerType):
            worker = worker.value
        for entry in reversed(self.history):
            if entry["success"] and worker in (entry["worker_type"], entry["worker"], entry["step"]):
                return entry["output"]
        return None


Executor = Callable[[Any, WorkflowContext], Any]
InputTransformer = Callable[[WorkflowContext], Any]
OutputTransformer = Callable[[Any, WorkflowContext], Any]


@dataclass
class WorkerDefinition:
    """A worker. ``executor(input, context)`` returns JSON, or raises: then the step has failed."""

    worker_type: WorkerType
    name: str
    description: str
    executor: Executor
    input_transformer: InputTransformer | None = None
    """Makes the worker's input. Without it: the output of the step before, and the goal for the first one."""
    output_transformer: OutputTransformer | None = None
    """Makes what is kept of the worker's output."""


@dataclass
class WorkflowStep:
    """One state. ``completed`` and ``failed`` need no step of their own."""

    step_id: str
    worker_type: WorkerType
    description: str = ""
    on_success: str | None = None
    """The next step; ``None`` or ``completed``: the workflow has come to its good end."""
    on_failure: str | None = None
    """The next step; ``None`` or ``failed``: the workflow has failed. A step before this one is a loop."""
    is_terminal: bool = False
    max_retries: int = 0


class WorkflowDefinition:
    """A state machine of workers."""

    def __init__(self, name: str, description: str = "", goal: str = "", *, max_visits: int = MAX_VISITS) -> None:
        self.name = name
        self.description = description
        self.goal = goal
        self.max_visits = max_visits
        self.steps: dict[str, WorkflowStep] = {}
        self.initial_step: str | None = None

    def add_step(self, step: WorkflowStep, is_initial: bool = False) -> None:
        """Adds a step; an id that is there already, or a second first step, is a ``ValueError``."""
        if step.step_id in self.steps:
            raise ValueError(f"there are two steps `{step.step_id}`")
        if is_initial and self.initial_step is not None:
            raise ValueError(f"`{self.initial_step}` and `{step.step_id}` are both the first step")
        self.steps[step.step_id] = step
        if is_initial:
            self.initial_step = step.step_id

    def validate(self) -> tuple[bool, str | None]:
        """Whether the machine can run, and if not, what is wrong with it."""
        error = self._error()
        return error is None, error

    def _error(self) -> str | None:
        if not self.steps:
            return f"workflow `{self.name}` has no steps"
        if self.initial_step is None or self.initial_step in END:
            return f"workflow `{self.name}` has no first step; add one with is_initial=True"
        if self.max_visits < 1:
            return "`max_visits` is at least 1"
        for step in self.steps.values():
            for way in ("on_success", "on_failure"):
                target = getattr(step, way)
                if target is not None and step.is_terminal:
                    return f"step `{step.step_id}` is terminal and has `{way}`"
                if target is not None and target not in self.steps and target not in END:
                    return f"`{way}` of step `{step.step_id}` leads to `{target}`, which does not exist"
            if step.max_retries < 0:
                return f"`max_retries` of step `{step.step_id}` is negative"
        machine = Machine(self.initial_step, self._edges())
        for name in self.steps:
            if name not in machine.order and name not in END:
                return f"no way leads to step `{name}`"
        astray = machine.astray()
        if astray is not None:
            return f"step `{astray[0]}` leads back to `{astray[1]}`, which need not have run before it"
        crossed = machine.crossed()
        if crossed is not None:
            return f"step `{crossed}` is between loops that are each left into the other"
        return None

    def _edges(self) -> dict[str, tuple[str | None, str | None]]:
        steps = self.steps.items()
        return {name: (step.on_success, step.on_failure) for name, step in steps if name not in END}

    def workers(self) -> list[WorkerType]:
        """The types of workers that it needs, each once."""
        types = (step.worker_type for name, step in self.steps.items() if name not in END)
        return list(dict.fromkeys(types))

    def plan(self) -> Plan:
        """Its plan, with a Claude step in the role of each worker. Raises ``ValueError`` if it is invalid."""

        def agent(step: WorkflowStep, options: dict[str, Any], before: str | None) -> Step:
            task = step.description or step.step_id
            prompt = task if before is None else Prompt("task", task=task, before=ref(before))
            return Step.llm(step.step_id, prompt, role=step.worker_type.value, **options)

        return Plan(
            self.name,
            [Trigger.on_manual()],
            self._steps(agent),
            description=self.description or None,
            goal=self.goal or None,
            max_parallel=3,
        )

    def _plan_of_calls(self) -> Plan:
        """Its plan, with a step for each worker that asks this program."""

        def call(step: WorkflowStep, options: dict[str, Any], before: str | None) -> Step:
            hub = Reference("$expr", "inputs.hub")
            return Step.python(step.step_id, Call.SOURCE, env={"HUB_SOCKET": hub}, **options)

        inputs = {"hub": Input(required=True, description="the socket of the program whose functions work")}
        steps = self._steps(call)
        return Plan(self.name, steps=steps, inputs=inputs, description=self.description or None)

    def _steps(self, make: Callable[[WorkflowStep, dict[str, Any], str | None], Step]) -> list[Step]:
        error = self._error()
        if error is not None or self.initial_step is None:
            raise ValueError(error)
        machine = Machine(self.initial_step, self._edges())
        steps = []
        for name in machine.order:
            step = self.steps[name]
            before = machine.before(name)
            options: dict[str, Any] = {
                "depends_on": machine.waits_for(name, before),
                "when": machine.condition(name),
            }
            if step.max_retries:
                options["retry"] = Retry(step.max_retries + 1, delay="0s")
            for way in ("on_success", "on_failure"):
                if machine.leads_back(name, getattr(step, way)):
                    options[way] = Goto(getattr(step, way), self.max_visits)
            if machine.goes_on_after_failure(name):
                options["on_failure"] = "continue"
            steps.append(make(step, options, before[0] if len(before) == 1 else None))
        if machine.fails_after_success:
            after = machine.fails_after_success
            when = " || ".join(f"{machine.status(name)} == 'success'" for name in after)
            steps.append(Step.bash("failed", "exit 1", depends_on=machine.waits_for("failed", after), when=when))
        return steps


class Orchestrator:
    """The hub: workers and workflows of one program. All state is in the engine's store.

    ``program`` is the command ``plue``; ``state_dir`` where runs are kept, by default where ``plue`` keeps them.
    """

    def __init__(self, *, program: str = "plue", state_dir: str | Path | None = None) -> None:
        self._engine = Engine(program, state_dir)
        self.workers: dict[WorkerType, WorkerDefinition] = {}
        self.workflows: dict[str, WorkflowDefinition] = {}

    def register_worker(self, worker: WorkerDefinition) -> None:
        """Takes a worker; a later one of the same type replaces it."""
        if not callable(worker.executor):
            raise TypeError(f"the executor of `{worker.name}` is no function")
        self.workers[worker.worker_type] = worker

    def register_workflow(self, workflow: WorkflowDefinition) -> None:
        """Takes a workflow if neither the machine nor the engine finds anything wrong with it, else ``ValueError``."""
        ok, error = workflow.validate()
        if not ok:
            raise ValueError(error)
        self._engine.check(workflow._plan_of_calls())
        self.workflows[workflow.name] = workflow

    def execute_workflow(self, workflow_name: str, goal: str, verbose: bool = False) -> WorkflowContext:
        """Runs a workflow to its end on the engine. A failed workflow is no exception: see ``state``."""
        workflow = self.workflows.get(workflow_name)
        if workflow is None:
            known = ", ".join(self.workflows) or "none"
            raise KeyError(f"there is no workflow `{workflow_name}`; registered: {known}")
        missing = [worker.name for worker in workflow.workers() if worker not in self.workers]
        if missing:
            raise ValueError(f"workflow `{workflow_name}` has no worker for {', '.join(missing)}")
        context = WorkflowContext("", goal)

        def serve(call: Call) -> Any:
            context.workflow_id = call.run
            return self._work(workflow.steps[call.step], call, context, verbose)

        context.state = WorkflowState.RUNNING
        status = self._engine.run(workflow._plan_of_calls(), goal, serve)
        _finish(context, status)
        if verbose:
            print(f"workflow {workflow_name}: {context.state.value}")
        return context

    def _work(self, step: WorkflowStep, call: Call, context: WorkflowContext, verbose: bool) -> Any:
        worker = self.workers[step.worker_type]
        context.current_step = step.step_id
        entry: dict[str, Any] = {
            "step": step.step_id,
            "worker_type": worker.worker_type.value,
            "worker": worker.name,
            "visit": call.visit,
            "attempt": call.attempt,
            "input": None,
            "success": False,
            "output": None,
            "error": None,
        }
        try:
            given = worker.input_transformer(context) if worker.input_transformer else _default_input(context)
            entry["input"] = given
            output = worker.executor(given, context)
            entry["output"] = worker.output_transformer(output, context) if worker.output_transformer else output
            call.check(entry["output"])
            entry["success"] = True
            context.data[step.step_id] = entry["output"]
        except Exception as error:
            entry["output"], entry["error"] = None, f"{type(error).__name__}: {error}"
            raise
        finally:
            context.history.append(entry)
            if verbose:
                print(f"{step.step_id} ({worker.name}): {'ok' if entry['success'] else entry['error']}")
        return entry["output"]


def _default_input(context: WorkflowContext) -> Any:
    outputs = [entry["output"] for entry in context.history if entry["success"]]
    return outputs[-1] if outputs else context.goal


def _finish(context: WorkflowContext, status: Mapping[str, Any]) -> None:
    """The end that the engine reports counts."""
    run = status["run"]
    context.workflow_id = run["id"]
    ends = {"success": WorkflowState.COMPLETED, "cancelled": WorkflowState.CANCELLED}
    context.state = ends.get(run["status"], WorkflowState.FAILED)
    reasons = [step["reason"] for step in status["steps"] if step["status"] == "failed" and step["reason"]]
    reason = next(iter(reasons), run["reason"])
    if reason and context.state is not WorkflowState.COMPLETED:
        context.data["reason"] = reason


def create_build_website_workflow() -> WorkflowDefinition:
    """Product manager, coder, reviewer; a rejected review goes back to the coder, three times at most."""
    workflow = WorkflowDefinition(
        name="build_website", description="Build a website from requirements", goal="Create a functional website"
    )
    workflow.add_step(
        WorkflowStep("create_specs", WorkerType.PRODUCT_MANAGER, "Create the specification", "implement_code"),
        is_initial=True,
    )
    workflow.add_step(
        WorkflowStep(
            "implement_code",
            WorkerType.CODER,
            "Implement the website",
            on_success="review_code",
            on_failure="failed",
            max_retries=1,
        )
    )
    workflow.add_step(
        WorkflowStep(
            "review_code",
            WorkerType.REVIEWER,
            "Review the website",
            on_success="completed",
            on_failure="implement_code",
        )
    )
    return workflow


def create_generic_pipeline(
    steps: Sequence[tuple[str, WorkerType, str]], name: str = "generic_pipeline", description: str = ""
) -> WorkflowDefinition:
    """One worker after the other: ``(id, type, description)`` each."""
    workflow = WorkflowDefinition(name, description)
    following = [step[0] for step in steps[1:]] + ["completed"]
    for at, (step_id, worker_type, text) in enumerate(steps):
        workflow.add_step(WorkflowStep(step_id, worker_type, text, following[at]), is_initial=at == 0)
    return workflow
