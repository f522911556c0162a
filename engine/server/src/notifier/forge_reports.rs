//! Sends reports to forges: only the difference to the last report is sent.
//!
//! Several servers may share a database: a report is claimed before it is sent, and claims expire. Reports
//! are idempotent: after a crash the next server resends the same state.

use std::{collections::BTreeMap, time::Duration};

use plue_forge::{
    Client, CommitId, FeedbackError, Provider,
    feedback::{Check, CheckId, ClientOptions, CommentId, CommitStatus, Report, State, Thread},
};
use plue_runtime::Phase;
use plue_store::{ForgeReporterRow, ReportRow, SettledReport};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Notifier, report_content::ReportContent, standing::Standing};
use crate::error::Error;

/// Due reports read at once.
const BATCH: u32 = 256;
/// Pause between two rounds, so that log chunks of a run do not cause a round each.
const PACE: Duration = Duration::from_millis(500);
/// Time for all calls of one report. The next attempt continues after the calls that succeeded.
const SEND_WITHIN: Duration = Duration::from_secs(45);
/// Lifetime of a claim, longer than [`SEND_WITHIN`]: after a crash, no other server reports before its end.
const CLAIM: Duration = Duration::from_secs(60);
/// The first wait after a failure; doubled after each further one.
const BACKOFF: Duration = Duration::from_secs(5);
/// The longest wait after a failure.
const MAX_BACKOFF: Duration = Duration::from_secs(600);
/// Consecutive failures until a report is abandoned: some hours.
const MAX_FAILURES: u32 = 24;
/// Context of the summary status, for branch protection.
const REQUIRED: &str = "plue/required";
/// Key of the comment on a pull request.
const COMMENT_KEY: &str = "plans";

/// The last state that was reported for a commit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
struct StatusReport {
    /// The last report of each context.
    contexts: BTreeMap<String, ContextReport>,
    /// The comment, and the digest of its text.
    comment: Option<(u64, String)>,
    failures: u32,
    /// The error after which the report was abandoned.
    given_up: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct ContextReport {
    /// Fingerprint of the reported state.
    #[serde(rename = "said")]
    reported: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    check: Option<u64>,
}

/// The current state of a commit's plans.
struct CurrentState {
    standings: Vec<(String, Standing)>,
    /// The comment, if this is the newest report of a pull request.
    comment: Option<String>,
    is_final: bool,
}

// === impl Notifier ===

impl Notifier {
    /// Sends due reports until the server stops; the next server sends the remaining ones.
    pub(super) async fn report_to_forges(&self) {
        let process = &self.process;
        let beat = process.watchdog.watch("report to forges");
        let mut changes = self.store.changes();
        loop {
            changes.borrow_and_update();
            beat.outside("report to forges");
            if let Err(error) = self.report_once().await {
                tracing::warn!(%error, "failed to read due reports; retrying");
            }
            beat.idle();
            tokio::select! {
                () = process.stop.reached(Phase::Draining) => return,
                () = process.clock.sleep(PACE) => {}
            }
            if !process.wait_for_change(&mut changes).await {
                return;
            }
        }
    }

    /// Sends every due report; returns the number of those with changes.
    ///
    /// # Errors
    /// The database. Unreachable forges are retried later.
    async fn report_once(&self) -> Result<usize, Error> {
        let due = self.store.reports().due(self.process.clock.now(), BATCH).await?;
        let is_full = due.len() >= usize::try_from(BATCH).unwrap_or(usize::MAX);
        let mut count = 0;
        for row in due {
            count += usize::from(self.report(&row, is_full).await?);
        }
        Ok(count)
    }

    /// Sends one report. `makes_room`: others wait, so a report without changes is deferred.
    async fn report(&self, row: &ReportRow, makes_room: bool) -> Result<bool, Error> {
        let now = self.process.clock.now();
        let content: ReportContent =
            serde_json::from_value(row.content.clone()).unwrap_or_default();
        let mut reported: StatusReport =
            serde_json::from_value(row.told.clone()).unwrap_or_default();
        let current = self.current_state(row, &content).await?;
        let is_changed = reported.differs_from(&current);
        if !is_changed && !current.is_final {
            if makes_room {
                self.store.reports().claim(row, now + BACKOFF).await?;
            }
            return Ok(false);
        }
        if !self.store.reports().claim(row, now + CLAIM).await? {
            return Ok(false);
        }
        let outcome = match is_changed {
            true => tokio::select! {
                outcome = self.send_with_fresh_token(row, &current, &mut reported) => outcome,
                () = self.process.clock.sleep(SEND_WITHIN) => Err(SendError::Late),
            },
            false => Ok(true),
        };
        let now = self.process.clock.now();
        let (next_at, done) = match outcome {
            Ok(has_receiver) => {
                reported.failures = 0;
                (now, current.is_final || !has_receiver)
            }
            Err(error) => {
                reported.failures += 1;
                let wait = reported.wait(&error);
                let repo = row.key.repo.as_str();
                tracing::warn!(repo, sha = row.key.sha, %error, ?wait, "failed to report to the forge");
                if wait.is_none() {
                    reported.given_up = Some(error.to_string());
                }
                (now + wait.unwrap_or_default(), wait.is_none())
            }
        };
        let told = serde_json::to_value(&reported).unwrap_or_default();
        self.store.reports().settle(row, &SettledReport { told, next_at, done }).await?;
        Ok(is_changed)
    }

    /// Sends a report, again with a new token if the forge refuses that of its app.
    async fn send_with_fresh_token(
        &self,
        row: &ReportRow,
        current: &CurrentState,
        reported: &mut StatusReport,
    ) -> Result<bool, SendError> {
        let outcome = self.send(row, current, reported).await;
        let is_refused =
            matches!(&outcome, Err(SendError::Forge(FeedbackError::Refused { status: 401, .. })));
        match is_refused && self.credentials.forget_app_token(&row.key.repo) {
            true => self.send(row, current, reported).await,
            false => outcome,
        }
    }

    async fn current_state(
        &self,
        row: &ReportRow,
        content: &ReportContent,
    ) -> Result<CurrentState, Error> {
        let mut standings = Vec::new();
        for entry in &content.plans {
            let public = self.public_url.as_deref();
            let standing = Standing::read(&self.store, entry, public).await?;
            standings.push((context(&entry.name, content.is_pull_request), standing));
        }
        let is_final = standings.iter().all(|(_, standing)| standing.is_final);
        let mut comment = None;
        if row.key.pull_request > 0 {
            let newest = self.store.reports().newest(&row.key.repo, row.key.pull_request).await?;
            if newest.is_some_and(|newest| newest.key == row.key) {
                let report = Report {
                    commit: row.key.sha.clone(),
                    plans: standings.iter().map(|(_, one)| one.report.clone()).collect(),
                    notices: content.notices.clone(),
                };
                comment = Some(report.markdown());
            }
        }
        Ok(CurrentState { standings, comment, is_final })
    }

    /// Sends the changes; `false`: the repository has no forge reporter any more.
    async fn send(
        &self,
        row: &ReportRow,
        current: &CurrentState,
        reported: &mut StatusReport,
    ) -> Result<bool, SendError> {
        let repo = &row.key.repo;
        let reporter = self.store.reports().forge_reporter(repo).await.map_err(Error::from)?;
        let token = self.credentials.forge_token(repo).await?;
        let (Some(reporter), Some(token)) = (reporter, token) else { return Ok(false) };
        let watched = self.store.repos().get(repo).await.map_err(Error::from)?;
        let Some(watched) = watched else { return Ok(false) };
        let Ok(provider) = watched.forge.parse::<Provider>() else { return Ok(false) };
        let options = ClientOptions { allow_http: reporter.allow_http, ..ClientOptions::default() };
        let client = Client::new(provider, &reporter.api, &token, self.process.clock, options)?;
        let commit = CommitId::new(&row.key.sha).map_err(Error::from)?;
        let commit_reporter =
            CommitReporter { client: &client, repo, commit: &commit, reporter: &reporter };
        for (context, standing) in &current.standings {
            commit_reporter.report(context, standing, reported).await?;
        }
        if let Some(all) = of_all(&current.standings) {
            commit_reporter.report(REQUIRED, &all, reported).await?;
        }
        if let Some(text) = &current.comment {
            let digest = digest(text);
            let previous = reported.comment.clone();
            if previous.as_ref().is_none_or(|(_, text)| *text != digest) {
                let previous = previous.map(|(id, _)| CommentId(id));
                let thread = Thread::PullRequest(row.key.pull_request);
                let id = client.put_comment(repo, thread, previous, COMMENT_KEY, text).await?;
                reported.comment = Some((id.0, digest));
            }
        }
        Ok(true)
    }
}

/// Reports the plans of one commit.
struct CommitReporter<'a> {
    client: &'a Client,
    repo: &'a str,
    commit: &'a CommitId,
    reporter: &'a ForgeReporterRow,
}

impl CommitReporter<'_> {
    /// Reports one context, unless its state is reported already.
    async fn report(
        &self,
        context: &str,
        standing: &Standing,
        reported: &mut StatusReport,
    ) -> Result<(), SendError> {
        let state = fingerprint(standing);
        let previous = reported.contexts.get(context);
        if previous.is_some_and(|previous| previous.reported == state) {
            return Ok(());
        }
        let mut check = previous.and_then(|previous| previous.check);
        if self.reporter.form == "check" {
            let id = check.map(CheckId);
            let wanted = check_of(context, self.commit, standing);
            let id = self.client.put_check(self.repo, self.commit, id, &wanted).await?;
            check = Some(id.0);
        } else {
            let status = CommitStatus {
                context: context.to_owned(),
                state: standing.state,
                description: standing.description.clone(),
                url: standing.report.url.clone(),
            };
            self.client.set_status(self.repo, self.commit, &status).await?;
        }
        let report = ContextReport { reported: state, check };
        reported.contexts.insert(context.to_owned(), report);
        Ok(())
    }
}

// === impl StatusReport ===

impl StatusReport {
    /// Whether some of the current state is not reported yet.
    fn differs_from(&self, current: &CurrentState) -> bool {
        let is_reported = |context: &str, standing: &Standing| {
            self.contexts.get(context).is_some_and(|one| one.reported == fingerprint(standing))
        };
        let plans = current.standings.iter().any(|(context, one)| !is_reported(context, one));
        let all = of_all(&current.standings).is_some_and(|all| !is_reported(REQUIRED, &all));
        let comment = current.comment.as_ref().is_some_and(|text| {
            self.comment.as_ref().is_none_or(|(_, reported)| *reported != digest(text))
        });
        plans || all || comment
    }

    /// The pause before the next try; `None`: the error is permanent.
    fn wait(&self, error: &SendError) -> Option<Duration> {
        if self.failures >= MAX_FAILURES {
            return None;
        }
        let doubled = BACKOFF.saturating_mul(1 << self.failures.saturating_sub(1).min(8));
        let doubled = doubled.min(MAX_BACKOFF);
        match error {
            SendError::Own(_) | SendError::Late => Some(doubled),
            SendError::Forge(error) => error.retry_after().map(|wait| wait.max(doubled)),
        }
    }
}

/// The reason that a report was not sent.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error(transparent)]
    Own(#[from] Error),
    #[error(transparent)]
    Forge(#[from] FeedbackError),
    #[error("the forge did not answer all calls of a report within {} s", SEND_WITHIN.as_secs())]
    Late,
}

fn fingerprint(standing: &Standing) -> String {
    format!("{:?}: {}", standing.state, standing.description)
}

fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

/// The context of a plan, for branch protection. A pushed commit in a pull request has both forms.
fn context(plan: &str, is_pull_request: bool) -> String {
    if is_pull_request { format!("plue / {plan} (pull request)") } else { format!("plue / {plan}") }
}

fn check_of(context: &str, commit: &CommitId, standing: &Standing) -> Check {
    let report = Report {
        commit: commit.to_string(),
        plans: vec![standing.report.clone()],
        notices: Vec::new(),
    };
    Check {
        name: context.to_owned(),
        external_id: context.to_owned(),
        state: standing.state,
        url: standing.report.url.clone(),
        title: standing.description.clone(),
        summary: report.markdown(),
        annotations: standing.annotations.clone(),
    }
}

/// The summary of all plans: it fails if one fails, and is pending until the last ends.
fn of_all(standings: &[(String, Standing)]) -> Option<Standing> {
    let rank = |state: State| match state {
        State::Failure => 5,
        State::Error | State::Cancelled => 4,
        State::Running => 3,
        State::Pending => 2,
        State::Success => 1,
        State::Skipped => 0,
    };
    let (_, worst) = standings.iter().max_by_key(|(_, standing)| rank(standing.state))?;
    let count = |wanted: &[State]| {
        standings.iter().filter(|(_, standing)| wanted.contains(&standing.state)).count()
    };
    let ended = count(&[State::Success, State::Skipped]);
    let mut all = worst.clone();
    all.state = match worst.state {
        State::Skipped => State::Success,
        other => other,
    };
    all.description = format!("{ended} of {} plans fine", standings.len());
    if rank(worst.state) > rank(State::Success) {
        all.description.push_str(&format!("; {}: {}", worst.report.name, worst.description));
    }
    Some(all)
}

#[cfg(test)]
mod tests;
