//! The scenarios: plans whose steps are scripts (`plue_testkit::faults`), and how each must end.

use plue_flow::RunStatus;
use plue_plan::Plan;
use serde_json::{Value as Json, json};

/// A plan, what is done to it from outside, and its end.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    plan: Json,
    /// Milliseconds from the start to a cancel request.
    pub(crate) cancel_after_ms: Option<u64>,
    pub(crate) ends: RunStatus,
}

// === impl Scenario ===

impl Scenario {
    fn new(name: &'static str, plan: Json) -> Self {
        Self { name, plan, cancel_after_ms: None, ends: RunStatus::Success }
    }

    fn ends(self, ends: RunStatus) -> Self {
        Self { ends, ..self }
    }

    pub(crate) fn plan(&self) -> Plan {
        serde_json::from_value(self.plan.clone()).unwrap()
    }

    /// The same, but a step that is lost with its runner is tried again.
    pub(crate) fn kept(&self) -> Plan {
        let mut plan = self.plan();
        let hooks = &mut plan.hooks;
        let all = [&mut plan.steps, &mut hooks.on_start, &mut hooks.on_success];
        let more = [&mut hooks.on_failure, &mut hooks.on_complete];
        for step in all.into_iter().chain(more).flatten() {
            let retry = step.options.retry.get_or_insert_with(|| {
                serde_json::from_value(json!({"max_attempts": 1, "delay": "0s", "on": []})).unwrap()
            });
            if !retry.on.iter().any(|class| class == "infra") {
                if retry.on.is_empty() && retry.max_attempts > 1 {
                    retry.on.push("exit:1".to_owned());
                }
                retry.on.push("infra".to_owned());
            }
            retry.max_attempts += 5;
        }
        plan
    }
}

fn bash(id: &str, run: &str, needs: &[&str]) -> Json {
    json!({"id": id, "kind": "bash", "run": run, "depends_on": needs})
}

fn with(mut step: Json, more: Json) -> Json {
    let (step_map, more) = (step.as_object_mut().unwrap(), more.as_object().unwrap());
    step_map.extend(more.clone());
    step
}

fn plan(steps: &[Json]) -> Json {
    json!({"version": 1, "name": "test", "steps": steps})
}

/// Every kind of path through a run.
pub(crate) fn all() -> Vec<Scenario> {
    vec![
        chain(),
        diamond(),
        retry(),
        goto(),
        timeout(),
        cancel(),
        hooks(),
        python(),
        conditions(),
        run_timeout(),
    ]
}

pub(crate) fn chain() -> Scenario {
    let steps = [
        bash("a", "say first; wait 20; err noise; say second", &[]),
        bash("b", "wait 30; out {\"n\": 2}", &["a"]),
        bash("c", "say last", &["b"]),
    ];
    Scenario::new("chain", plan(&steps))
}

pub(crate) fn diamond() -> Scenario {
    let steps = [
        bash("top", "say top", &[]),
        bash("left", "wait 40; say left", &["top"]),
        bash("right", "say right; wait 70; say done", &["top"]),
        bash("bottom", "say bottom", &["left", "right"]),
    ];
    Scenario::new("diamond", plan(&steps))
}

fn retry() -> Scenario {
    let flaky = with(
        bash("flaky", "say a try; fail_before 3; say it worked", &[]),
        json!({"retry": {"max_attempts": 3, "delay": "300ms"}}),
    );
    Scenario::new("retry", plan(&[flaky, bash("after", "say after", &["flaky"])]))
}

/// A review that sends the work back twice.
fn goto() -> Scenario {
    let review = with(
        bash("review", "wait 10; fail_visits 3; say fine", &["work"]),
        json!({"on_failure": {"goto": "work", "max_visits": 5}}),
    );
    Scenario::new(
        "loop",
        plan(&[bash("work", "say work", &[]), review, bash("ship", "say ship", &["review"])]),
    )
}

fn timeout() -> Scenario {
    let slow = with(bash("slow", "say begun; forever", &[]), json!({"timeout": "4s"}));
    Scenario::new("timeout", plan(&[slow, bash("never", "say never", &["slow"])]))
        .ends(RunStatus::Failed)
}

fn cancel() -> Scenario {
    let steps = [
        bash("first", "say first", &[]),
        bash("long", "say long; forever", &["first"]),
        bash("other", "say other; forever", &["first"]),
        bash("never", "say never", &["long"]),
    ];
    let cancelled = Scenario::new("cancel", plan(&steps)).ends(RunStatus::Cancelled);
    Scenario { cancel_after_ms: Some(8_000), ..cancelled }
}

fn hooks() -> Scenario {
    let mut plan =
        plan(&[bash("good", "say good", &[]), bash("bad", "say bad; exit 3", &["good"])]);
    plan["hooks"] = json!({
        "on_start": [bash("begin", "say begin", &[])],
        "on_success": [bash("cheer", "say hooray", &[])],
        "on_failure": [bash("mourn", "wait 5; say alas", &[])],
        "on_complete": [bash("sweep", "say swept", &[])],
    });
    Scenario::new("hooks", plan).ends(RunStatus::Failed)
}

fn python() -> Scenario {
    let make = json!({"id": "make", "kind": "python", "code": "say made; out {\"n\": 3}"});
    let take = with(
        json!({"id": "take", "kind": "python", "code": "wait 5; say taken", "depends_on": ["make"]}),
        json!({"env": {"N": {"$expr": "string(steps.make.output.n)"}}}),
    );
    Scenario::new("python", plan(&[make, take]))
}

fn conditions() -> Scenario {
    let when = |id: &str, when: &str| with(bash(id, "say ran", &["count"]), json!({"when": when}));
    let skip = with(bash("skip", "exit 1", &["count"]), json!({"on_failure": "skip"}));
    let steps = [
        bash("count", "out {\"n\": 2}", &[]),
        when("yes", "steps.count.output.n == 2"),
        when("no", "steps.count.output.n > 3"),
        skip,
        bash("end", "say end", &["yes", "no", "skip"]),
    ];
    Scenario::new("conditions", plan(&steps))
}

fn run_timeout() -> Scenario {
    let slow = with(bash("slow", "say begun; forever", &[]), json!({"timeout": "2h"}));
    let mut plan = plan(&[slow]);
    plan["timeout"] = json!("9s");
    Scenario::new("run timeout", plan).ends(RunStatus::TimedOut)
}
