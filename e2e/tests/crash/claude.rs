//! Kills while a Claude step runs: no tool call twice, no answer that is stored asked for again, and no
//! money lost or counted twice.

#[cfg(test)]
mod below;

use std::{
    collections::BTreeSet,
    net::TcpListener,
    process::{Child, Stdio},
};

use plue_flow::{AttemptStatus, RunStatus};
use plue_plan::{RunId, StepId};
use plue_runtime::Clock;
use plue_store::{AttemptRow, RunFilter, Store, StoreOptions, usage::claude::Spend};
use plue_testkit::scripted::Scripted;
use rustix::process::Signal;
use serde_json::{Value as Json, json};

use crate::bench::{Bench, Ended, LOOK, kill};

/// A tool that runs until the file `go` is there.
const TOOL: &str = "echo x >> ran; touch up; until test -e go; do sleep 0.01; done; echo after";
/// Input tokens of each whole answer.
const INPUT: u64 = 100;

/// A repository with a Claude step `ask`, and its Claude.
struct World {
    bench: Bench,
    claude: Scripted,
}

/// A whole answer with a text.
fn answer(text: &str) -> Json {
    json!({ "text": text, "usage": { "input_tokens": INPUT, "output_tokens": 5 } })
}

/// The same, and a call of the tool.
fn calls() -> Json {
    let mut turn = answer("Let me look.");
    turn["tool_calls"] = json!([{ "name": "bash", "input": { "command": TOOL }, "id": "toolu_A" }]);
    turn
}

/// The last answer, if the request has one result of the call with this text.
fn ends_after(result: &str) -> Json {
    let mut turn = answer("Fine.");
    turn["expect"] = json!([
        { "path": "messages", "length": 3 },
        { "path": "messages.-1.content", "length": 1 },
        { "path": "messages.-1.content.0.tool_use_id", "equals": "toolu_A" },
        { "path": "messages.-1.content.0", "matches": result },
    ]);
    turn
}

impl World {
    fn new(more: &str, script: &[Json]) -> Self {
        Self::with(more, |_| script.to_vec())
    }

    fn with(more: &str, script: impl Fn(&Bench) -> Vec<Json>) -> Self {
        Self::of(&format!("tools=['bash']{more}"), script)
    }

    /// A step with these tools and options.
    fn of(options: &str, script: impl Fn(&Bench) -> Vec<Json>) -> Self {
        let step = format!("Step.llm('ask', prompt='Look.', {options})");
        let source = format!("def workflow():\n    return Plan(name='Ask', steps=[{step}])\n");
        let bench = Bench::new(&source);
        let claude = Scripted::new(&json!(script(&bench)));
        Self { bench, claude }
    }

    fn start(&self, args: &[&str]) -> Child {
        let mut command = self.bench.command(args);
        self.claude.with_key(&mut command).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    }

    fn plue(&self, args: &[&str]) -> Ended {
        let mut command = self.bench.command(args);
        self.claude.with_key(&mut command);
        Ended::of(command)
    }

    async fn store(&self) -> Option<Store> {
        Store::open(StoreOptions::sqlite(&self.bench.database()).read_only()).await.ok()
    }

    /// The last attempt of the step, once there is one.
    async fn attempt(&self) -> Option<(RunId, AttemptRow)> {
        let store = self.store().await?;
        let run = store.runs().list(&RunFilter::default()).await.ok()?.into_iter().next()?.id;
        let attempts = store.attempts().list(&run, Some(&StepId::new("ask"))).await.ok()?;
        Some((run, attempts.into_iter().next_back()?))
    }

    /// The transcript of the last attempt.
    async fn facts(&self) -> Vec<Json> {
        let (Some((_, attempt)), Some(store)) = (self.attempt().await, self.store().await) else {
            return Vec::new();
        };
        store.transcripts().of(&attempt.claim.attempt).await.unwrap()
    }

    async fn spend(&self) -> Spend {
        let (Some((run, _)), Some(store)) = (self.attempt().await, self.store().await) else {
            return Spend::default();
        };
        store.claude().spend_of(&run).await.unwrap().into_iter().next().unwrap_or_default().spend
    }

    /// Waits until money for so many calls was reserved: the last is about to be made.
    async fn calls(&self, calls: u64) {
        while self.spend().await.calls < calls {
            Clock::real().sleep(LOOK).await;
        }
    }

    async fn answers(&self, answers: usize) {
        while count(&self.facts().await, "answered") < answers {
            Clock::real().sleep(LOOK).await;
        }
    }

    async fn results(&self, results: usize) {
        while count(&self.facts().await, "result") < results {
            Clock::real().sleep(LOOK).await;
        }
    }

    /// Waits until the log of the step has a text.
    async fn shows(&self, wanted: &str) {
        let run = self.bench.run().await;
        loop {
            let logs = self.bench.logs(&run).await;
            let text = logs.get("ask").and_then(|log| log.get("Stdout")).cloned();
            if String::from_utf8_lossy(&text.unwrap_or_default()).contains(wanted) {
                return;
            }
            Clock::real().sleep(LOOK).await;
        }
    }

    async fn runs_on_the_runner(&self) {
        let is_running = |attempt: &AttemptRow| attempt.state == AttemptStatus::Running;
        while !self.attempt().await.is_some_and(|(_, attempt)| is_running(&attempt)) {
            Clock::real().sleep(LOOK).await;
        }
    }

    fn signal_runners(&self, signal: Signal) {
        self.bench.runners().iter().for_each(|runner| runner.signal(signal));
    }

    /// Kills the engine once it has stored so many answers, the last of them to the gated request. Its
    /// runners get to know of none of them before.
    async fn kill_after_answer(&self, engine: &mut Child, answers: usize) {
        self.signal_runners(Signal::STOP);
        self.bench.touch("answer");
        self.answers(answers).await;
        kill(engine);
        self.signal_runners(Signal::CONT);
    }

    /// Everything that must hold after a run with these many answers to so many requests, for which
    /// money was reserved so often.
    async fn holds(&self, (requests, calls, answers): (u64, u64, u64), status: RunStatus) {
        let (run, attempt) = self.attempt().await.unwrap();
        assert_eq!(self.bench.status(&run).await, status, "{:?}", attempt.outcome);
        self.bench.nothing_is_left().await;
        // A request counts once its answer ended, or Claude saw that its client is gone.
        while self.claude.state()["requests"].as_u64() < Some(requests) {
            Clock::real().sleep(LOOK).await;
        }
        let state = self.claude.state();
        assert_eq!(state["violations"], json!([]), "{state}");
        assert_eq!(state["requests"], requests, "{state}");
        let facts = self.facts().await;
        assert_eq!(count(&facts, "started"), 1, "{facts:#?}");
        let results: Vec<_> = facts.iter().filter(|fact| fact["fact"] == "result").collect();
        let calls_answered: BTreeSet<_> = results.iter().map(|fact| fact["id"].as_str()).collect();
        assert_eq!(calls_answered.len(), results.len(), "one result for a call: {facts:#?}");
        if status == RunStatus::Success {
            assert_eq!(count(&facts, "answered") as u64, answers, "{facts:#?}");
            assert_eq!(facts.last().unwrap()["end"]["reason"], "done", "{facts:#?}");
        }
        let spend = self.spend().await;
        assert_eq!((spend.calls, spend.input_tokens), (calls, answers * INPUT));
        let scope = format!("run {run}");
        let store = self.store().await.unwrap();
        let spent = store.claude().spent(&scope).await.unwrap().total();
        assert_eq!(spent, spend.cost, "every call, and each once");
        assert!(spend.cost > 0);
    }
}

fn count(facts: &[Json], kind: &str) -> usize {
    facts.iter().filter(|fact| fact["fact"] == kind).count()
}

#[tokio::test]
async fn engines_killed_before_an_answer_ask_again() {
    let world = World::new("", &[answer("Fine.")]);
    // Takes connections and answers nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let mut command = world.bench.command(&["run"]);
    command.env("ANTHROPIC_API_KEY", "sk-ant-canary").env("ANTHROPIC_BASE_URL", url);
    let mut engine = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    world.calls(1).await;
    kill(&mut engine);
    world.plue(&["resume"]).ends(0);
    world.holds((1, 2, 1), RunStatus::Success).await;
}

#[tokio::test]
async fn engines_killed_in_mid_stream_ask_again() {
    let half = json!({
        "text": "half ".repeat(100), "chunk": 50,
        "cut": { "after_deltas": 5, "how": "hang" }, "hang_ms": 600_000,
    });
    let world = World::new("", &[half, answer("Whole.")]);
    let mut engine = world.start(&["run"]);
    world.calls(1).await;
    let run = world.bench.run().await;
    let is_shown = |logs: &crate::bench::Logs| {
        let text = logs.get("ask").and_then(|log| log.get("Stdout"));
        text.is_some_and(|text| text.starts_with(b"half half"))
    };
    while !is_shown(&world.bench.logs(&run).await) {
        Clock::real().sleep(LOOK).await;
    }
    kill(&mut engine);
    world.plue(&["resume"]).ends(0);
    world.holds((2, 2, 1), RunStatus::Success).await;
    assert_eq!(world.facts().await.last().unwrap()["end"]["output"], "Whole.");
}

#[tokio::test]
async fn engines_killed_after_an_answer_call_once() {
    let world = World::with("", |bench| {
        let mut first = calls();
        first["gate"] = json!(bench.repo().join("answer"));
        vec![first, ends_after("after")]
    });
    let mut engine = world.start(&["run"]);
    world.runs_on_the_runner().await;
    world.calls(1).await;
    // The call cannot have been carried out when the engine dies.
    world.kill_after_answer(&mut engine, 1).await;
    world.bench.touch("go");
    world.plue(&["resume"]).ends(0);
    assert_eq!(world.bench.lines("ran"), 1);
    world.holds((2, 2, 2), RunStatus::Success).await;
}

#[tokio::test]
async fn engines_killed_during_a_tool_take_its_result() {
    for is_over in [false, true] {
        let world = World::new("", &[calls(), ends_after("after")]);
        let mut engine = world.start(&["run"]);
        world.bench.appears("up").await;
        kill(&mut engine);
        if is_over {
            world.bench.touch("go");
            world.bench.steps_end().await;
            world.plue(&["resume"]).ends(0);
        } else {
            let mut engine = world.start(&["resume"]);
            world.bench.touch("go");
            assert!(engine.wait().unwrap().success());
        }
        assert_eq!(world.bench.lines("ran"), 1);
        world.holds((2, 2, 2), RunStatus::Success).await;
    }
}

#[tokio::test]
async fn engines_killed_between_results_repeat_no_call() {
    let mut both = calls();
    let quick = json!({ "name": "bash", "input": { "command": "echo x >> ran; echo quick" }, "id": "toolu_B" });
    both["tool_calls"].as_array_mut().unwrap().push(quick);
    let mut last = answer("Fine.");
    last["expect"] = json!([
        { "path": "messages", "length": 3 },
        { "path": "messages.-1.content", "length": 2 },
        { "path": "messages.-1.content.0", "matches": "after" },
        { "path": "messages.-1.content.1", "matches": "quick" },
    ]);
    let world = World::new("", &[both, last]);
    let mut engine = world.start(&["run"]);
    world.bench.appears("up").await;
    world.results(1).await;
    kill(&mut engine);
    world.bench.touch("go");
    world.plue(&["resume"]).ends(0);
    assert_eq!(world.bench.lines("ran"), 2, "each call once");
    world.holds((2, 2, 2), RunStatus::Success).await;
}

#[tokio::test]
async fn engines_killed_after_results_continue_with_them() {
    let half = json!({
        "text": "half ".repeat(100), "chunk": 50,
        "cut": { "after_deltas": 5, "how": "hang" }, "hang_ms": 600_000,
    });
    let world = World::new("", &[calls(), half, ends_after("after")]);
    let mut engine = world.start(&["run"]);
    world.bench.appears("up").await;
    world.bench.touch("go");
    world.results(1).await;
    world.shows("half half").await;
    kill(&mut engine);
    world.plue(&["resume"]).ends(0);
    assert_eq!(world.bench.lines("ran"), 1);
    world.holds((3, 3, 2), RunStatus::Success).await;
}

#[tokio::test]
async fn engines_killed_in_a_replay_ask_no_model() {
    let world = World::new("", &[calls(), ends_after("after")]);
    let mut engine = world.start(&["run"]);
    world.bench.appears("up").await;
    world.bench.touch("go");
    assert!(engine.wait().unwrap().success());
    for file in ["go", "up", "ran"] {
        std::fs::remove_file(world.bench.repo().join(file)).unwrap();
    }
    let mut engine = world.start(&["replay", "last", "--keep-files"]);
    world.bench.appears("up").await;
    kill(&mut engine);
    world.bench.touch("go");
    world.plue(&["resume"]).ends(0);
    assert_eq!(world.bench.lines("ran"), 1);
    assert_eq!(world.claude.state()["requests"], 2, "both by the recorded run");
    assert_eq!(count(&world.facts().await, "answered"), 2);
    assert_eq!(world.spend().await.calls, 0);
}

#[tokio::test]
async fn engines_killed_after_last_answers_end_steps() {
    let world = World::with("", |bench| {
        let mut last = ends_after("after");
        last["gate"] = json!(bench.repo().join("answer"));
        vec![calls(), last]
    });
    let mut engine = world.start(&["run"]);
    world.bench.appears("up").await;
    world.bench.touch("go");
    world.calls(2).await;
    // The attempt cannot have ended when the engine dies.
    world.kill_after_answer(&mut engine, 2).await;
    world.plue(&["resume"]).ends(0);
    assert_eq!(world.bench.lines("ran"), 1);
    world.holds((2, 2, 2), RunStatus::Success).await;
}

#[tokio::test]
async fn runners_killed_in_a_tool_fail_the_step() {
    let world = World::new("", &[calls(), answer("Not asked.")]);
    let mut engine = world.start(&["run"]);
    world.bench.appears("up").await;
    world.runs_on_the_runner().await;
    world.bench.kill_runners().await;
    world.bench.touch("go");
    assert_eq!(engine.wait().unwrap().code(), Some(1));
    assert_eq!(world.bench.lines("ran"), 1);
    world.holds((1, 1, 1), RunStatus::Failed).await;
}

#[tokio::test]
async fn runners_killed_in_tools_leave_unknown_results() {
    let retry = ", retry=Retry(max_attempts=5, delay='0s', on=['infra'])";
    let world = World::new(retry, &[calls(), ends_after("lost")]);
    let mut engine = world.start(&["run"]);
    world.bench.appears("up").await;
    world.runs_on_the_runner().await;
    world.bench.kill_runners().await;
    world.bench.touch("go");
    let is_success = engine.wait().unwrap().success();
    assert!(is_success, "{}{:#?}", world.bench.plue(&["status"]).stdout, world.facts().await);
    assert_eq!(world.bench.lines("ran"), 1, "no call is repeated");
    world.holds((2, 2, 2), RunStatus::Success).await;
}

#[tokio::test]
async fn engines_without_a_key_end_started_steps() {
    let world = World::new("", &[calls()]);
    let mut engine = world.start(&["run"]);
    world.bench.appears("up").await;
    kill(&mut engine);
    world.bench.plue(&["resume"]).ends(1);
    let run = world.bench.run().await;
    let why = world.bench.plue(&["explain", run.as_str(), "ask"]).ends(0);
    assert!(why.stdout.contains("PLUE-L0001: this step needs a key"), "{}", why.stdout);
    world.holds((1, 1, 1), RunStatus::Failed).await;
}

#[tokio::test]
async fn engines_without_a_key_end_queued_steps() {
    let world = World::with("", |bench| {
        let mut first = calls();
        first["gate"] = json!(bench.repo().join("never"));
        vec![first]
    });
    let mut engine = world.start(&["run"]);
    while world.attempt().await.is_none() {
        Clock::real().sleep(LOOK).await;
    }
    kill(&mut engine);
    world.bench.plue(&["resume"]).ends(1);
    let run = world.bench.run().await;
    let why = world.bench.plue(&["explain", run.as_str(), "ask"]).ends(0);
    assert!(why.stdout.contains("PLUE-L0001: this step needs a key"), "{}", why.stdout);
    world.bench.nothing_is_left().await;
}

impl World {
    async fn has(&self, kind: &str) {
        while count(&self.facts().await, kind) == 0 {
            Clock::real().sleep(LOOK).await;
        }
    }

    fn approve(&self) -> Ended {
        self.bench.plue(&["approve", "last", "ask", "--call", "toolu_A"])
    }

    /// Waits until the journal asks for the call.
    async fn asks(&self) {
        self.has("held").await;
        let asks = || self.bench.plue(&["approvals"]).stdout.contains("toolu_A");
        while !asks() {
            Clock::real().sleep(LOOK).await;
        }
    }
}

#[tokio::test]
async fn engines_killed_around_a_decision_call_once() {
    let careful = ", approve=['bash']";
    let world = World::new(careful, &[calls(), ends_after("after")]);
    let mut engine = world.start(&["run"]);
    world.asks().await;
    kill(&mut engine);
    // No engine is there: the decision is a row that the next one takes.
    world.approve().ends(0);
    assert_eq!(world.bench.lines("ran"), 0);
    let mut engine = world.start(&["resume"]);
    world.bench.appears("up").await;
    kill(&mut engine);
    world.bench.touch("go");
    world.plue(&["resume"]).ends(0);
    assert_eq!(world.bench.lines("ran"), 1);
    assert_eq!(count(&world.facts().await, "decided"), 1);
    world.holds((2, 2, 2), RunStatus::Success).await;
}

#[tokio::test]
async fn engines_killed_before_decided_calls_call_once() {
    let careful = ", approve=['bash']";
    let world = World::new(careful, &[calls(), ends_after("after")]);
    let mut engine = world.start(&["run"]);
    world.asks().await;
    // The runner gets to know of the call only after the engine's death.
    world.signal_runners(Signal::STOP);
    world.approve().ends(0);
    world.has("decided").await;
    kill(&mut engine);
    world.signal_runners(Signal::CONT);
    world.bench.touch("go");
    world.plue(&["resume"]).ends(0);
    assert_eq!(world.bench.lines("ran"), 1);
    assert_eq!(count(&world.facts().await, "decided"), 1, "asked once");
    world.holds((2, 2, 2), RunStatus::Success).await;
}

#[tokio::test]
async fn calls_that_wait_outlive_their_runner() {
    let careful = ", approve=['bash'], retry=Retry(max_attempts=5, delay='0s', on=['infra'])";
    let world = World::new(careful, &[calls(), ends_after("after")]);
    let mut engine = world.start(&["run"]);
    world.asks().await;
    world.runs_on_the_runner().await;
    world.bench.kill_runners().await;
    world.bench.touch("go");
    while !world.approve().status.success() {
        Clock::real().sleep(LOOK).await;
    }
    assert!(engine.wait().unwrap().success(), "{:#?}", world.facts().await);
    assert_eq!(world.bench.lines("ran"), 1);
    world.holds((2, 2, 2), RunStatus::Success).await;
}

#[tokio::test]
async fn approved_calls_of_lost_runners_are_not_repeated() {
    let careful = ", approve=['bash'], retry=Retry(max_attempts=5, delay='0s', on=['infra'])";
    let world = World::new(careful, &[calls(), ends_after("lost")]);
    let mut engine = world.start(&["run"]);
    world.asks().await;
    world.approve().ends(0);
    world.bench.appears("up").await;
    world.bench.kill_runners().await;
    world.bench.touch("go");
    assert!(engine.wait().unwrap().success(), "{:#?}", world.facts().await);
    assert_eq!(world.bench.lines("ran"), 1, "no call is repeated");
    world.holds((2, 2, 2), RunStatus::Success).await;
}
