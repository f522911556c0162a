//! The seven suites of the orchestration layer under their names, on the real engine; and
//! its example, as its source writes it.
//!
//! The suites themselves are in `python/tests/test_orchestration.py`.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    scripted::Scripted,
    support::{Bench, CliOutput},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// `python3` in the repository of a bench, with the package and with `plue` on its path.
fn python(bench: &Bench, args: &[&str]) -> CliOutput {
    CliOutput::of(command(bench, args).output().unwrap())
}

fn command(bench: &Bench, args: &[&str]) -> Command {
    let plue = Path::new(env!("CARGO_BIN_EXE_plue")).parent().unwrap();
    let mut command = Command::new("python3");
    let settings = bench.command(&[]);
    for (name, value) in settings.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let path = format!("{}:{}", plue.display(), env!("PATH"));
    command.args(args).current_dir(bench.repo()).env("PATH", path);
    command.env("PYTHONPATH", root().join("python")).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// One suite: it ran as many tests as it has, and all passed.
fn suite(name: &str, tests: usize) {
    let bench = Bench::new();
    let file = root().join("python/tests/test_orchestration.py");
    let output = python(&bench, &[file.to_str().unwrap(), name]).ends(0);
    let word = if tests == 1 { "test" } else { "tests" };
    output.reports(&[&format!("Ran {tests} {word} in"), "\nOK"]);
}

#[test]
fn row_3_18_and_3_08_workflow_definition_and_validation() {
    suite("WorkflowDefinitionAndValidation", 5);
}

#[test]
fn row_3_18_and_3_10_context_and_history_tracking() {
    suite("ContextAndHistoryTracking", 3);
}

#[test]
fn row_3_18_and_3_06_worker_registration() {
    suite("WorkerRegistration", 4);
}

#[test]
fn row_3_18_simple_workflow_execution() {
    suite("SimpleWorkflowExecution", 2);
}

#[test]
fn row_3_18_multi_step_workflows() {
    suite("MultiStepWorkflows", 4);
}

#[test]
fn row_3_18_failure_handling_and_retries() {
    suite("FailureHandlingAndRetries", 4);
}

#[test]
fn row_3_18_and_3_12_pre_built_workflow_templates() {
    suite("PreBuiltWorkflowTemplates", 3);
}

/// Machines drawn by lot, against an interpreter that knows no plans.
#[test]
fn row_3_01_runs_follow_their_state_machine() {
    suite("RandomMachines", 1);
}

/// "Basic Usage" of the source: its lines, and the functions that they name.
#[test]
fn row_3_05_the_basic_usage_of_the_source_runs() {
    let seed = r#"
from orchestrator import (
    Orchestrator,
    WorkerDefinition,
    WorkerType,
    create_build_website_workflow
)

def product_manager_function(input_data, context):
    return "specs of " + input_data

# 1. Create orchestrator (The Hub)
orchestrator = Orchestrator()

# 2. Register workers (Probabilistic AI)
orchestrator.register_worker(
    WorkerDefinition(
        worker_type=WorkerType.PRODUCT_MANAGER,
        name="Product Manager",
        description="Creates specifications",
        executor=product_manager_function
    )
)
for kind in (WorkerType.CODER, WorkerType.REVIEWER):
    orchestrator.register_worker(WorkerDefinition(kind, kind.name, "", lambda given, context: given))

# 3. Register workflow (Deterministic State Machine)
workflow = create_build_website_workflow()
orchestrator.register_workflow(workflow)

# 4. Execute workflow
result = orchestrator.execute_workflow(
    workflow_name="build_website",
    goal="Build a portfolio website",
    verbose=True
)

print(f"Final State: {result.state}")
print(f"History: {len(result.history)} steps")
"#;
    let bench = Bench::new();
    bench.write("usage.py", seed);
    let output = python(&bench, &["usage.py"]).ends(0);
    output.shows(&["review_code (REVIEWER): ok\n", "Final State: WorkflowState.COMPLETED\n"]);
    output.shows(&["History: 3 steps\n"]);
    // The run is one like any other.
    let status = bench.plue(&["status", "last", "--output", "json"]).ends(0).json();
    assert_eq!(status["run"]["workflow"], "build_website");
    assert_eq!(status["steps"][2]["output"]["output"], "specs of Build a portfolio website");
}

#[test]
fn the_orchestration_example_runs_as_documented() {
    let bench = Bench::new();
    let file = root().join("examples/orchestration/example_orchestration.py");
    let output = python(&bench, &[file.to_str().unwrap()]).ends(0);
    let page = std::fs::read_to_string(root().join("examples/orchestration/README.md")).unwrap();
    let shown = page.split("```text\n").nth(1).unwrap().split("```").next().unwrap();
    assert_eq!(output.stdout, shown);
}

/// "Orchestration-as-a-Service" of the source: a goal becomes workers and a workflow, which runs once it is
/// approved.
#[test]
fn row_3_15_the_service_plans_and_runs_a_goal() {
    let service = r#"
from orchestrator import OrchestrationService

pipeline = OrchestrationService.create(
    goal="Build a Website",
)
print(pipeline.name, pipeline.workers, pipeline.hash[:7])
import pathlib
print("before", sorted(path.name for path in pathlib.Path(".").glob("*.plue.yaml")))
status = pipeline.execute()
print(status["run"]["status"], [step["output"] for step in status["steps"]])
"#;
    let workflow = "```yaml\nname: website\ntasks:\n\
        - {id: specs, agent: product_manager, parameters: {task: Specify it}}\n\
        - {id: code, agent: coder, dependencies: [specs], parameters: {task: Build it}}\n\
        - {id: review, agent: reviewer, dependencies: [code], parameters: {task: Review it}}\n```\n";
    let turns = [workflow, "pages", "html", "good"];
    let turns = turns.map(|text| serde_json::json!({"content": [{"type": "text", "text": text}]}));
    let model = Scripted::new(&serde_json::json!({ "turns": turns }));
    let bench = Bench::new();
    bench.write("service.py", service);
    let mut command = command(&bench, &["service.py"]);
    let output = CliOutput::of(model.with_key(&mut command).output().unwrap()).ends(0);
    output.shows(&[
        "website [('specs', 'product_manager'), ('code', 'coder'), ('review', 'reviewer')] sha256:",
    ]);
    output.shows(&["before []\n", "success ['pages', 'html', 'good']\n"]);
    assert_eq!(model.state()["violations"], serde_json::json!([]));
    assert!(bench.repo().join("website.plue.yaml").exists());
}
