//! Brings reports to their forges: what is new since the last time, and nothing twice.
//!
//! Several servers may do this on one database: a report is claimed before anything is said, and its
//! claim ends by itself. A server that dies in between has said what the next one says again, which a
//! forge shows once.

use std::{collections::BTreeMap, time::Duration};

use plue_forge::{
    Client, CommitId, FeedbackError, Provider,
    feedback::{Check, CheckId, ClientOptions, CommentId, CommitStatus, Report, State, Thread},
};
use plue_runtime::Phase;
use plue_store::{OutletRow, ReportRow, Told as Settled};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    error::Error,
    feedback::{content::Content, standing::Standing},
    server::Server,
};

/// Reports that are looked at in one go.
const BATCH: u32 = 256;
/// Between two looks, so that a run's log does not make one for each of its chunks.
const PACE: Duration = Duration::from_millis(500);
/// A claim ends after so long: longer than a forge may take for all of a report's calls.
const CLAIM: Duration = Duration::from_secs(300);
/// The first wait after a failure; doubled after each further one.
const BACKOFF: Duration = Duration::from_secs(5);
/// The longest wait after a failure.
const MAX_BACKOFF: Duration = Duration::from_secs(600);
/// After so many failures in a row a report is given up: some hours.
const MAX_FAILURES: u32 = 24;
/// The status that stands for all plans: what a branch protection names.
const REQUIRED: &str = "plue/required";
/// The comment of a pull request is known by this.
const COMMENT_KEY: &str = "plans";

/// What was told of a commit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
struct Told {
    /// By context: what was last said.
    contexts: BTreeMap<String, Context>,
    /// The comment, and the digest of its text.
    comment: Option<(u64, String)>,
    /// Failures in a row.
    failures: u32,
    /// Why nothing more is said.
    given_up: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Context {
    said: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    check: Option<u64>,
}

/// What is to be said now.
struct News {
    standings: Vec<(String, Standing)>,
    /// Of a pull request of which this is the newest report: its comment.
    comment: Option<String>,
    is_final: bool,
}

// === impl Server ===

impl Server {
    /// Tells forges until the server stops. What is not told by then, the next server tells.
    pub(crate) async fn tell_forges(&self) {
        let parts = self.parts();
        let beat = parts.watchdog.watch("tell forges");
        let mut changes = self.store().changes();
        loop {
            changes.borrow_and_update();
            beat.outside("report to forges");
            if let Err(error) = self.tell_once().await {
                tracing::warn!(%error, "forges are not told");
            }
            beat.idle();
            tokio::select! {
                () = parts.stop.reached(Phase::Draining) => return,
                () = parts.clock.sleep(PACE) => {}
            }
            if !self.rest(&mut changes).await {
                return;
            }
        }
    }

    /// Looks at every report that is due; how many of them had something to say.
    ///
    /// # Errors
    /// The database. A forge that cannot be reached is asked again later.
    pub async fn tell_once(&self) -> Result<usize, Error> {
        let due = self.store().due_reports(self.parts().clock.now(), BATCH).await?;
        let is_full = due.len() >= usize::try_from(BATCH).unwrap_or(usize::MAX);
        let mut told = 0;
        for row in due {
            told += usize::from(self.tell(&row, is_full).await?);
        }
        Ok(told)
    }

    /// `makes_room`: others wait, so a report without news steps back.
    async fn tell(&self, row: &ReportRow, makes_room: bool) -> Result<bool, Error> {
        let now = self.parts().clock.now();
        let content: Content = serde_json::from_value(row.content.clone()).unwrap_or_default();
        let mut told: Told = serde_json::from_value(row.told.clone()).unwrap_or_default();
        let news = self.news(row, &content).await?;
        let is_news = told.lacks(&news);
        if !is_news && !news.is_final {
            if makes_room {
                self.store().claim_report(row, now + BACKOFF).await?;
            }
            return Ok(false);
        }
        if !self.store().claim_report(row, now + CLAIM).await? {
            return Ok(false);
        }
        let mut outcome = if is_news { self.say(row, &news, &mut told).await } else { Ok(true) };
        if let Err(SayError::Forge(FeedbackError::Refused { status: 401, .. })) = &outcome
            && self.forget_app_token(&row.key.repo)
        {
            outcome = self.say(row, &news, &mut told).await;
        }
        let now = self.parts().clock.now();
        let (next_at, done) = match outcome {
            Ok(is_heard) => {
                told.failures = 0;
                (now, news.is_final || !is_heard)
            }
            Err(error) => {
                told.failures += 1;
                let wait = told.wait(&error);
                let repo = row.key.repo.as_str();
                tracing::warn!(repo, sha = row.key.sha, %error, ?wait, "the forge is not told");
                if wait.is_none() {
                    told.given_up = Some(error.to_string());
                }
                (now + wait.unwrap_or_default(), wait.is_none())
            }
        };
        let told = serde_json::to_value(&told).unwrap_or_default();
        self.store().settle_report(row, &Settled { told, next_at, done }).await?;
        Ok(is_news)
    }

    async fn news(&self, row: &ReportRow, content: &Content) -> Result<News, Error> {
        let parts = self.parts();
        let mut standings = Vec::new();
        for entry in &content.plans {
            let public = parts.options.public_url.as_deref();
            let standing = Standing::read(self.store(), entry, public).await?;
            standings.push((context(&entry.name, content.is_pull_request), standing));
        }
        let is_final = standings.iter().all(|(_, standing)| standing.is_final);
        let mut comment = None;
        if row.key.pull_request > 0 {
            let newest = self.store().newest_report(&row.key.repo, row.key.pull_request).await?;
            if newest.is_some_and(|newest| newest.key == row.key) {
                let report = Report {
                    commit: row.key.sha.clone(),
                    plans: standings.iter().map(|(_, one)| one.report.clone()).collect(),
                    notices: content.notices.clone(),
                };
                comment = Some(report.markdown());
            }
        }
        Ok(News { standings, comment, is_final })
    }

    /// Says what is new; `false`: there is nobody to tell any more.
    async fn say(&self, row: &ReportRow, news: &News, told: &mut Told) -> Result<bool, SayError> {
        let repo = &row.key.repo;
        let outlet = self.store().outlet(repo).await.map_err(Error::from)?;
        let token = self.forge_token(repo).await?;
        let (Some(outlet), Some(token)) = (outlet, token) else { return Ok(false) };
        let watched = self.store().repo(repo).await.map_err(Error::from)?;
        let Some(watched) = watched else { return Ok(false) };
        let Ok(provider) = watched.forge.parse::<Provider>() else { return Ok(false) };
        let options = ClientOptions { allow_http: outlet.allow_http, ..ClientOptions::default() };
        let client = Client::new(provider, &outlet.api, &token, self.parts().clock, options)?;
        let commit = CommitId::new(&row.key.sha).map_err(Error::from)?;
        let form = Form { client: &client, repo, commit: &commit, outlet: &outlet };
        for (context, standing) in &news.standings {
            form.tell(context, standing, told).await?;
        }
        if let Some(all) = of_all(&news.standings) {
            form.tell(REQUIRED, &all, told).await?;
        }
        if let Some(text) = &news.comment {
            let digest = digest(text);
            let known = told.comment.clone();
            if known.as_ref().is_none_or(|(_, said)| *said != digest) {
                let known = known.map(|(id, _)| CommentId(id));
                let thread = Thread::PullRequest(row.key.pull_request);
                let id = client.put_comment(repo, thread, known, COMMENT_KEY, text).await?;
                told.comment = Some((id.0, digest));
            }
        }
        Ok(true)
    }
}

/// How plans are told to one forge.
struct Form<'a> {
    client: &'a Client,
    repo: &'a str,
    commit: &'a CommitId,
    outlet: &'a OutletRow,
}

impl Form<'_> {
    /// Says how one context stands, unless that was said already.
    async fn tell(
        &self,
        context: &str,
        standing: &Standing,
        told: &mut Told,
    ) -> Result<(), SayError> {
        let said = said(standing);
        let known = told.contexts.get(context);
        if known.is_some_and(|known| known.said == said) {
            return Ok(());
        }
        let mut check = known.and_then(|known| known.check);
        if self.outlet.form == "check" {
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
        told.contexts.insert(context.to_owned(), Context { said, check });
        Ok(())
    }
}

// === impl Told ===

impl Told {
    /// Whether some of the news was not told.
    fn lacks(&self, news: &News) -> bool {
        let is_said = |context: &str, standing: &Standing| {
            self.contexts.get(context).is_some_and(|known| known.said == said(standing))
        };
        let plans = news.standings.iter().any(|(context, one)| !is_said(context, one));
        let all = of_all(&news.standings).is_some_and(|all| !is_said(REQUIRED, &all));
        let comment = news.comment.as_ref().is_some_and(|text| {
            self.comment.as_ref().is_none_or(|(_, said)| *said != digest(text))
        });
        plans || all || comment
    }

    /// How long to wait after an error; `None`: it is no use.
    fn wait(&self, error: &SayError) -> Option<Duration> {
        if self.failures >= MAX_FAILURES {
            return None;
        }
        let doubled = BACKOFF.saturating_mul(1 << self.failures.saturating_sub(1).min(8));
        let doubled = doubled.min(MAX_BACKOFF);
        match error {
            SayError::Own(_) => Some(doubled),
            SayError::Forge(error) => error.retry_after().map(|wait| wait.max(doubled)),
        }
    }
}

/// What kept something from being said.
#[derive(Debug, thiserror::Error)]
enum SayError {
    #[error(transparent)]
    Own(#[from] Error),
    #[error(transparent)]
    Forge(#[from] FeedbackError),
}

fn said(standing: &Standing) -> String {
    format!("{:?}: {}", standing.state, standing.description)
}

fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

/// What a branch protection names. A commit that is pushed and in a pull request has both.
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

/// One that stands for all: it fails if one fails, and waits for the last.
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
