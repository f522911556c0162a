//! Claude steps on a server: each token on its way from the model to a viewer and into the database, the pause
//! between two turns, 200 agents at once, memory over many turns.

mod model;

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Stdio},
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
/// Logs that another process follows: it sees what is stored.
const STORED: usize = 2;
/// Tokens that are not measured in the database: the other process may begin late.
const LATE: usize = 50;
/// Turns of each agent of a wave that measures memory: 1,000 turns, two waves for each round.
const TURNS: u32 = 5;
const WAVES: u32 = 2;

/// Measurements of the viewers of one run.
struct Watched {
    latencies: Vec<f64>,
    /// Until another process shows a token that it read in the database.
    stored: Vec<f64>,
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
    let one = watch((machine, &serving), model, 1)?;
    let many = watch((machine, &serving), model, AGENTS)?;
    let streamed = memory_mib(pid, "VmHWM").context("the server is gone")?;
    let (mut memory, start) = (Vec::new(), mark());
    let mut overheads = Vec::new();
    let waves = machine.rounds * WAVES;
    for _ in 0..waves {
        model.script(Talk { tokens: 2, pace_ms: 0, turns: TURNS });
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
    let turns = f64::from(waves * TURNS) * AGENTS as f64;
    let rate = turns / (millis(start) / 1e3);
    let peak = memory_mib(pid, "VmHWM").context("the server is gone")?;
    let of_many = format!("{AGENTS} agents");
    Ok(vec![
        line("direct, per token", "ms", direct),
        line("1 agent, model to viewer, per token", "ms", one.latencies),
        line("1 agent, model to database to another process", "ms", one.stored),
        line(&format!("{of_many}, model to viewer, per token"), "ms", many.latencies)
            .resident(streamed),
        line(&format!("{of_many}, model to database to another process"), "ms", many.stored),
        line(&format!("{of_many}, processor of the engine"), "cores", vec![many.cores]),
        line(&format!("{of_many}, answer stored and the next asked for"), "ms", overheads)
            .per_second(rate),
        line("memory after 1,000 turns", "MiB", memory.first().copied().into_iter().collect()),
        line(&format!("memory after {turns} turns"), "MiB", memory).resident(peak),
    ])
}

/// Follows the logs of agents that are all in mid-answer when the first token is sent.
fn watch(
    (machine, serving): (&Machine, &Serving),
    model: &Model,
    agents: usize,
) -> anyhow::Result<Watched> {
    model.script(Talk { tokens: TOKENS, pace_ms: PACE_MS, turns: 1 });
    let run = submit(serving, agents)?;
    model.until_asked(agents);
    let readers = (0..agents.min(STORED)).map(|agent| {
        let mut command = machine.command(&["logs", &run, &format!("ask{agent}"), "--follow"]);
        command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()
    });
    let readers: Vec<Child> = readers.collect::<Result<_, _>>()?;
    let (all_here, is_lost) = (Barrier::new(agents + 1), AtomicBool::new(false));
    thread::scope(|scope| {
        let readers: Vec<_> =
            readers.into_iter().map(|reader| scope.spawn(move || read(reader))).collect();
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
        let mut stored = Vec::new();
        for reader in readers {
            let seen = reader.join().map_err(|_| anyhow::anyhow!("a reader panicked"))?;
            stored.extend(seen?);
        }
        Ok(Watched { latencies, stored, cores })
    })
}

/// Reads a log as another process shows it; for each token the time since the model sent it, in ms.
fn read(mut reader: Child) -> anyhow::Result<Vec<f64>> {
    let stdout = reader.stdout.take().context("no standard output")?;
    let mut samples = Vec::new();
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        samples.extend(latencies(&line, wall_seconds()));
    }
    ensure!(reader.wait()?.success(), "a reader failed");
    Ok(samples.split_off(LATE.min(samples.len())))
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
    model.script(Talk { tokens: TOKENS, pace_ms: PACE_MS, turns: 1 });
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
