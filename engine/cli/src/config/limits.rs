//! `[limits]`: places and disk of a server, above all what runs of forks may have of them.

use std::time::Duration;

use plue_executor::disk::{LowWater, MIN_FREE_BYTES, MIN_FREE_PERCENT};
use plue_flow::quotas::Quotas;
use plue_plan::DurationText;
use plue_pool::RunLimits;
use serde::{Deserialize, Serialize};

/// Section `[limits]`: concurrency, time and bytes of runs, and free disk space.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsConfig {
    /// Runs of forks at the same time; absent: 4, at most half of all places.
    pub untrusted_runs: Option<usize>,
    /// Of one pull request; absent: 2, at most half of all places.
    pub untrusted_runs_per_pull_request: Option<usize>,
    /// The longest run of a fork, and step of one.
    pub untrusted_timeout: DurationText,
    /// Retention of ended runs of forks, if it is shorter than `retention`.
    pub untrusted_retention: DurationText,
    /// Bytes of one run at most: log, kept content and workspace together.
    pub run_bytes: u64,
    /// The same for a run of a fork.
    pub untrusted_run_bytes: u64,
    /// With less free bytes on its disk a server starts no runs of forks.
    pub min_free_bytes: u64,
    /// With a smaller share free likewise; from 0 to 99.
    pub min_free_percent: u64,
}

// === impl LimitsConfig ===

impl LimitsConfig {
    /// Defaults where no configuration layer sets a value.
    pub(super) fn built_in() -> Self {
        let bytes = RunLimits::default();
        Self {
            untrusted_runs: None,
            untrusted_runs_per_pull_request: None,
            untrusted_timeout: DurationText::new("1h"),
            untrusted_retention: DurationText::new("14d"),
            run_bytes: bytes.own,
            untrusted_run_bytes: bytes.untrusted,
            min_free_bytes: MIN_FREE_BYTES,
            min_free_percent: MIN_FREE_PERCENT,
        }
    }

    /// Values that can be used.
    pub(super) fn check(&self) -> Result<(), String> {
        let runs = [
            ("untrusted_runs", self.untrusted_runs),
            ("untrusted_runs_per_pull_request", self.untrusted_runs_per_pull_request),
        ];
        if let Some((name, _)) = runs.iter().find(|(_, runs)| *runs == Some(0)) {
            return Err(format!("limits.{name} is 0, expected 1 or more"));
        }
        if self.min_free_percent > 99 {
            let percent = self.min_free_percent;
            return Err(format!("limits.min_free_percent is {percent}, expected 0 to 99"));
        }
        Ok(())
    }

    /// Limits of concurrent runs on a server with `max_runs` places.
    pub fn quotas(&self, max_runs: usize, per_repo: Option<usize>) -> Quotas {
        let usual = Quotas::of(max_runs);
        Quotas {
            max_runs,
            per_repo: per_repo.map_or(usual.per_repo, |most| most.max(1)),
            per_pull_request: self
                .untrusted_runs_per_pull_request
                .unwrap_or(usual.per_pull_request),
            untrusted: self.untrusted_runs.unwrap_or(usual.untrusted),
        }
    }

    /// From which disk on runs of forks wait.
    pub fn low_water(&self) -> LowWater {
        LowWater { min_free_bytes: self.min_free_bytes, min_free_percent: self.min_free_percent }
    }

    /// The bytes that one run may have.
    pub fn run_limits(&self) -> RunLimits {
        RunLimits { own: self.run_bytes, untrusted: self.untrusted_run_bytes }
    }

    /// The longest run of a fork; its text was checked when it was read.
    pub fn untrusted_timeout(&self) -> Duration {
        self.untrusted_timeout.parse().unwrap_or(plue_executor::MAX_UNTRUSTED)
    }
}
