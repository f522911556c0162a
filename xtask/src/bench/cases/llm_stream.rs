//! Claude steps on a server: each token on its way from the model to a viewer, the pause between two turns,
//! 200 agents at once, memory over many turns.

mod model;

use std::{
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use anyhow::{Context as _, ensure};
use serde_json::{Value as Json, json};

use self::model::{Model, Talk};
use super::{serve::Serving, sse_idle::processor_seconds};
use crate::bench::{
    line::Line,
    machine::{Machine, mark, memory_mib, millis, wall_seconds},
};

/// Agents without tools, side by side; each request names its agent.
const SOURCE: &str = r#"
def workflow(ctx):
    agents = [Step.llm(f"ask{n}", prompt=f"agent-{n}.", max_turns=100)
              for n in range(int(ctx.inputs.get("n", 1)))]
    return Plan("agents", triggers=[Trigger.on_manual()], steps=agents, on_failure="continue",
                inputs={"n": Input(type="integer", default=1)})
"#;
/// Agents that stream at the same time.
const AGENTS: usize = 200;
/// Tokens of a watched answer, at 50 in a second.
const TOKENS: u32 = 100;
const PACE_MS: u64 = 20;
/// Turns of each agent of a wave that measures memory: with five rounds 10,000 turns.
const TURNS: u32 = 10;

/// Measurements of the viewers of one run.
struct Watched {
    latencies: Vec<f64>,
    /// Processor time of the engine in each second.
    cores: f64,
}

pub(crate) fn measure(machine: &Machine) -> anyhow::Result<Vec<Line>> {
    let model = Model::new()?;
    thread::scope(|scope| {
        scope.spawn(|| model.accept(scope));
        let lines = with_model(machine, &model);
        model.end();
        lines
    })
}

fn with_model(machine: &Machine, model: &Model) -> anyhow::Result<Vec<Line>> {
    let line = |config: &str, unit: &str, samples| {
        Line::new("llm_stream", config, unit, samples, machine.load())
    };
    let direct = direct(model)?;
    let url = model.url();
    let variables = [("ANTHROPIC_API_KEY", "bench"), ("ANTHROPIC_BASE_URL", url.as_str())];
    let serving = Serving::with_environment(machine, SOURCE, &variables)?;
    let pid = serving.child.id();
    let one = watch(&serving, model, 1)?;
    let many = watch(&serving, model, AGENTS)?;
    let streamed = memory_mib(pid, "VmHWM").context("the server is gone")?;
    let (mut memory, start) = (Vec::new(), mark());
    let mut overheads = Vec::new();
    for _ in 0..machine.rounds {
        model.say(Talk { tokens: 2, pace_ms: 0, turns: TURNS });
        model.open();
        let run = submit(&serving, AGENTS)?;
        let mut link = serving.connect()?;
        link.send("GET", &format!("/api/v1/runs/{run}/events"), &serving.headers(), "")?;
        link.until("event: end")?;
        ensure!(
            serving.get(&format!("/api/v1/runs/{run}"))?["status"] == "success",
            "{run} failed"
        );
        overheads.extend(model.overheads());
        memory.push(memory_mib(pid, "VmRSS").context("the server is gone")?);
    }
    let turns = f64::from(machine.rounds * TURNS) * AGENTS as f64;
    let rate = turns / (millis(start) / 1e3);
    let peak = memory_mib(pid, "VmHWM").context("the server is gone")?;
    let of_many = format!("{AGENTS} agents");
    Ok(vec![
        line("direct, per token", "ms", direct),
        line("1 agent, model to viewer, per token", "ms", one.latencies),
        line(&format!("{of_many}, model to viewer, per token"), "ms", many.latencies)
            .resident(streamed),
        line(&format!("{of_many}, processor of the engine"), "cores", vec![many.cores]),
        line(&format!("{of_many}, answer stored and the next asked for"), "ms", overheads)
            .per_second(rate),
        line(&format!("{of_many}, memory after each {TURNS} turns"), "MiB", memory).resident(peak),
    ])
}

/// Follows the logs of agents that are all in mid-answer when the first token is sent.
fn watch(serving: &Serving, model: &Model, agents: usize) -> anyhow::Result<Watched> {
    model.say(Talk { tokens: TOKENS, pace_ms: PACE_MS, turns: 1 });
    let run = submit(serving, agents)?;
    model.until_asked(agents);
    let (all_here, is_lost) = (Barrier::new(agents + 1), AtomicBool::new(false));
    thread::scope(|scope| {
        let viewers: Vec<_> = (0..agents)
            .map(|agent| {
                let path = format!("/api/v1/runs/{run}/attempts/{run}:ask{agent}:1:1/log/events");
                let (all_here, is_lost) = (&all_here, &is_lost);
                scope.spawn(move || view(serving, &path, all_here, is_lost))
            })
            .collect();
        all_here.wait();
        let (pid, start) = (serving.child.id(), mark());
        let before = processor_seconds(pid)?;
        model.open();
        let mut latencies = Vec::new();
        for viewer in viewers {
            let seen = viewer.join().map_err(|_| anyhow::anyhow!("a viewer panicked"))?;
            latencies.extend(seen?);
        }
        ensure!(!is_lost.load(Ordering::Relaxed), "a viewer was refused");
        let cores = (processor_seconds(pid)? - before) / (millis(start) / 1e3);
        let wanted = agents * TOKENS as usize;
        ensure!(latencies.len() == wanted, "{} of {wanted} tokens were seen", latencies.len());
        Ok(Watched { latencies, cores })
    })
}

/// Reads one log; for each token the time since the model sent it, in ms.
fn view(
    serving: &Serving,
    path: &str,
    all_here: &Barrier,
    is_lost: &AtomicBool,
) -> anyhow::Result<Vec<f64>> {
    let attach = || {
        let mut link = serving.connect()?;
        link.send("GET", path, &serving.headers(), "")?;
        link.until("200 OK")?;
        anyhow::Ok(link)
    };
    let link = attach();
    is_lost.fetch_or(link.is_err(), Ordering::Relaxed);
    // Also if it is lost: the others wait for all.
    all_here.wait();
    let mut link = link?;
    let mut samples = Vec::new();
    loop {
        let line = link.line()?;
        let now = wall_seconds();
        if line.starts_with("event: end") {
            return Ok(samples);
        }
        let Some(data) = line.strip_prefix("data:") else { continue };
        let piece: Json = serde_json::from_str(data.trim())?;
        samples.extend(latencies(piece["text"].as_str().unwrap_or_default(), now));
    }
}

/// The age of each token of a text, in ms.
fn latencies(text: &str, now: f64) -> impl Iterator<Item = f64> {
    text.lines().filter_map(move |line| Some((now - line.parse::<f64>().ok()?) * 1e3))
}

/// The same without plue: what threads and sockets take.
fn direct(model: &Model) -> anyhow::Result<Vec<f64>> {
    model.say(Talk { tokens: TOKENS, pace_ms: PACE_MS, turns: 1 });
    model.open();
    let mut link = model.connect()?;
    link.send("POST", "/v1/messages", "", "{}")?;
    let mut samples = Vec::new();
    loop {
        let line = link.line()?;
        let now = wall_seconds();
        if line.starts_with("event: message_stop") {
            return Ok(samples);
        }
        let Some(data) = line.strip_prefix("data: ") else { continue };
        let event: Json = serde_json::from_str(data.trim())?;
        samples.extend(latencies(event["delta"]["text"].as_str().unwrap_or_default(), now));
    }
}

fn submit(serving: &Serving, agents: usize) -> anyhow::Result<String> {
    let body = json!({"repository": "bench/app", "workflow": "agents", "inputs": {"n": agents}});
    let mut link = serving.connect()?;
    link.send("POST", "/api/v1/runs", &serving.headers(), &body.to_string())?;
    let (status, answer) = link.answer()?;
    let answer: Json = serde_json::from_str(&answer)?;
    Ok(answer["id"].as_str().with_context(|| format!("{status} {answer}"))?.to_owned())
}
