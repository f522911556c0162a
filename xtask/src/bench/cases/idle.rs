//! Resident memory while a step sleeps: the engine, its runner, evaluators that are still there.

use std::{fs, time::Duration};

use anyhow::bail;

use crate::bench::{
    line::Line,
    machine::{Machine, mark, memory_mib, millis, pause},
};

const SOURCE: &str = r#"
def workflow():
    return Plan("idle", steps=[Step.bash("sleep", "echo here; exec sleep 60")])
"#;

pub(crate) fn measure(machine: &Machine) -> anyhow::Result<Vec<Line>> {
    machine.workflow(SOURCE)?;
    let mut engine = machine.start(&["run", "--quiet"])?;
    let start = mark();
    // Until the runner has started the step, and a second more, so that what was only for the start
    // is gone.
    while offspring(engine.id()).iter().all(|(_, name)| name != "sleep") {
        if millis(start) > 20_000.0 {
            engine.kill()?;
            bail!("the step did not start");
        }
        pause(Duration::from_millis(10));
    }
    pause(Duration::from_secs(1));
    let mut lines = Vec::new();
    let family = offspring(engine.id());
    let mut report = |name: &str, pid: u32| {
        if let Some(mib) = memory_mib(pid, "VmRSS") {
            let line = Line::new("idle", name, "MiB", vec![mib], machine.load());
            lines.push(line.resident(mib));
        }
    };
    report("plue run, waiting", engine.id());
    for (pid, name) in family.iter().filter(|(_, name)| name.starts_with("plue")) {
        report(&format!("{name}, waiting"), *pid);
    }
    machine.plue(&["cancel", "last", "--kill"])?;
    engine.wait()?;
    Ok(lines)
}

/// Every process below this one, with its name.
fn offspring(root: u32) -> Vec<(u32, String)> {
    let mut found: Vec<(u32, String)> = Vec::new();
    let mut open = vec![root];
    while let Some(parent) = open.pop() {
        let tasks = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
        for task in tasks {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            for pid in children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()) {
                let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                found.push((pid, name.trim().to_owned()));
                open.push(pid);
            }
        }
    }
    found
}
