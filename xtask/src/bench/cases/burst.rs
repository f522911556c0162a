//! Many runs asked of one server at the same time, over HTTP and with default options: each of them ends
//! well. Figures: the answer to a submission, and runs per second from the first one to the last end.

use std::thread;

use anyhow::{Context as _, ensure};

use super::serve::Serving;
use crate::bench::{
    line::Line,
    machine::{Database, Machine, mark, memory_mib, millis},
};

/// Clients that ask at the same time.
const CLIENTS: usize = 8;
const SOURCE: &str = r#"
def workflow():
    return Plan("one", triggers=[Trigger.on_manual()], steps=[Step.bash("one", "true")])
"#;

/// Runs of [`served`].
const SERVED: usize = 200;

/// A burst that is small enough for every bench.
pub(crate) fn served(machine: &Machine) -> anyhow::Result<Vec<Line>> {
    bursts(machine, "served", SERVED)
}

/// On SQLite, and on the server if one was named.
pub(crate) fn measure(machine: &Machine) -> anyhow::Result<Vec<Line>> {
    bursts(machine, "burst", machine.runs)
}

fn bursts(machine: &Machine, case: &str, runs: usize) -> anyhow::Result<Vec<Line>> {
    let mut databases = vec![Database { name: "sqlite", url: None }];
    databases.extend(machine.server());
    machine.on_each(databases, |database| {
        let serving = Serving::start(machine, SOURCE)?;
        let start = mark();
        let samples = burst(&serving, runs)?;
        let rate = runs as f64 / (millis(start) / 1e3);
        let peak = memory_mib(serving.child.id(), "VmHWM").context("no memory of the server")?;
        let config = format!("{runs} runs, {CLIENTS} clients, {database}");
        let line = Line::new(case, &config, "ms", samples, machine.load());
        Ok(vec![line.per_second(rate).resident(peak)])
    })
}

/// Each client asks for its share first, and then follows each of its runs to the end.
fn burst(serving: &Serving, runs: usize) -> anyhow::Result<Vec<f64>> {
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|place| scope.spawn(move || client(serving, (place..runs).step_by(CLIENTS).len())))
            .collect();
        let mut samples = Vec::with_capacity(runs);
        for client in clients {
            let measured = client.join().map_err(|_| anyhow::anyhow!("a client panicked"))?;
            samples.extend(measured?);
        }
        ensure!(samples.len() == runs, "{} of {runs} runs were taken", samples.len());
        Ok(samples)
    })
}

fn client(serving: &Serving, share: usize) -> anyhow::Result<Vec<f64>> {
    let (mut samples, mut ids) = (Vec::with_capacity(share), Vec::with_capacity(share));
    for _ in 0..share {
        let start = mark();
        ids.push(serving.submit("one")?);
        samples.push(millis(start));
    }
    for id in ids {
        serving.follow(&id)?;
        let run = serving.get(&format!("/api/v1/runs/{id}"))?;
        ensure!(run["status"] == "success", "run {id} ended as {}", run["status"]);
    }
    Ok(samples)
}
