//! `[claude]`: how Claude steps are performed. The key is never here: it is in the environment.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Section `[claude]`: model, prices and budgets of Claude steps.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaudeConfig {
    /// The model of steps that name none; absent: plue's default.
    pub model: Option<String>,
    /// A file of prices that extends the list which comes with plue.
    pub prices: Option<PathBuf>,
    /// Hosts that the tool `fetch` of steps may reach where it names none itself.
    #[serde(default)]
    pub fetch_hosts: Vec<String>,
    /// Dollars that one repository may spend in a day (UTC); absent: no limit.
    pub budget_day: Option<f64>,
    /// Dollars that one repository may spend in a month (UTC); absent: no limit.
    pub budget_month: Option<f64>,
    /// Dollars that one workflow of a repository may spend in a day (UTC), with the child runs of its
    /// runs; absent: no limit.
    pub workflow_budget_day: Option<f64>,
    /// The same in a month (UTC).
    pub workflow_budget_month: Option<f64>,
    /// Dollars that all repositories of one owner may spend together in a day (UTC); absent: no limit.
    pub organisation_budget_day: Option<f64>,
    /// The same in a month (UTC).
    pub organisation_budget_month: Option<f64>,
}
