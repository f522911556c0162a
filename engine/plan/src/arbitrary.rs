//! Random valid plans for property tests, here and in other crates (feature `arbitrary`).
//!
//! A plan made here has no problem that [`crate::validate::validate`] reports, and is in canonical
//! form: dependencies sorted, numbers as JSON keeps them. Must not ship in a binary.

use std::collections::BTreeMap;

use proptest::{collection, option, prelude::*, sample::Index};
use serde_json::{Value as Json, json};

use crate::{
    action::{
        Action, Approval, Bash, Call, Llm, Negotiate, Plugin, Prompt, PromptFile, Python, Wait,
        Workflow,
    },
    context::{ContextKey, Merge},
    duration::DurationText,
    id::StepId,
    plan::{Input, InputType, Plan},
    policy::{Budget, Checkout, Concurrency, Goto, OnFailure, PlanOnFailure, Retry, Service},
    step::{Step, StepOptions},
    trigger::{Misfire, Trigger},
    value::Value,
};

/// Target of a random loop: the step itself, or its n-th dependency.
#[derive(Debug, Clone)]
enum Back {
    Nowhere,
    Itself,
    Dependency(Index),
}

/// A random valid plan of up to `max_steps` steps (at least one), with hooks, triggers, loops,
/// references and every kind of step.
pub fn plans(max_steps: usize) -> impl Strategy<Value = Plan> {
    let steps = (dag(max_steps.max(1), "s"), collection::vec(step("hook"), 0..2));
    let texts = (name(), option::of(".{0,40}".prop_filter_map("plain", plain)));
    (texts, steps, frame(), collection::vec(trigger(), 0..4)).prop_map(
        |((name, goal), (steps, hooks), mut plan, triggers)| {
            plan.name = name;
            plan.goal = goal;
            plan.steps = steps;
            for step in plan.steps.iter_mut().step_by(2) {
                step.options.writes = plan.context.keys().next().cloned();
            }
            plan.triggers = triggers;
            plan.hooks.on_complete = renamed(hooks, "hook");
            plan
        },
    )
}

/// Random steps that form a DAG: `s0`, `s1`, …, each depending on some of those before it.
pub fn dag(max_steps: usize, prefix: &'static str) -> impl Strategy<Value = Vec<Step>> {
    let edges = collection::vec(any::<Index>(), 0..4);
    let back = prop_oneof![
        6 => Just(Back::Nowhere),
        1 => Just(Back::Itself),
        1 => any::<Index>().prop_map(Back::Dependency),
    ];
    let member = (step(prefix), edges, back, 1..=5_u32);
    collection::vec(member, 1..=max_steps).prop_map(move |members| {
        let (steps, shape): (Vec<_>, Vec<_>) = members
            .into_iter()
            .map(|(step, edges, back, visits)| (step, (edges, back, visits)))
            .unzip();
        let mut steps = renamed(steps, prefix);
        let ids: Vec<StepId> = steps.iter().map(|step| step.id.clone()).collect();
        for (at, (step, (edges, back, visits))) in steps.iter_mut().zip(shape).enumerate() {
            let (before, _) = ids.split_at(at);
            if !before.is_empty() {
                step.depends_on = edges.iter().map(|edge| edge.get(before).clone()).collect();
            }
            step.depends_on.sort();
            step.depends_on.dedup();
            let goto = match back {
                Back::Itself => Some(step.id.clone()),
                Back::Dependency(at) if !step.depends_on.is_empty() => {
                    Some(at.get(&step.depends_on).clone())
                }
                Back::Nowhere | Back::Dependency(_) => None,
            };
            if let Some(goto) = goto {
                let max_visits = Some(visits);
                step.options.on_failure = OnFailure::Goto(Goto { goto, max_visits });
            }
        }
        steps
    })
}

fn renamed(mut steps: Vec<Step>, prefix: &str) -> Vec<Step> {
    for (at, step) in steps.iter_mut().enumerate() {
        step.id = StepId::new(format!("{prefix}{at}"));
    }
    steps
}

/// A random step without dependencies.
pub fn step(id: &'static str) -> impl Strategy<Value = Step> {
    (action(), options()).prop_map(move |(action, options)| Step {
        id: StepId::new(id),
        depends_on: Vec::new(),
        action,
        options,
    })
}

fn options() -> impl Strategy<Value = StepOptions> {
    let one = (
        option::of(step_name()),
        option::of(Just("event.branch == 'main'".to_owned())),
        env(),
        collection::vec("[A-Z_][A-Z0-9_]{0,6}", 0..2),
        option::of(duration()),
        option::of(retry()),
    );
    let two = (
        option::of("[a-z][a-z0-9-]{0,8}"),
        option::of(Just("packages/web".to_owned())),
        collection::vec(Just("dist/**/*.js".to_owned()), 0..2),
        option::of(Just(json!({"type": "object", "properties": {"v": {"type": "string"}}}))),
        any::<(bool, bool, u16)>(),
    );
    (one, two).prop_map(|(one, two)| {
        let (name, when, env, secrets, timeout, retry) = one;
        let (runner, cwd, artifacts, outputs, (pure, interactive, port)) = two;
        let service =
            |port| Service { image: "postgres:18".to_owned(), port, env: BTreeMap::new() };
        StepOptions {
            services: (port > 60_000).then(|| service(port)).into_iter().collect(),
            on_failure: if pure { OnFailure::Continue } else { OnFailure::Fail },
            name,
            when,
            env,
            secrets,
            timeout,
            retry,
            runner,
            cwd,
            artifacts: artifacts.into(),
            outputs,
            pure,
            interactive,
            ..StepOptions::default()
        }
    })
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => command().prop_map(|run| Action::Bash(Bash { run, shell: "bash".to_owned() })),
        2 => command().prop_map(|code| Action::Python(Python {
            code: Some(code), ..Python::default()
        })),
        2 => llm().prop_map(|llm| Action::Llm(Box::new(llm))),
        1 => (option::of(value()), 1..3_u32).prop_map(|(message, quorum)| {
            let approvers = vec!["ana".to_owned(), "ben".to_owned()];
            Action::Approval(Approval {
                message, approvers, quorum, on_timeout: crate::action::OnTimeout::Reject, fields: None,
            })
        }),
        1 => option::of(1..9_u32).prop_map(|rounds| Action::Negotiate(Negotiate {
            parties: vec!["buyer".to_owned(), "seller".to_owned()],
            subject: json!({"type": "object"}),
            rounds,
            accept: Some("quorum:2".to_owned()),
        })),
        1 => values().prop_map(|inputs| Action::Workflow(Workflow {
            workflow: Some("child".to_owned()), plan: None, inputs,
        })),
        1 => (option::of(value()), any::<bool>()).prop_map(|(body, callback)| Action::Call(Call {
            url: Value::text("https://hooks.example/ci"),
            method: Some("POST".to_owned()),
            headers: BTreeMap::from([("x-ci".to_owned(), Value::secret("HOOK_KEY"))]),
            body,
            callback,
        })),
        1 => duration().prop_map(|length| Action::Wait(Wait {
            event: None, duration: Some(length),
        })),
        1 => trigger().prop_map(|event| Action::Wait(Wait {
            event: Some(Box::new(event)), duration: None,
        })),
        1 => values().prop_map(|config| Action::Plugin(Plugin {
            plugin: "notify".to_owned(), config,
        })),
    ]
}

fn llm() -> impl Strategy<Value = Llm> {
    let file = values().prop_map(|inputs| {
        let name = "code-review".to_owned();
        Prompt::File(PromptFile { name, inputs })
    });
    let prompt = prop_oneof![file, command().prop_map(|text| Prompt::Text(Value::text(text)))];
    let tools = option::of(collection::vec(Just("read".to_owned()), 0..2));
    (prompt, tools, option::of(1..50_u32), option::of(budget())).prop_map(
        |(prompt, tools, max_turns, budget)| Llm {
            prompt,
            model: None,
            fallback_models: Vec::new(),
            system: None,
            tools,
            approve: Vec::new(),
            approve_timeout: None,
            mcp: Vec::new(),
            max_turns,
            max_tokens: None,
            budget,
            output: None,
            role: None,
            effort: None,
        },
    )
}

/// A trigger of random type and filters.
pub fn trigger() -> impl Strategy<Value = Trigger> {
    let globs = || collection::vec("[a-z]{1,5}(/\\*\\*)?", 0..3);
    prop_oneof![
        (globs(), globs(), globs(), globs()).prop_map(|(branches, tags, paths, paths_ignore)| {
            Trigger::Push { branches, tags, paths, paths_ignore }
        }),
        (globs(), globs()).prop_map(|(branches, paths)| Trigger::PullRequest {
            types: vec!["opened".to_owned()],
            branches,
            paths,
        }),
        Just(Trigger::Issue { types: Vec::new(), labels: vec!["bug".to_owned()] }),
        Just(Trigger::IssueComment { contains: Some("/plue".to_owned()) }),
        (0..60_u32, 0..24_u32).prop_map(|(minute, hour)| Trigger::Schedule {
            cron: format!("{minute} {hour} * * 1-5"),
            tz: "Europe/Berlin".to_owned(),
            misfire: Misfire::Skip,
        }),
        inputs().prop_map(|inputs| Trigger::Manual { inputs }),
        Just(Trigger::Webhook { name: "deploy".to_owned() }),
        Just(Trigger::Event { topic: "build.done".to_owned(), when: Some("true".to_owned()) }),
        Just(Trigger::Workflow { name: "CI".to_owned(), outcome: Some("success".to_owned()) }),
    ]
}

/// The fields of a plan without its steps, as a plan without steps.
fn frame() -> impl Strategy<Value = Plan> {
    let limits = (option::of(1..9_u32), option::of(duration()), option::of(budget()));
    (limits, env(), inputs(), values(), any::<bool>()).prop_map(
        |((max_parallel, timeout, budget), env, inputs, outputs, flag)| Plan {
            secrets: flag
                .then(|| ("NPM_TOKEN".to_owned(), "env:NPM".to_owned()))
                .into_iter()
                .collect(),
            context: flag
                .then(|| ("findings".to_owned(), ContextKey { schema: None, merge: Merge::List }))
                .into_iter()
                .collect(),
            max_parallel,
            timeout,
            budget,
            env,
            inputs,
            outputs,
            on_failure: if flag { PlanOnFailure::Continue } else { PlanOnFailure::Stop },
            checkout: if flag {
                Checkout { tags: false, ..Checkout::default() }
            } else {
                Checkout::default()
            },
            concurrency: flag.then(|| Concurrency {
                group: Value::template("deploy-${event.branch}"),
                cancel_in_progress: flag,
            }),
            ..Plan::new("", Vec::new())
        },
    )
}

fn plain(text: String) -> Option<String> {
    let fits = !text.chars().any(crate::shown::is_forbidden);
    fits.then_some(text)
}

fn name() -> impl Strategy<Value = String> {
    "[A-Za-zé日][A-Za-z0-9 \"<>&'`\\]|é日-]{0,24}"
}

fn step_name() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => name().prop_map(Value::text),
        1 => name().prop_map(|text| Value::template(format!("{text} ${{event.branch}}"))),
    ]
}

fn command() -> impl Strategy<Value = String> {
    "[!-~][ -~\n\té日]{0,40}"
}

fn duration() -> impl Strategy<Value = DurationText> {
    (1..400_u64, prop_oneof![Just("s"), Just("m"), Just("ms")])
        .prop_map(|(number, unit)| DurationText::new(format!("{number}{unit}")))
}

fn retry() -> impl Strategy<Value = Retry> {
    (1..=100_u32, duration(), option::of(0..=8_u8)).prop_map(|(max_attempts, delay, jitter)| {
        Retry {
            max_attempts,
            delay,
            jitter: jitter.map(|eighths| f64::from(eighths) / 8.0),
            on: vec!["infra".to_owned(), "exit:137".to_owned()],
            ..Retry::default()
        }
    })
}

fn budget() -> impl Strategy<Value = Budget> {
    (option::of(0..10_000_u32), option::of(0..=1_u64 << 53)).prop_map(|(cents, tokens)| Budget {
        usd: cents.map(|cents| f64::from(cents) / 100.0),
        tokens,
    })
}

fn env() -> impl Strategy<Value = BTreeMap<String, Value>> {
    collection::btree_map("[A-Z][A-Z0-9_]{0,5}", value(), 0..3)
}

fn values() -> impl Strategy<Value = BTreeMap<String, Value>> {
    collection::btree_map("[a-z][a-z0-9_]{0,5}", value(), 0..3)
}

fn inputs() -> impl Strategy<Value = BTreeMap<String, Input>> {
    let input = option::of(-9..9_i32).prop_map(|default| Input {
        kind: InputType::Integer,
        required: default.is_none(),
        default: default.map(Json::from),
        ..Input::default()
    });
    collection::btree_map("[a-z][a-z0-9_]{0,5}", input, 0..3)
}

/// A random value: data, an expression, a template or a secret.
pub fn value() -> impl Strategy<Value = Value> {
    let number = any::<i32>().prop_map(|n| match n % 4 {
        0 => Json::from(f64::from(n) + 0.5),
        _ => Json::from(n),
    });
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        number,
        "[ -~é日\u{10000}]{0,12}".prop_map(Json::from),
        Just(Value::expr("inputs.v").0),
        Just(Value::template("v${event.sha}").0),
        Just(Value::secret("NPM_TOKEN").0),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..3).prop_map(Json::from),
            collection::btree_map("[a-z\"é\u{ffff}\u{10000}]{1,4}", inner, 0..3)
                .prop_map(|map| Json::Object(map.into_iter().collect())),
        ]
    })
    .prop_map(Value)
}

#[cfg(test)]
mod tests;
