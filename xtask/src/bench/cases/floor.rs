//! The least that a step costs on this machine: a process, a fork, a commit.
//!
//! The fork and the commit are made by Python: its own share is some microseconds, and xtask has no
//! SQLite. Must not be read as what plue could reach.

use std::process::Command;

use anyhow::{Context as _, bail};

use crate::bench::{
    line::Line,
    machine::{Machine, timed},
};

const COUNT: u32 = 200;

const FORK: &str = "
import os, time
for _ in range(200):
    start = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    print((time.perf_counter() - start) * 1e3)
";

const COMMIT: &str = "
import sqlite3, sys, time
db = sqlite3.connect('floor.db', isolation_level=None)
db.execute('pragma journal_mode=wal').fetchall()
db.execute('pragma synchronous=' + sys.argv[1])
db.execute('create table if not exists t (id integer primary key, x text)')
for _ in range(1000):
    start = time.perf_counter()
    db.execute('insert into t (x) values (?)', ('x' * 200,))
    print((time.perf_counter() - start) * 1e3)
";

pub(crate) fn measure(machine: &Machine) -> anyhow::Result<Vec<Line>> {
    let mut spawn = Vec::new();
    for _ in 0..COUNT {
        let (took, status) = timed(|| Command::new("bash").args(["-c", "true"]).status());
        status.context("start bash")?;
        spawn.push(took);
    }
    let line = |config: &str, samples| Line::new("floor", config, "ms", samples, machine.load());
    Ok(vec![
        line("spawn bash -c true and wait", spawn),
        line("fork, exit, wait (python3)", python(machine, FORK, "")?),
        line("sqlite commit, normal (python3)", python(machine, COMMIT, "normal")?),
        line("sqlite commit, full (python3)", python(machine, COMMIT, "full")?),
    ])
}

/// The numbers that a script prints.
fn python(machine: &Machine, script: &str, argument: &str) -> anyhow::Result<Vec<f64>> {
    let mut command = Command::new("python3");
    let output = command.args(["-c", script, argument]).current_dir(machine.scratch()).output()?;
    if !output.status.success() {
        bail!("python3: {}", String::from_utf8_lossy(&output.stderr));
    }
    let numbers = String::from_utf8(output.stdout)?;
    numbers.lines().map(|line| Ok(line.parse::<f64>()?)).collect()
}
