//! The same for an agent below the one of the step.

use plue_flow::RunStatus;
use plue_runtime::Clock;
use plue_store::{RunFilter, TranscriptId as _};
use serde_json::{Value as Json, json};

use super::{INPUT, World, answer, calls, count, ends_after};
use crate::bench::{LOOK, kill};

impl World {
    /// The transcript of the first agent that the last attempt's own started.
    async fn facts_below(&self) -> Vec<Json> {
        let (Some((_, attempt)), Some(store)) = (self.attempt().await, self.store().await) else {
            return Vec::new();
        };
        store.transcripts().of(&attempt.claim.attempt.agent(1)).await.unwrap()
    }
}

/// An agent `helper` that calls the tool, below one that only waits for it; `turns` are the helper's.
fn with_helper(turns: Vec<Json>) -> World {
    with_careful_helper("", turns)
}

/// The same, with more options of the step.
fn with_careful_helper(more: &str, turns: Vec<Json>) -> World {
    let of = |prompt: &str, messages: u64| {
        json!([
            { "path": "messages.0.content.0.text", "equals": prompt },
            { "path": "messages", "length": messages },
        ])
    };
    let mut first = answer("Let it help.");
    let input = json!({ "role": "helper", "task": "Help." });
    first["tool_calls"] = json!([{ "name": "delegate", "input": input, "id": "toolu_A" }]);
    first["match"] = of("Look.", 1);
    let mut last = answer("Fine.");
    last["match"] = of("Look.", 3);
    last["expect"] = json!([{ "path": "messages.-1.content.0.content", "equals": "Helped." }]);
    let mut call = calls();
    call["match"] = of("Help.", 1);
    let mut script = vec![first, call, last];
    script.extend(turns.into_iter().map(|mut turn| {
        turn["match"] = of("Help.", 3);
        turn
    }));
    let world = World::of(&format!("tools=['bash', 'delegate(helper)']{more}"), |_| script.clone());
    let roles = world.bench.repo().join(".plue/roles");
    std::fs::create_dir_all(&roles).unwrap();
    std::fs::write(roles.join("helper.md"), "---\nname: helper\ntools: [bash]\n---\n\nx\n")
        .unwrap();
    world
}

/// Everything that must hold after a run of [`with_helper`] with so many requests.
async fn helper_holds(world: &World, requests: u64) {
    assert_eq!(world.bench.lines("ran"), 1, "no call is repeated");
    let (run, attempt) = world.attempt().await.unwrap();
    assert_eq!(world.bench.status(&run).await, RunStatus::Success, "{:?}", attempt.outcome);
    world.bench.nothing_is_left().await;
    while world.claude.state()["requests"].as_u64() < Some(requests) {
        Clock::real().sleep(LOOK).await;
    }
    assert_eq!(world.claude.state()["violations"], json!([]));
    assert_eq!(world.claude.state()["requests"], requests);
    let below = world.facts_below().await;
    for facts in [world.facts().await, below] {
        let counts = ["started", "answered", "result", "ended"].map(|kind| count(&facts, kind));
        assert_eq!(counts, [1, 2, 1, 1], "{facts:#?}");
    }
    let spend = world.spend().await;
    assert_eq!((spend.calls, spend.input_tokens), (requests, 4 * INPUT));
    let store = world.store().await.unwrap();
    for scope in [format!("run {run}"), format!("step {run} ask")] {
        assert_eq!(store.claude().spent(&scope).await.unwrap().total(), spend.cost, "{scope}");
    }
    let slice = format!("agent {}", attempt.claim.attempt.agent(1));
    let slice = store.claude().spent(&slice).await.unwrap().total();
    assert!(slice > 0 && slice < spend.cost, "{slice} of {}", spend.cost);
}

fn helped() -> Json {
    let mut turn = answer("Helped.");
    turn["expect"] = json!([{ "path": "messages.-1.content.0", "matches": "after" }]);
    turn
}

#[tokio::test]
async fn engines_killed_in_subagent_tools_take_their_result() {
    let world = with_helper(vec![helped()]);
    let mut engine = world.start(&["run"]);
    world.bench.appears("up").await;
    kill(&mut engine);
    world.bench.touch("go");
    world.plue(&["resume"]).ends(0);
    helper_holds(&world, 4).await;
}

#[tokio::test]
async fn engines_killed_in_subagent_turns_ask_again() {
    let half = json!({
        "text": "half\n".repeat(100), "chunk": 50,
        "cut": { "after_deltas": 5, "how": "hang" }, "hang_ms": 600_000,
    });
    let world = with_helper(vec![half, helped()]);
    let mut engine = world.start(&["run"]);
    world.bench.appears("up").await;
    world.bench.touch("go");
    world.shows("[helper 1] half").await;
    kill(&mut engine);
    world.plue(&["resume"]).ends(0);
    helper_holds(&world, 5).await;
}

#[tokio::test]
async fn engines_killed_while_calls_below_wait_call_once() {
    let world = with_careful_helper(", approve=['bash']", vec![helped()]);
    let mut engine = world.start(&["run"]);
    let call = "agent1:toolu_A";
    while !world.bench.plue(&["approvals"]).stdout.contains(call) {
        Clock::real().sleep(LOOK).await;
    }
    kill(&mut engine);
    // The decision is a row that the next engine takes.
    world.bench.plue(&["approve", "last", "ask", "--call", call]).ends(0);
    assert_eq!(world.bench.lines("ran"), 0);
    let mut engine = world.start(&["resume"]);
    world.bench.appears("up").await;
    kill(&mut engine);
    world.bench.touch("go");
    world.plue(&["resume"]).ends(0);
    let facts = world.facts_below().await;
    assert_eq!(["held", "decided"].map(|kind| count(&facts, kind)), [1, 1], "{facts:#?}");
    helper_holds(&world, 4).await;
}

#[tokio::test]
async fn started_runs_of_lost_runners_are_cancelled() {
    let mut start = calls();
    start["tool_calls"] = json!([{ "name": "workflow_slow", "input": {}, "id": "toolu_A" }]);
    let retry = "retry=Retry(max_attempts=5, delay='0s', on=['infra'])";
    let options = format!("tools=['workflow(slow)'], {retry}");
    let world = World::of(&options, |_| vec![start.clone(), ends_after("lost")]);
    // Its runner dies as well, and its step begins again.
    let slow = format!(
        "def workflow():\n    return Plan(name='slow', steps=[Step.bash('wait', 'touch up; sleep 600', {retry})])\n"
    );
    std::fs::write(world.bench.repo().join("slow.plue.py"), slow).unwrap();
    let mut engine = world.start(&["run", "Ask"]);
    world.bench.appears("up").await;
    world.bench.kill_runners().await;
    assert!(engine.wait().unwrap().success());
    let store = world.store().await.unwrap();
    let runs = store.runs().list(&RunFilter::default()).await.unwrap();
    let status = |name: &str| runs.iter().find(|run| run.workflow == name).unwrap().view.status;
    assert_eq!((status("Ask"), status("slow")), (RunStatus::Success, RunStatus::Cancelled));
    assert_eq!(world.claude.state()["violations"], json!([]));
}
