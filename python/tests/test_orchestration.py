"""The seven suites of the orchestration layer, on the real engine.

``python3 python/tests/test_orchestration.py``, with ``plue`` on the PATH or in ``PLUE_PROGRAM``.
"""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any, Callable

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from plue.orchestration import (
    Orchestrator,
    WorkerDefinition,
    WorkerFailed,
    WorkerType,
    WorkflowContext,
    WorkflowDefinition,
    WorkflowState,
    WorkflowStep,
    create_build_website_workflow,
    create_generic_pipeline,
)

PM, CODER, REVIEWER = WorkerType.PRODUCT_MANAGER, WorkerType.CODER, WorkerType.REVIEWER
Executor = Callable[[Any, WorkflowContext], Any]


def echo(name: str) -> Executor:
    """A worker that says its name and what it was given."""
    return lambda given, context: f"{name}({given})"


class Suite(unittest.TestCase):
    """An engine with a state directory of its own."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="plue-tests-")
        self.addCleanup(folder.cleanup)
        self.hub = Orchestrator(program=os.environ.get("PLUE_PROGRAM", "plue"), state_dir=folder.name)

    def worker(self, kind: WorkerType, executor: Executor, **options: Any) -> None:
        self.hub.register_worker(WorkerDefinition(kind, kind.name.title(), "works", executor, **options))

    def run_of(self, workflow: WorkflowDefinition, goal: str = "goal") -> WorkflowContext:
        self.hub.register_workflow(workflow)
        return self.hub.execute_workflow(workflow.name, goal)

    def steps(self, context: WorkflowContext) -> list[tuple[str, int, int, bool]]:
        return [(one["step"], one["visit"], one["attempt"], one["success"]) for one in context.history]


def flow(name: str, *steps: WorkflowStep, max_visits: int = 3) -> WorkflowDefinition:
    """A workflow of these steps, the first of which comes first."""
    workflow = WorkflowDefinition(name, max_visits=max_visits)
    for at, step in enumerate(steps):
        workflow.add_step(step, is_initial=at == 0)
    return workflow


class WorkflowDefinitionAndValidation(Suite):
    """Suite 1."""

    def test_add_step_keeps_ids_apart_and_one_first_step(self) -> None:
        workflow = flow("w", WorkflowStep("a", CODER))
        self.assertEqual(workflow.initial_step, "a")
        with self.assertRaisesRegex(ValueError, "two steps `a`"):
            workflow.add_step(WorkflowStep("a", CODER))
        with self.assertRaisesRegex(ValueError, "both the first step"):
            workflow.add_step(WorkflowStep("b", CODER), is_initial=True)

    def test_validate_says_yes_without_an_error_or_no_with_one(self) -> None:
        cases: list[tuple[WorkflowDefinition, str]] = [
            (WorkflowDefinition("w"), "has no steps"),
            (flow("w", WorkflowStep("a", CODER, on_success="b")), "`on_success` of step `a` leads to `b`"),
            (flow("w", WorkflowStep("a", CODER, on_failure="b")), "`on_failure` of step `a` leads to `b`"),
            (flow("w", WorkflowStep("a", CODER), WorkflowStep("b", CODER)), "no way leads to step `b`"),
            (flow("w", WorkflowStep("a", CODER, on_success="a", is_terminal=True)), "is terminal"),
            (flow("w", WorkflowStep("a", CODER, max_retries=-1)), "negative"),
            (flow("w", WorkflowStep("a", CODER), max_visits=0), "at least 1"),
        ]
        unrooted = WorkflowDefinition("w")
        unrooted.add_step(WorkflowStep("a", CODER))
        astray = flow(
            "w",
            WorkflowStep("a", CODER, on_success="b", on_failure="c"),
            WorkflowStep("b", CODER, on_failure="c"),
            WorkflowStep("c", CODER, on_success="b"),
        )
        crossed = flow(
            "w",
            WorkflowStep("a", CODER, on_success="b", on_failure="c"),
            WorkflowStep("b", CODER, on_success="c", on_failure="d"),
            WorkflowStep("c", CODER, on_failure="a"),
            WorkflowStep("d", CODER, on_failure="b"),
        )
        cases.append((crossed, "each left into the other"))
        cases += [(unrooted, "is_initial=True"), (astray, "`b` leads back to `c`")]
        for workflow, expected in cases:
            ok, error = workflow.validate()
            self.assertFalse(ok)
            self.assertIn(expected, str(error))
        self.assertEqual(flow("w", WorkflowStep("a", CODER, on_success="completed")).validate(), (True, None))

    def test_an_invalid_workflow_is_refused_when_it_is_registered(self) -> None:
        with self.assertRaisesRegex(ValueError, "no first step|no steps"):
            self.hub.register_workflow(WorkflowDefinition("w"))
        # What only the engine knows: the shape of an id.
        with self.assertRaisesRegex(ValueError, "PLUE-"):
            self.hub.register_workflow(flow("w", WorkflowStep("not an id", CODER)))
        self.assertEqual(self.hub.workflows, {})

    def test_the_same_definition_is_the_same_plan(self) -> None:
        self.assertEqual(create_build_website_workflow().plan().hash(), create_build_website_workflow().plan().hash())

    def test_the_two_ends_may_be_steps_and_are_none_in_the_plan(self) -> None:
        workflow = flow(
            "w",
            WorkflowStep("a", CODER, on_success="completed", on_failure="failed"),
            WorkflowStep("completed", WorkerType.GENERIC, is_terminal=True),
            WorkflowStep("failed", WorkerType.GENERIC, is_terminal=True),
        )
        self.assertEqual([step["id"] for step in workflow.plan().fields["steps"]], ["a"])
        self.assertEqual(workflow.workers(), [CODER])


class ContextAndHistoryTracking(Suite):
    """Suite 2."""

    def test_the_six_fields(self) -> None:
        context = WorkflowContext("id", "goal")
        self.assertEqual(
            (context.workflow_id, context.goal, context.state, context.current_step, context.data, context.history),
            ("id", "goal", WorkflowState.PENDING, "", {}, []),
        )
        self.assertIsNone(context.get_last_output(CODER))

    def test_the_last_output_is_found_by_type_name_and_step(self) -> None:
        seen = []

        def review(given: Any, context: WorkflowContext) -> str:
            seen.extend([context.get_last_output(one) for one in (CODER, "coder", "Coder", "code", "nobody")])
            return "fine"

        self.worker(CODER, lambda given, context: {"files": ["a"], "n": 1.5})
        self.worker(REVIEWER, review)
        code = WorkflowStep("code", CODER, on_success="review")
        context = self.run_of(flow("w", code, WorkflowStep("review", REVIEWER)))
        self.assertEqual(seen, [{"files": ["a"], "n": 1.5}] * 4 + [None])
        self.assertEqual(context.data, {"code": {"files": ["a"], "n": 1.5}, "review": "fine"})
        self.assertEqual((context.current_step, context.state), ("review", WorkflowState.COMPLETED))

    def test_the_history_is_that_of_the_engine(self) -> None:
        self.worker(CODER, echo("c"))
        context = self.run_of(create_generic_pipeline([("one", CODER, "x"), ("two", CODER, "y")]))
        engine = self.hub._engine
        told = engine.call(["status", context.workflow_id, "--output", "json"], os.getcwd())
        steps = json.loads(told.stdout)["steps"]
        self.assertEqual(
            [(one["step"], one["output"]["output"]) for one in steps],
            [(one["step"], one["output"]) for one in context.history],
        )


class WorkerRegistration(Suite):
    """Suite 3."""

    def test_the_six_types_are_roles(self) -> None:
        expected = ["product_manager", "coder", "reviewer", "tester", "deployer", "generic"]
        self.assertEqual([kind.value for kind in WorkerType], expected)

    def test_a_later_worker_of_a_type_replaces_the_earlier(self) -> None:
        self.worker(CODER, echo("old"))
        self.worker(CODER, echo("new"))
        self.assertEqual(self.run_of(flow("w", WorkflowStep("a", CODER))).data["a"], "new(goal)")

    def test_an_executor_is_a_function_and_none_may_be_missing(self) -> None:
        with self.assertRaises(TypeError):
            self.worker(CODER, "no function")  # type: ignore[arg-type]
        self.hub.register_workflow(create_build_website_workflow())
        with self.assertRaisesRegex(ValueError, "PRODUCT_MANAGER, CODER, REVIEWER"):
            self.hub.execute_workflow("build_website", "goal")
        with self.assertRaisesRegex(KeyError, "build_website"):
            self.hub.execute_workflow("build_wbsite", "goal")

    def test_transformers_stand_between_the_hub_and_a_worker(self) -> None:
        def shout(output: Any, context: WorkflowContext) -> dict[str, Any]:
            return {"result": output.upper(), "of": context.goal}

        def last(context: WorkflowContext) -> str:
            return f"<{context.get_last_output('product_manager')['result']}>"

        # Each by itself first.
        context = WorkflowContext("id", "g")
        self.assertEqual(shout("x", context), {"result": "X", "of": "g"})
        context.history.append(
            {"step": "s", "worker": "w", "worker_type": PM.value, "success": True, "output": {"result": "Y"}}
        )
        self.assertEqual(last(context), "<Y>")
        self.worker(PM, lambda given, context: "specs", output_transformer=shout)
        self.worker(CODER, echo("c"), input_transformer=last)
        done = self.run_of(create_generic_pipeline([("a", PM, ""), ("b", CODER, "")]))
        self.assertEqual(done.data, {"a": {"result": "SPECS", "of": "goal"}, "b": "c(<SPECS>)"})


class SimpleWorkflowExecution(Suite):
    """Suite 4."""

    def test_one_step_is_given_the_goal(self) -> None:
        self.worker(CODER, echo("coder"))
        context = self.run_of(flow("w", WorkflowStep("a", CODER)), '$(touch pwned) `x` "ü"')
        self.assertEqual(context.state, WorkflowState.COMPLETED)
        self.assertEqual(context.data["a"], 'coder($(touch pwned) `x` "ü")')
        self.assertEqual(context.history[0]["input"], '$(touch pwned) `x` "ü"')
        self.assertTrue(context.workflow_id)

    def test_an_output_that_is_no_json_fails_its_step(self) -> None:
        self.worker(CODER, lambda given, context: {1, 2})
        context = self.run_of(flow("w", WorkflowStep("a", CODER)))
        self.assertEqual(context.state, WorkflowState.FAILED)
        self.assertIn("set", context.history[0]["error"])


class MultiStepWorkflows(Suite):
    """Suite 5."""

    def test_outputs_go_from_worker_to_worker_through_the_hub(self) -> None:
        for kind, name in [(PM, "pm"), (CODER, "coder"), (REVIEWER, "reviewer")]:
            self.worker(kind, echo(name))
        context = self.run_of(create_build_website_workflow(), "site")
        self.assertEqual(context.data["review_code"], "reviewer(coder(pm(site)))")
        self.assertEqual([step for step, *_ in self.steps(context)], ["create_specs", "implement_code", "review_code"])

    def test_success_and_failure_lead_different_ways_and_meet_again(self) -> None:
        def maybe(given: Any, context: WorkflowContext) -> str:
            if context.goal == "bad":
                raise WorkerFailed("no")
            return "ok"

        workflow = flow(
            "w",
            WorkflowStep("try", CODER, on_success="good", on_failure="repair"),
            WorkflowStep("good", PM, on_success="tell"),
            WorkflowStep("repair", PM, on_success="tell"),
            WorkflowStep("tell", REVIEWER),
        )
        self.worker(CODER, maybe)
        self.worker(PM, echo("pm"))
        self.worker(REVIEWER, echo("r"))
        good = self.run_of(workflow, "good")
        self.assertEqual([step for step, *_ in self.steps(good)], ["try", "good", "tell"])
        bad = self.hub.execute_workflow("w", "bad")
        self.assertEqual([step for step, *_ in self.steps(bad)], ["try", "repair", "tell"])
        self.assertEqual((good.state, bad.state), (WorkflowState.COMPLETED, WorkflowState.COMPLETED))

    def test_a_way_out_of_a_loop_is_taken_in_the_visit_that_needs_it(self) -> None:
        visits = []

        def first(given: Any, context: WorkflowContext) -> str:
            visits.append("x")
            if len(visits) == 2:
                raise WorkerFailed("only the first time")
            return "ok"

        workflow = flow(
            "w",
            WorkflowStep("work", CODER, on_success="check", on_failure="give_up"),
            WorkflowStep("check", REVIEWER, on_success="completed", on_failure="work"),
            WorkflowStep("give_up", PM, on_success="failed"),
        )
        self.worker(CODER, first)
        self.worker(PM, echo("pm"))

        def reject(given: Any, context: WorkflowContext) -> None:
            raise WorkerFailed("again")

        self.worker(REVIEWER, reject)
        context = self.run_of(workflow)
        expected = [("work", 1, 1, True), ("check", 1, 1, False), ("work", 2, 1, False), ("give_up", 1, 1, True)]
        self.assertEqual(self.steps(context), expected)
        self.assertEqual(context.state, WorkflowState.FAILED)

    def test_the_same_workers_give_the_same_flow(self) -> None:
        def once(given: Any, context: WorkflowContext) -> str:
            if len(context.history) < 4:
                raise WorkerFailed("more")
            return "ok"

        self.worker(PM, echo("pm"))
        self.worker(CODER, echo("c"))
        self.worker(REVIEWER, once)
        self.hub.register_workflow(create_build_website_workflow())
        one, two = (self.hub.execute_workflow("build_website", "g") for _ in range(2))
        self.assertEqual(one.history, two.history)
        self.assertNotEqual(one.workflow_id, two.workflow_id)


class RandomMachines(Suite):
    """Beside the seven: the plan of a machine takes the way that the machine itself takes."""

    MACHINES = 14

    def machine(self, lot: random.Random) -> WorkflowDefinition:
        """Any machine without a way back after a success, which would never end."""
        names = [f"s{n}" for n in range(lot.randint(2, 6))]
        workflow = WorkflowDefinition("random", max_visits=50)
        for at, name in enumerate(names):
            ends = [None, "completed", "failed"]
            workflow.add_step(
                WorkflowStep(
                    name,
                    CODER,
                    on_success=lot.choice(names[at + 1 :] * 3 + ends),
                    on_failure=lot.choice(names * 2 + ends),
                    max_retries=lot.choice([0, 0, 1]),
                ),
                is_initial=at == 0,
            )
        return workflow

    def naive(self, workflow: WorkflowDefinition, fails: dict[str, list[bool]]) -> tuple[list[tuple[str, bool]], bool]:
        """What the words of the definition say, followed by hand."""
        left = {name: list(outcomes) for name, outcomes in fails.items()}
        way = []
        at = workflow.initial_step
        while True:
            step = workflow.steps[str(at)]
            for _ in range(step.max_retries + 1):
                failed = left[step.step_id].pop(0) if left[step.step_id] else False
                way.append((step.step_id, not failed))
                if not failed:
                    break
            at = step.on_failure if failed else step.on_success
            if at is None:
                return way, not failed
            if at in ("completed", "failed"):
                return way, at == "completed"

    def test_a_run_goes_the_way_of_its_machine(self) -> None:
        lot = random.Random(3)
        tried, loops, branches = 0, 0, 0
        while tried < self.MACHINES:
            workflow = self.machine(lot)
            if not workflow.validate()[0]:
                continue
            fails = {name: [lot.random() < 0.6 for _ in range(3)] for name in workflow.steps}
            left = {name: list(outcomes) for name, outcomes in fails.items()}
            expected, good = self.naive(workflow, fails)
            if len(expected) < 3:
                continue

            def work(given: Any, context: WorkflowContext, left: dict[str, list[bool]] = left) -> str:
                if left[context.current_step] and left[context.current_step].pop(0):
                    raise WorkerFailed("as it is written")
                return "ok"

            self.worker(CODER, work)
            context = self.run_of(workflow)
            told = f"{tried}: {[vars(step) for step in workflow.steps.values()]} {fails}"
            self.assertEqual([(one["step"], one["success"]) for one in context.history], expected, told)
            self.assertEqual(context.state is WorkflowState.COMPLETED, good, told)
            tried += 1
            loops += any(one["visit"] > 1 for one in context.history)
            branches += any("when" in step for step in workflow.plan().fields["steps"])
        self.assertGreater(min(loops, branches), 3, "the machines are too simple")


class FailureHandlingAndRetries(Suite):
    """Suite 6."""

    def test_a_failed_worker_is_tried_again_as_often_as_its_step_says(self) -> None:
        def third(given: Any, context: WorkflowContext) -> str:
            if len(context.history) < 2:
                raise WorkerFailed("not yet")
            return "ok"

        self.worker(CODER, third)
        context = self.run_of(flow("w", WorkflowStep("a", CODER, max_retries=2)))
        self.assertEqual(self.steps(context), [("a", 1, 1, False), ("a", 1, 2, False), ("a", 1, 3, True)])
        self.assertEqual(context.state, WorkflowState.COMPLETED)
        self.assertEqual(context.history[0]["error"], "WorkerFailed: not yet")

    def test_a_failure_without_a_way_ends_the_workflow_and_starts_nothing_behind_it(self) -> None:
        def fails(given: Any, context: WorkflowContext) -> None:
            raise RuntimeError("broken")

        self.worker(CODER, fails)
        self.worker(REVIEWER, echo("r"))
        context = self.run_of(
            flow("w", WorkflowStep("a", CODER, on_success="b", max_retries=1), WorkflowStep("b", REVIEWER))
        )
        self.assertEqual(self.steps(context), [("a", 1, 1, False), ("a", 1, 2, False)])
        self.assertEqual(context.state, WorkflowState.FAILED)

    def test_a_failure_may_be_the_good_end(self) -> None:
        def fails(given: Any, context: WorkflowContext) -> None:
            raise WorkerFailed("nothing to do")

        self.worker(CODER, fails)
        workflow = flow("w", WorkflowStep("a", CODER, on_success="b", on_failure="completed"), WorkflowStep("b", CODER))
        context = self.run_of(workflow)
        self.assertEqual((context.state, len(context.history)), (WorkflowState.COMPLETED, 1))

    def test_a_review_that_never_passes_ends_exhausted(self) -> None:
        def reject(given: Any, context: WorkflowContext) -> None:
            raise WorkerFailed("rejected")

        self.worker(PM, echo("pm"))
        self.worker(CODER, echo("c"))
        self.worker(REVIEWER, reject)
        context = self.run_of(create_build_website_workflow())
        self.assertEqual(context.state, WorkflowState.FAILED)
        self.assertIn("loop_exhausted", context.data["reason"])
        self.assertEqual([visit for step, visit, *_ in self.steps(context) if step == "implement_code"], [1, 2, 3])


class PreBuiltWorkflowTemplates(Suite):
    """Suite 7."""

    def test_build_website_is_the_machine_of_the_source(self) -> None:
        workflow = create_build_website_workflow()
        self.assertEqual(workflow.validate(), (True, None))
        ways = {
            name: (step.worker_type, step.on_success, step.on_failure, step.max_retries)
            for name, step in workflow.steps.items()
        }
        self.assertEqual(
            ways,
            {
                "create_specs": (PM, "implement_code", None, 0),
                "implement_code": (CODER, "review_code", "failed", 1),
                "review_code": (REVIEWER, "completed", "implement_code", 0),
            },
        )
        review = workflow.plan().fields["steps"][2]
        self.assertEqual(review["on_failure"], {"goto": "implement_code", "max_visits": 3})

    def test_a_rejected_website_goes_back_to_the_coder_until_it_is_accepted(self) -> None:
        def twice(given: Any, context: WorkflowContext) -> str:
            if given == "c2":
                return "accepted"
            raise WorkerFailed("rejected")

        coded: list[str] = []

        def code(given: Any, context: WorkflowContext) -> str:
            coded.append(given)
            return f"c{len(coded) - 1}"

        self.worker(PM, echo("pm"))
        self.worker(CODER, code)
        self.worker(REVIEWER, twice)
        context = self.run_of(create_build_website_workflow())
        self.assertEqual(context.state, WorkflowState.COMPLETED)
        self.assertEqual([visit for step, visit, *_ in self.steps(context) if step == "review_code"], [1, 2, 3])

    def test_a_generic_pipeline_is_linear_and_the_template_of_the_same_name(self) -> None:
        pipeline = create_generic_pipeline(
            [
                ("analyze", PM, "Analyze requirements"),
                ("design", CODER, "Design solution"),
                ("implement", CODER, "Implement code"),
            ],
            name="pipeline",
        )
        self.assertEqual(pipeline.validate(), (True, None))
        with tempfile.TemporaryDirectory() as folder:
            engine = self.hub._engine
            self.assertEqual(engine.call(["template", "new", "pipeline"], folder).returncode, 0)
            plan = engine.call(["plan", "pipeline.plue.py", "--output", "json"], folder)
        self.assertEqual(pipeline.plan().to_json(), plan.stdout)


if __name__ == "__main__":
    unittest.main()
