//! Rows of docs/conformance.md about workflow files.

use plue_plan::{
    Action, Plan, Step,
    action::Prompt,
    policy::{Backoff, OnFailure, PlanOnFailure},
    value::Node,
};
use plue_spec::workflow::{Format, read};
use serde_json::{Value as Json, json};

fn plan(text: &str) -> Plan {
    match read("x.plue.yaml", text.as_bytes(), Format::Yaml) {
        Ok(workflow) => workflow.plan,
        Err(found) => panic!("{found:#?}"),
    }
}

fn problems(text: &str) -> Vec<String> {
    let found = read("x.plue.yaml", text.as_bytes(), Format::Yaml).unwrap_err();
    found.iter().map(ToString::to_string).collect()
}

fn step<'p>(plan: &'p Plan, id: &str) -> &'p Step {
    plan.steps.iter().find(|step| step.id.as_str() == id).unwrap()
}

fn role(step: &Step) -> &str {
    match &step.action {
        Action::Llm(llm) => llm.role.as_deref().unwrap(),
        other => panic!("{other:?}"),
    }
}

fn one(fields: &str) -> Plan {
    plan(&format!("name: x\ntasks: [{{id: a, {fields}}}]\n"))
}

#[test]
fn row_2_01_yaml_json_and_plan_are_equal() {
    let yaml =
        "name: x\ntasks:\n  - {id: a, run: make}\n  - {id: b, agent: coder, dependencies: [a]}\n";
    let json = r#"{"tasks": [{"run": "make", "id": "a"}, {"dependencies": ["a"], "agent": "coder", "id": "b"}], "name": "x"}"#;
    let hash = |bytes: &[u8], format| {
        let plan = read("x", bytes, format).unwrap().plan;
        plue_plan::HashedPlan::new(plan).unwrap()
    };
    let (a, b) = (hash(yaml.as_bytes(), Format::Yaml), hash(json.as_bytes(), Format::Json));
    assert_eq!(a.hash, b.hash);
    let again = hash(&a.bytes, Format::Json);
    assert_eq!(a.hash, again.hash);
    assert_eq!(a.hash, hash(&a.bytes, Format::Yaml).hash);
}

#[test]
fn row_2_01_ten_examples_have_the_hash_of_their_python() {
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut compared = 0;
    for entry in std::fs::read_dir(examples.join("in-yaml")).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap();
        let Some(name) = file.strip_suffix(".plue.yaml") else { continue };
        let read = read(file, &std::fs::read(&path).unwrap(), Format::Yaml);
        let read = read.unwrap_or_else(|found| panic!("{found:#?}"));
        assert_eq!(read.warnings, [], "{name}");
        let sealed = plue_plan::HashedPlan::new(read.plan).unwrap();
        let python = std::fs::read(examples.join(name).join("expected/plan.json")).unwrap();
        assert_eq!(
            String::from_utf8(sealed.bytes).unwrap(),
            String::from_utf8(python).unwrap().trim_end(),
            "{name}"
        );
        compared += 1;
    }
    assert!(compared >= 10, "{compared}");
}

#[test]
fn row_2_03_a_problem_has_file_line_and_column() {
    let found = problems("name: x\ntasks:\n  - id: a\n    agnet: coder\n    run: \"true\"\n");
    assert_eq!(
        found,
        ["x.plue.yaml:4:5: PLUE-S0018: task `a` has no key `agnet` (did you mean `agent`?)"]
    );
}

#[test]
fn row_2_11_the_head_of_the_seed_is_read() {
    let text = "version: \"1.0\"\nname: n\ndescription: d\nmetadata: {author: a, tags: [x, y]}\ntasks: [{id: a, agent: coder}]\n";
    let plan = plan(text);
    assert_eq!((plan.name.as_str(), plan.description.as_deref()), ("n", Some("d")));
    assert_eq!(plan.tags, ["x", "y"]);
    assert!(problems("tasks: [{id: a, agent: coder}]")[0].contains("PLUE-S0019"));
}

#[test]
fn row_2_12_three_tasks_run_at_once_by_default() {
    let with = |settings: &str| {
        plan(&format!("name: x\n{settings}tasks: [{{id: a, agent: x}}]\n")).max_parallel
    };
    assert_eq!(with(""), Some(3));
    assert_eq!(with("settings: {timeout: 5}\n"), Some(3));
    assert_eq!(with("settings: {max_parallel: 5}\n"), Some(5));
    assert_eq!(with("settings: {max_parallel: unlimited}\n"), None);
}

#[test]
fn row_2_13_an_hour_is_the_default_and_not_written() {
    let with = |settings: &str| {
        let plan =
            plan(&format!("name: x\nsettings: {{{settings}}}\ntasks: [{{id: a, agent: x}}]\n"));
        plan.timeout.map(|timeout| timeout.to_string())
    };
    assert_eq!(with(""), None);
    assert_eq!(with("timeout: 3600"), None);
    assert_eq!(with("timeout: 1h"), None);
    assert_eq!(with("timeout: 7200"), Some("7200s".to_owned()));
}

#[test]
fn row_2_14_and_2_17_what_a_failure_means() {
    let on_failure = |word: &str| {
        let text =
            format!("name: x\nsettings: {{on_failure: {word}}}\ntasks: [{{id: a, agent: x}}]\n");
        plan(&text).on_failure
    };
    assert_eq!(on_failure("stop"), PlanOnFailure::Stop);
    assert_eq!(on_failure("continue"), PlanOnFailure::Continue);
    let of_task =
        |word: &str| one(&format!("agent: x, on_failure: {word}")).steps[0].options.clone();
    assert_eq!(of_task("skip").on_failure, OnFailure::Skip);
    assert_eq!(of_task("fail").on_failure, OnFailure::Fail);
    assert_eq!(
        (of_task("retry").on_failure, of_task("retry").retry.is_some()),
        (OnFailure::Fail, true)
    );
    assert!(of_task("fail").retry.is_none());
    assert_eq!(of_task("continue").on_failure, OnFailure::Continue);
}

#[test]
fn row_2_15_tasks_have_the_fields_of_steps() {
    let text = "name: x\ntasks:\n  - {id: a, agent: planner}\n  - {id: b, agent: coder, description: d, parameters: {task: t}, dependencies: [a], condition: a.status == 'success'}\n";
    let plan = plan(text);
    let b = step(&plan, "b");
    assert_eq!(role(b), "coder");
    assert_eq!(b.depends_on[0].as_str(), "a");
    assert_eq!(b.options.when.as_deref(), Some("steps.a.status == 'success'"));
    let Action::Llm(llm) = &b.action else { panic!() };
    assert_eq!(llm.prompt, Prompt::Text(plue_plan::Value::text("t")));
}

#[test]
fn row_2_16_a_retry_keeps_its_numbers() {
    let retry = |text: &str| {
        one(&format!("agent: x, retry: {text}")).steps[0].options.retry.clone().unwrap()
    };
    let exponential = retry("{max_attempts: 4, delay: 5, backoff: exponential}");
    assert_eq!((exponential.max_attempts, exponential.delay.as_str()), (4, "5s"));
    assert_eq!(exponential.backoff, Backoff::Exponential);
    let more = retry(
        "{max_attempts: 2, delay: 500ms, max_delay: 10, jitter: 0.5, on: [infra, timeout, \"exit:7\"]}",
    );
    assert_eq!(more.max_delay.unwrap().as_str(), "10s");
    assert_eq!(more.on, ["infra", "timeout", "exit:7"]);
}

#[test]
fn row_2_18_variables_are_typed_secrets_are_names() {
    let text = "name: x\ncontext:\n  variables: {n: 5, l: [1], t: \"5\"}\n  secrets: {token: NPM_TOKEN}\ntasks:\n  - {id: a, run: \"true\", env: {N: \"${context.variables.n}\", L: \"${l}\", T: \"${t}\", S: \"${context.secrets.token}\"}}\n";
    let plan = plan(text);
    let env = &plan.steps[0].options.env;
    assert_eq!((&env["N"].0, &env["L"].0, &env["T"].0), (&json!(5), &json!([1]), &json!("5")));
    assert_eq!(env["S"].node(), Node::Secret("NPM_TOKEN"));
    let found =
        problems("name: x\ncontext: {secrets: {token: hunter2}}\ntasks: [{id: a, agent: x}]\n");
    assert!(found[0].contains("PLUE-S0027") && !found[0].contains("hunter2"), "{found:?}");
}

#[test]
fn row_2_19_hooks_are_tasks() {
    let plan = plan(
        "name: x\ntasks: [{id: w, run: \"true\"}]\nhooks:\n  on_start: [{id: a, agent: x}]\n  on_success: [{id: b, agent: x, parameters: {task: \"${w.output}\"}}]\n  on_failure: [{id: c, run: \"true\"}]\n  on_complete: [{id: d, run: \"true\", required: true}]\n",
    );
    let hooks: Vec<&str> = plan.hooks.all().map(|step| step.id.as_str()).collect();
    assert_eq!(hooks, ["a", "b", "c", "d"]);
    assert!(plan.hooks.on_complete[0].options.required);
}

#[test]
fn row_2_21_the_three_lines_of_the_seed_are_expressions() {
    let text = "name: x\ntasks:\n  - {id: task_id, agent: coder}\n  - id: b\n    run: \"true\"\n    dependencies: [task_id]\n    env:\n      A: ${task_id.output}\n      B: ${fn:uppercase(task_id.output)}\n      C: \"${task_id.status == 'success' ? 'yes' : 'no'}\"\n      D: \"${task_id.output} and $${text}\"\n";
    let plan = plan(text);
    let env = &step(&plan, "b").options.env;
    assert_eq!(env["A"].node(), Node::Expr("steps.task_id.output"));
    assert_eq!(env["B"].node(), Node::Expr("uppercase(steps.task_id.output)"));
    assert_eq!(env["C"].node(), Node::Expr("steps.task_id.status == 'success' ? 'yes' : 'no'"));
    assert_eq!(env["D"].node(), Node::Template("${steps.task_id.output} and $${text}"));
}

#[test]
fn row_2_21_the_text_of_a_command_is_never_touched() {
    let text = "name: x\ntasks:\n  - {id: a, run: \"true\"}\n  - {id: b, run: \"echo ${a.output} ${HOME} $${x}\", dependencies: [a]}\n  - {id: c, python: \"print('${a.output}')\", dependencies: [a]}\n  - {id: d, agent: shell, parameters: {run: \"echo ${a.output}\", v: \"${a.output}\"}, dependencies: [a]}\n";
    let read = read("x", text.as_bytes(), Format::Yaml).unwrap();
    let Action::Bash(bash) = &step(&read.plan, "b").action else { panic!() };
    assert_eq!(bash.run, "echo ${a.output} ${HOME} $${x}");
    let Action::Python(python) = &step(&read.plan, "c").action else { panic!() };
    assert_eq!(python.code.as_deref(), Some("print('${a.output}')"));
    let Action::Bash(shell) = &step(&read.plan, "d").action else { panic!() };
    assert_eq!(shell.run, "echo ${a.output}");
    assert_eq!(step(&read.plan, "d").options.env["v"].node(), Node::Expr("steps.a.output"));
    let warned: Vec<_> = read.warnings.iter().map(|warning| warning.code.as_str()).collect();
    assert_eq!(warned, ["PLUE-S0025"; 3]);
}

fn levels(plan: &Plan) -> Vec<Vec<String>> {
    let levels = plue_plan::Graph::new(plan).levels().into_iter();
    levels
        .map(|level| {
            let mut ids: Vec<String> = level.iter().map(ToString::to_string).collect();
            ids.sort_unstable();
            ids
        })
        .collect()
}

fn shipped(name: &str) -> Plan {
    let path = format!("{}/tests/workflow/valid/{name}", env!("CARGO_MANIFEST_DIR"));
    plan(&std::fs::read_to_string(path).unwrap())
}

#[test]
fn row_2_23_the_feature_template_is_accepted_unchanged() {
    let plan = shipped("row_2_23_full_stack_template.yaml");
    assert_eq!(levels(&plan), [vec!["design"], vec!["api", "ui"], vec!["integrate"], vec!["test"]]);
    assert!(plan.inputs["feature_name"].required);
}

#[test]
fn row_2_24_the_bug_template_is_accepted_unchanged() {
    let plan = shipped("row_2_24_bug_fix_template.yaml");
    assert_eq!(levels(&plan), [["investigate"], ["analyze"], ["fix"], ["verify"]]);
}

#[test]
fn row_2_25_cycles_are_found_at_parse_time() {
    let found = problems(
        "name: x\ntasks:\n  - {id: a, agent: x, dependencies: [b]}\n  - {id: b, agent: x, dependencies: [a]}\n",
    );
    assert!(found[0].contains("a → b → a"), "{found:?}");
}

#[test]
fn row_2_26_a_plan_may_have_twelve_agents() {
    let plan = shipped("twelve_agents.yaml");
    assert_eq!(plan.steps.len(), 12);
    assert_eq!(levels(&plan)[1].len(), 11);
}

#[test]
fn row_3_07_the_six_kinds_of_workers_are_roles() {
    for worker in ["PRODUCT_MANAGER", "CODER", "REVIEWER", "TESTER", "DEPLOYER", "GENERIC"] {
        assert_eq!(role(&one(&format!("agent: {worker}")).steps[0]), worker);
    }
}

#[test]
fn row_3_09_workers_loop_by_bounded_goto_with_retries() {
    let plan = shipped("row_3_11_build_website.yaml");
    let json: Json = serde_json::to_value(&plan).unwrap();
    assert_eq!(json["steps"][1]["retry"]["max_attempts"], 2);
    assert_eq!(json["steps"][2]["on_failure"], json!({"goto": "implement_code", "max_visits": 3}));
}

#[test]
fn row_3_11_build_website_is_a_file() {
    let plan = shipped("row_3_11_build_website.yaml");
    assert_eq!(levels(&plan), [["create_specs"], ["implement_code"], ["review_code"]]);
    let unbounded = problems(
        "name: x\ntasks:\n  - {id: a, agent: x}\n  - {id: b, agent: x, dependencies: [a], on_failure: {goto: a}}\n",
    );
    assert!(unbounded[0].contains("PLUE-P0036"), "{unbounded:?}");
}

#[test]
fn row_3_12_a_pipeline_is_a_chain_of_tasks() {
    let text: String = ["analyze", "design", "implement"]
        .iter()
        .zip(["", "analyze", "design"])
        .map(|(id, before)| {
            format!(
                "  - {{id: {id}, agent: generic, description: Do {id}, dependencies: [{before}]}}\n"
            )
        })
        .collect();
    let plan = plan(&format!("name: pipeline\ntasks:\n{text}"));
    assert_eq!(levels(&plan), [["analyze"], ["design"], ["implement"]]);
}

#[test]
fn row_3_13_a_workflow_is_checked_when_it_is_read() {
    assert!(!problems("name: x\ntasks: [{id: a, agent: x, dependencies: [nobody]}]").is_empty());
}
