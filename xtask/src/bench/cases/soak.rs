//! A server under attack: three honest repositories push every second while four attackers send what
//! their rights allow; then the server is killed, started again, and attacked again.
//!
//! Fails if an honest push has no run, if a run of one does not end well, or if the server stops
//! answering. Figures: push to run started, `/healthz`, resident memory of the engine, bytes on disk.

mod bombs;
mod forge;
mod honest;
mod network;
mod stand;
mod watch;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::ensure;

use self::{honest::Pushed, stand::Stand, watch::Watched};
use crate::bench::{
    line::Line,
    machine::{Machine, mark, pause},
};

/// Time in which the runs of the last honest pushes end after an attack.
const GRACE: Duration = Duration::from_secs(120);

/// Set once the attack is over; every loop of the soak looks at it.
#[derive(Debug, Default)]
struct Over(AtomicBool);

// === impl Over ===

impl Over {
    fn is_so(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn declare(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One attack on a fresh server, and one after `kill -9`.
pub(crate) fn measure(machine: &Machine) -> anyhow::Result<Vec<Line>> {
    network::raise_descriptor_limit();
    let mut stand = Stand::start(machine)?;
    let mut lines = attack(machine, &stand, "first")?;
    stand.kill()?;
    stand.serve(machine)?;
    lines.extend(attack(machine, &stand, "after kill")?);
    Ok(lines)
}

fn attack(machine: &Machine, stand: &Stand, phase: &str) -> anyhow::Result<Vec<Line>> {
    let over = Over::default();
    let (pushed, watched) = thread::scope(|scope| {
        let honest: Vec<_> = stand
            .honest
            .iter()
            .map(|repo| scope.spawn(|| honest::push_every_second(repo, &over)))
            .collect();
        let watch = scope.spawn(|| watch::watch(stand, &over));
        let attackers = [
            scope.spawn(|| forge::open_merge_requests(stand, &over)),
            scope.spawn(|| forge::flood_comments(stand, &over)),
            scope.spawn(|| forge::wake_hanging_forge(stand, &over)),
            scope.spawn(|| network::hold_connections(&stand.address, &over)),
            scope.spawn(|| network::drip_bodies(stand, &over)),
        ];
        let started = mark();
        while started.elapsed() < machine.duration {
            pause(Duration::from_millis(200));
        }
        over.declare();
        let panicked = |_| anyhow::anyhow!("a thread of the soak panicked");
        let mut pushed = Vec::new();
        for repo in honest {
            pushed.push(repo.join().map_err(panicked)??);
        }
        for attacker in attackers {
            let sent = attacker.join().map_err(panicked)??;
            ensure!(sent > 0, "an attacker of the soak sent nothing");
        }
        anyhow::Ok((pushed, watch.join().map_err(panicked)?))
    })?;
    let waits = honest::waits(stand, &pushed, GRACE)?;
    report(machine, phase, (&pushed, waits), watched)
}

fn report(
    machine: &Machine,
    phase: &str,
    (pushed, waits): (&[Vec<Pushed>], Vec<f64>),
    watched: Watched,
) -> anyhow::Result<Vec<Line>> {
    let asked: usize = pushed.iter().map(Vec::len).sum();
    ensure!(waits.len() == asked, "{} of {asked} honest pushes have a run", waits.len());
    ensure!(
        watched.silent == 0,
        "/healthz did not answer {} of {} times",
        watched.silent,
        watched.silent + watched.health_ms.len()
    );
    let line = |what: &str, unit: &str, samples| {
        Line::new("soak", &format!("{what}, {phase}"), unit, samples, machine.load())
    };
    Ok(vec![
        line("push to run started", "ms", waits),
        line("/healthz", "ms", watched.health_ms),
        line("engine resident", "MiB", watched.resident_mib),
        line("state directory", "MiB", watched.disk_mib),
    ])
}
