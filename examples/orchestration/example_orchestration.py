"""A website from three workers: the flow is fixed, the workers are not.

The workers here are scripts in place of models. The reviewer rejects the first draft, so that the flow goes back to the
coder once.
"""

from typing import Any

from plue.orchestration import (
    Orchestrator,
    WorkerDefinition,
    WorkerFailed,
    WorkerType,
    WorkflowContext,
    create_build_website_workflow,
)


def product_manager(goal: Any, context: WorkflowContext) -> dict[str, Any]:
    """Specifies; its input is the goal."""
    return {"title": goal, "pages": ["home", "work", "contact"]}


def coder(pages: Any, context: WorkflowContext) -> list[str]:
    """Writes the pages; the first draft forgets the last one."""
    visits = sum(entry["step"] == "implement_code" for entry in context.history)
    return [f"<h1>{page}</h1>" for page in (pages if visits else pages[:-1])]


def reviewer(given: Any, context: WorkflowContext) -> str:
    """Accepts as many pages as were asked for."""
    asked, made = given
    if asked != made:
        raise WorkerFailed(f"{made} of {asked} pages")
    return "accepted"


def pages(context: WorkflowContext) -> Any:
    """Input of the coder: of the specification, the pages."""
    return context.get_last_output(WorkerType.PRODUCT_MANAGER)["pages"]


def counts(context: WorkflowContext) -> list[int]:
    """Input of the reviewer: how many pages were asked for, and how many there are."""
    return [len(pages(context)), len(context.get_last_output(WorkerType.CODER))]


def main() -> None:
    """Registers, runs, tells."""
    hub = Orchestrator()
    hub.register_worker(WorkerDefinition(WorkerType.PRODUCT_MANAGER, "Ada", "specifies", product_manager))
    hub.register_worker(WorkerDefinition(WorkerType.CODER, "Grace", "writes pages", coder, input_transformer=pages))
    hub.register_worker(WorkerDefinition(WorkerType.REVIEWER, "Edsger", "counts", reviewer, input_transformer=counts))
    hub.register_workflow(create_build_website_workflow())
    result = hub.execute_workflow("build_website", goal="A portfolio website", verbose=True)
    print(f"{len(result.history)} attempts; the site has {len(result.data['implement_code'])} pages")


if __name__ == "__main__":
    main()
