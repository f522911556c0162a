//! Ten thousand clients that follow a run in which nothing happens: what they cost, and what others
//! notice of them.

use std::{fs, time::Duration};

use anyhow::{Context as _, ensure};
use serde_json::{Value as Json, json};

use super::serve::{Link, Serving, view};
use crate::bench::{
    line::Line,
    machine::{Machine, mark, memory_mib, millis, pause, raise_descriptor_limit},
};

/// Sleeps, then prints the time forty times.
const SOURCE: &str = r#"
def workflow(ctx):
    script = "sleep " + ctx.inputs["first"] + "; for i in $(seq 40); do date +%s.%N; sleep 0.1; done"
    return Plan("ticks", triggers=[Trigger.on_manual()], steps=[Step.bash("one", script)],
                inputs={"first": Input(type="string", default="2")})
"#;
/// Connections, and of each token: a server refuses a token more than 2,000.
const CLIENTS: usize = 10_000;
const OF_ONE: usize = 1_000;
/// Descriptors of this process for other things.
const OTHERS: u64 = 100;
/// Duration over which the processor time of the idle server is measured.
const WATCHED: Duration = Duration::from_secs(20);
const REQUESTS: usize = 300;

pub(crate) fn measure(machine: &Machine) -> anyhow::Result<Vec<Line>> {
    let clients = CLIENTS.min(usize::try_from(raise_descriptor_limit().saturating_sub(OTHERS))?);
    let serving = Serving::start(machine, SOURCE)?;
    let pid = serving.child.id();
    let idle = submit(&serving, "600")?;
    attempt(&serving, &idle)?;
    let before = memory_mib(pid, "VmRSS").context("the server is gone")?;
    let (mut links, mut opened) = (Vec::with_capacity(clients), Vec::with_capacity(clients));
    let mut head = String::new();
    for n in 0..clients {
        if n % OF_ONE == 0 {
            let name = format!("idle-{n}");
            let made = machine.plue(&["token", "create", "--name", &name, "--role", "reader"])?;
            head = format!("authorization: Bearer {}\r\n", String::from_utf8(made.stdout)?.trim());
        }
        let start = mark();
        let mut link = serving.connect()?;
        link.send("GET", &format!("/api/v1/runs/{idle}/events"), &head, "")?;
        link.until("attempt_started")?;
        opened.push(millis(start));
        links.push(link);
    }
    let after = memory_mib(pid, "VmRSS").context("the server is gone")?;
    let busy = processor_seconds(pid)?;
    pause(WATCHED);
    let busy = (processor_seconds(pid)? - busy) / WATCHED.as_secs_f64() * 100.0;
    let asked = ask(&serving, &idle)?;
    let followed = submit(&serving, "2")?;
    let followed = attempt(&serving, &followed)?;
    let lines = view(&serving, &followed)?;
    let delays = stop(&serving, &idle, &mut links)?;
    let config = |what: &str| format!("{clients} idle streams, {what}");
    let line = |what: &str, unit: &str, samples| {
        Line::new("sse_idle", &config(what), unit, samples, machine.load())
    };
    let each = (after - before) * 1024.0 / clients as f64;
    Ok(vec![
        line("memory of each", "KiB", vec![each]).resident(after),
        line("processor while idle", "%", vec![busy]),
        line("until a stream is open", "ms", opened),
        line("a request meanwhile", "ms", asked),
        line("a followed line meanwhile", "ms", lines),
        line("one end sent to all", "ms", delays),
    ])
}

fn submit(serving: &Serving, first: &str) -> anyhow::Result<String> {
    let body = json!({"repository": "bench/app", "workflow": "ticks", "inputs": {"first": first}});
    let mut link = serving.connect()?;
    link.send("POST", "/api/v1/runs", &serving.headers(), &body.to_string())?;
    let (status, answer) = link.answer()?;
    let answer: Json = serde_json::from_str(&answer)?;
    Ok(answer["id"].as_str().with_context(|| format!("{status} {answer}"))?.to_owned())
}

/// The log of the first attempt of a run, once it runs.
fn attempt(serving: &Serving, run: &str) -> anyhow::Result<String> {
    let path = format!("/api/v1/runs/{run}/attempts");
    loop {
        let attempts = serving.get(&path)?;
        if let (Some(id), Some("running")) =
            (attempts[0]["id"].as_str(), attempts[0]["status"].as_str())
        {
            return Ok(format!("{path}/{id}/log/events"));
        }
        pause(Duration::from_millis(20));
    }
}

/// Time of a small request, in ms.
fn ask(serving: &Serving, run: &str) -> anyhow::Result<Vec<f64>> {
    let mut link = serving.connect()?;
    let mut samples = Vec::new();
    for _ in 0..REQUESTS {
        let start = mark();
        link.send("GET", &format!("/api/v1/runs/{run}"), &serving.headers(), "")?;
        let (status, answer) = link.answer()?;
        ensure!(status == 200, "{status} {answer}");
        samples.push(millis(start));
        pause(Duration::from_millis(12));
    }
    Ok(samples)
}

/// Stops the run, and waits until each client has received it.
fn stop(serving: &Serving, run: &str, links: &mut [Link]) -> anyhow::Result<Vec<f64>> {
    let mut link = serving.connect()?;
    let start = mark();
    link.send(
        "POST",
        &format!("/api/v1/runs/{run}/cancel"),
        &serving.headers(),
        "{\"kill\":true}",
    )?;
    let (status, answer) = link.answer()?;
    ensure!(status == 200, "{status} {answer}");
    let mut samples = Vec::with_capacity(links.len());
    for link in links {
        link.until("event: end")?;
        samples.push(millis(start));
    }
    Ok(samples)
}

/// Processor time of a process so far, in seconds.
pub(super) fn processor_seconds(pid: u32) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // Behind the name, which may hold anything: the state is the first, user and system time the 12th
    // and 13th, in hundredths of a second.
    let behind = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<f64> =
        behind.split_whitespace().skip(11).take(2).filter_map(|one| one.parse().ok()).collect();
    Ok(fields.iter().sum::<f64>() / 100.0)
}
