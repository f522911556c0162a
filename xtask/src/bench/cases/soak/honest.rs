//! People who only work: a push every second, and what each of them waits for.

use std::{collections::HashMap, fs, time::Duration};

use anyhow::bail;
use serde_json::Value as Json;

use super::{
    Over,
    stand::{Clone, Stand},
};
use crate::bench::machine::{mark, micros, millis, pause, wall_seconds};

const SECONDS_A_DAY: f64 = 86_400.0;
/// Runs of a page of the API.
const PAGE: usize = 100;

/// A push of an honest author.
#[derive(Debug)]
pub(super) struct Pushed {
    sha: String,
    /// Start of the push, in seconds since 1970.
    at: f64,
}

/// Pushes a commit every second until the attack is over.
pub(super) fn push_every_second(clone: &Clone, over: &Over) -> anyhow::Result<Vec<Pushed>> {
    let (started, mut pushed) = (mark(), Vec::new());
    while !over.is_so() {
        let early = pushed.len() as f64 * 1e3 - millis(started);
        if early > 0.0 {
            pause(Duration::from_secs_f64(early / 1e3));
        }
        fs::write(clone.folder.join("work.txt"), pushed.len().to_string())?;
        let sha = clone.commit("work")?;
        let at = wall_seconds();
        clone.git(&["push", "-q", "origin", "HEAD:main"])?;
        pushed.push(Pushed { sha, at });
    }
    Ok(pushed)
}

/// Milliseconds from each push to the start of its run, once all of them have ended well.
pub(super) fn waits(
    stand: &Stand,
    pushed: &[Vec<Pushed>],
    grace: Duration,
) -> anyhow::Result<Vec<f64>> {
    let mut waits = Vec::new();
    for (clone, pushed) in stand.honest.iter().zip(pushed) {
        let started = mark();
        let runs = loop {
            let runs = runs_of(stand, &clone.name, pushed)?;
            let open = pushed.iter().filter(|one| !is_over(runs.get(&one.sha))).count();
            if open == 0 {
                break runs;
            }
            if started.elapsed() > grace {
                bail!("{open} of {} pushes to {} have no ended run", pushed.len(), clone.name);
            }
            pause(Duration::from_millis(500));
        };
        for one in pushed {
            let Some(run) = runs.get(&one.sha) else { continue };
            if run["status"] != "success" {
                bail!("a run of {} ended as {}: {}", clone.name, run["status"], run["reason"]);
            }
            if let Some(started) = micros(&run["started_at"]) {
                waits.push(started / 1e3 - one.at % SECONDS_A_DAY * 1e3);
            }
        }
    }
    Ok(waits)
}

fn is_over(run: Option<&Json>) -> bool {
    run.is_some_and(|run| !run["ended_at"].is_null())
}

/// The newest runs of a repository by commit, as many pages as pushes need.
fn runs_of(stand: &Stand, repo: &str, pushed: &[Pushed]) -> anyhow::Result<HashMap<String, Json>> {
    let (mut runs, mut cursor) = (HashMap::new(), String::new());
    let name = repo.replace('/', "%2F");
    for _ in 0..=pushed.len() / PAGE + 1 {
        let path = format!("/api/v1/runs?repository={name}&limit={PAGE}{cursor}");
        let page = stand.get(&path)?;
        for run in page["items"].as_array().into_iter().flatten() {
            if let Some(sha) = run["sha"].as_str() {
                runs.insert(sha.to_owned(), run.clone());
            }
        }
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    Ok(runs)
}
