//! `forge` steps: an agent's proposal for the pull request or issue of the run's event, checked here and
//! applied by the engine, which alone has the forge's credentials.
//!
//! Must not choose the target: repository and number are those of the event.

use std::{collections::BTreeMap, future::Future, pin::Pin};

use plue_flow::fact::Outcome;
use plue_forge::feedback::{Findings, FindingsFrame, Thread};
use plue_plan::{Event, Step, Value, action::Plugin};
use plue_runtime::mask::Secrets;
use plue_spec::{Reads, Scope, resolve};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};

use crate::{codes, loaded::Origin};

mod patch;

pub use patch::PatchChange;

/// The plugin that is built into plue.
pub const FORGE: &str = "forge";
/// Findings that a comment shows, unless the step sets a number.
const DEFAULT_FINDINGS: usize = 20;
/// Most labels that one step adds, and that it removes.
const MAX_LABELS: usize = 10;
/// Characters of a label.
const MAX_LABEL_CHARS: usize = 100;
/// Fields of a step's configuration.
const FIELDS: [&str; 9] = [
    "comment",
    "title",
    "max_findings",
    "labels",
    "allowed_labels",
    "patch",
    "paths",
    "branch",
    "pull_request",
];

/// A checked change of one pull request or issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForgeChange {
    /// Configured name of the repository.
    pub repository: String,
    /// The pull request or issue of the event; `None`: the change needs none.
    pub thread: Option<Thread>,
    /// The commit of the change; a newer one of the pull request supersedes it.
    pub sha: Option<String>,
    /// Key and text of the comment; `None`: no comment.
    pub comment: Option<(String, String)>,
    /// Labels to be added to the thread.
    pub add: Vec<String>,
    /// Labels to be removed from the thread.
    pub remove: Vec<String>,
    /// Commit to be pushed to a branch of plue, perhaps with a pull request.
    pub patch: Option<PatchChange>,
}

/// The outcome of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForgeApplied {
    /// The forge accepted it.
    Done(ForgeResult),
    /// The pull request has a newer commit, whose run applies its own change.
    Superseded,
}

/// The parts of an applied change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ForgeResult {
    /// Number of the comment.
    pub comment: Option<u64>,
    /// The commit of the patch; `None` also if the patch changes nothing.
    pub commit: Option<String>,
    /// Number of the pull request.
    pub pull_request: Option<u64>,
}

/// The answer of [`ForgeWriter::apply`]; an error is a text for the author.
pub type ForgeApplying = Pin<Box<dyn Future<Output = Result<ForgeApplied, String>> + Send>>;

/// Writes to forges. Idempotent: a repeated change has no effect.
pub trait ForgeWriter: Send + Sync + std::fmt::Debug {
    /// Applies a change to its forge.
    fn apply(&self, change: ForgeChange) -> ForgeApplying;
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Proposed {
    pub(crate) change: ForgeChange,
    findings: usize,
    left_out: usize,
}

/// The run that a step belongs to.
pub(crate) struct ForgeRun<'a> {
    pub(crate) workflow: &'a str,
    /// The repository of the run.
    pub(crate) repository: Option<&'a str>,
    /// The commit of the run.
    pub(crate) sha: Option<&'a str>,
    pub(crate) event: &'a Event,
    pub(crate) origin: &'a Origin,
    /// Nothing is applied, so an event without a number is allowed.
    pub(crate) is_dry: bool,
}

/// Labels that an agent proposes.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Labels {
    #[serde(default)]
    add: Vec<String>,
    #[serde(default)]
    remove: Vec<String>,
}

/// Checks the proposal of a step.
///
/// # Errors
/// A text for the author.
pub(crate) fn proposed(
    step: &Step,
    plugin: &Plugin,
    scope: &Scope<'_>,
    run: &ForgeRun<'_>,
) -> Result<Proposed, String> {
    trusted(run)?;
    let config = &plugin.config;
    if let Some(unknown) = config.keys().find(|key| !FIELDS.contains(&key.as_str())) {
        return bad(format!("`{unknown}` is none of {}", FIELDS.join(", ")));
    }
    let (repository, thread) = target(run)?;
    let (mut comment, mut findings, mut left_out) = (None, 0, 0);
    if let Some(value) = config.get("comment") {
        let proposal: Findings = proposal("comment", value, scope)?;
        proposal.check().or_else(|why| bad(format!("`comment`: {why}")))?;
        let frame = frame(config, step, run)?;
        let text;
        (text, left_out) = proposal.markdown(&frame);
        findings = proposal.findings.len();
        comment = Some((key(run.workflow, step), text));
    }
    let labels: Labels = match config.get("labels") {
        Some(value) => proposal("labels", value, scope)?,
        None => Labels::default(),
    };
    allowed(&labels, config)?;
    let patch = patch::proposed_patch(step, config, scope, run)?;
    let needs_thread = comment.is_some() || config.contains_key("labels");
    if !needs_thread && patch.is_none() {
        return bad("it has neither `comment` nor `labels` nor `patch`".to_owned());
    }
    if needs_thread && thread.is_none() {
        return bad("the event of the run is about no pull request and no issue".to_owned());
    }
    let sha = run.event.pull_request.as_ref().and_then(|pull| {
        let head = Some(pull.head.sha.clone()).filter(|sha| !sha.is_empty());
        run.event.sha.clone().or(head)
    });
    let Labels { add, remove } = labels;
    let change = ForgeChange { repository, thread, sha, comment, add, remove, patch };
    Ok(Proposed { change, findings, left_out })
}

// === impl Proposed ===

impl Proposed {
    /// Masks the secrets of the run: comments on a forge may be public.
    ///
    /// # Errors
    /// The patch contains a secret, which cannot be masked.
    pub(crate) fn mask(&mut self, secrets: &Secrets) -> Result<(), String> {
        if let Some((_, text)) = &mut self.change.comment {
            *text = secrets.text(text);
        }
        match &mut self.change.patch {
            Some(patch) => patch.mask(secrets),
            None => Ok(()),
        }
    }

    /// Outcome and output of a dry run.
    pub(crate) fn shown(self) -> (Outcome, Json) {
        let text = self.change.comment.as_ref().map(|(_, text)| text.clone());
        let mut output = self.output(false, &ForgeResult::default());
        output["dry_run"] = true.into();
        output["comment"] = json!(text);
        if let Some(patch) = &self.change.patch {
            output["patch"] = json!(patch.patch);
        }
        (Outcome::Success, output)
    }

    /// Outcome and output after applying the change.
    pub(crate) fn ended(self, applied: Result<ForgeApplied, String>) -> (Outcome, Json) {
        match applied {
            Ok(ForgeApplied::Done(result)) => (Outcome::Success, self.output(true, &result)),
            Ok(ForgeApplied::Superseded) => {
                let mut output = self.output(false, &ForgeResult::default());
                output["superseded"] = true.into();
                (Outcome::Success, output)
            }
            Err(message) => {
                let message = format!("{}: {message}", codes::FORGE_CHANGE);
                (Outcome::Failed { message }, Json::Null)
            }
        }
    }

    fn output(&self, is_posted: bool, result: &ForgeResult) -> Json {
        let mut output = json!({
            "posted": is_posted,
            "findings": self.findings,
            "left_out": self.left_out,
            "labels": { "add": self.change.add, "remove": self.change.remove },
        });
        if let Some(id) = result.comment {
            output["comment_id"] = id.into();
        }
        if let Some(patch) = &self.change.patch {
            output["branch"] = json!(patch.branch);
            output["commit"] = json!(result.commit);
            output["pull_request"] = json!(result.pull_request);
        }
        output
    }
}

/// Requires that people with write access to the repository wrote the plan.
fn trusted(run: &ForgeRun<'_>) -> Result<(), String> {
    let why = if run.origin.is_from_fork(run.event) {
        "runs of pull requests from forks, and of branches that plue pushed, write nothing to the forge"
    } else if run.origin.parent.is_some() {
        "child runs write nothing to the forge: a step of the run that starts them does"
    } else {
        return Ok(());
    };
    Err(format!("{}: {why}", codes::FORGE_CHANGE))
}

/// The repository and the thread of the event.
fn target(run: &ForgeRun<'_>) -> Result<(String, Option<Thread>), String> {
    let event = run.event;
    let of_event = event.repository.as_deref();
    let repository = run.repository.or(of_event).unwrap_or_default().to_owned();
    if of_event.is_some_and(|name| !name.eq_ignore_ascii_case(&repository)) {
        return bad("the event is about another repository".to_owned());
    }
    let pull = event.pull_request.as_ref().map(|pull| Thread::PullRequest(pull.number));
    let thread = pull.or(event.issue.as_ref().map(|issue| Thread::Issue(issue.number)));
    let thread = thread.filter(|thread| thread.number() > 0);
    Ok((repository, thread.or(run.is_dry.then_some(Thread::PullRequest(0)))))
}

/// Title and length of a comment, which the plan sets and a model cannot.
fn frame(
    config: &BTreeMap<String, Value>,
    step: &Step,
    run: &ForgeRun<'_>,
) -> Result<FindingsFrame, String> {
    let title: Option<String> = config.get("title").map(|it| constant("title", it)).transpose()?;
    let most: Option<usize> =
        config.get("max_findings").map(|it| constant("max_findings", it)).transpose()?;
    Ok(FindingsFrame {
        title: title.unwrap_or_else(|| format!("{} / {}", run.workflow, step.id)),
        commit: run.event.sha.clone(),
        most: most.unwrap_or(DEFAULT_FINDINGS),
    })
}

/// Requires that the plan allows every label.
fn allowed(labels: &Labels, config: &BTreeMap<String, Value>) -> Result<(), String> {
    let allowed: Vec<String> = match config.get("allowed_labels") {
        Some(value) => constant("allowed_labels", value)?,
        None => Vec::new(),
    };
    for (what, list) in [("add", &labels.add), ("remove", &labels.remove)] {
        if list.len() > MAX_LABELS {
            return bad(format!("`labels.{what}` has more than {MAX_LABELS} entries"));
        }
        for label in list {
            let shown: String = label.chars().take(MAX_LABEL_CHARS).collect();
            let odd = label.chars().any(|c| c.is_control() || c == ',');
            if odd || label.trim().is_empty() || shown.len() < label.len() {
                return bad(format!("{shown:?} is no label"));
            }
            if !allowed.contains(label) {
                return bad(format!("the label {shown:?} is not in `allowed_labels` of the step"));
            }
        }
    }
    Ok(())
}

/// A field that a model may have written.
fn proposal<T: DeserializeOwned>(
    name: &str,
    value: &Value,
    scope: &Scope<'_>,
) -> Result<T, String> {
    let resolved = resolve(value, scope, &mut Reads::default());
    let resolved = resolved.or_else(|error| bad(format!("`{name}`: {error}")))?;
    if let Some(secret) = resolved.secrets.first() {
        return bad(format!("`{name}`: the secret `{}` is not for a forge", secret.name));
    }
    serde_json::from_value(resolved.value).or_else(|error| bad(format!("`{name}`: {error}")))
}

/// A field that only the plan may set.
fn constant<T: DeserializeOwned>(name: &str, value: &Value) -> Result<T, String> {
    if !value.is_constant() {
        return bad(format!("`{name}` must stand in the plan: it bounds what a model may do"));
    }
    let written = serde_json::to_value(value);
    let written = written.or_else(|error| bad(format!("`{name}`: {error}")))?;
    serde_json::from_value(written).or_else(|error| bad(format!("`{name}`: {error}")))
}

/// The key by which a later run finds the comment of a step.
fn key(workflow: &str, step: &Step) -> String {
    let digest = Sha256::digest(format!("{workflow}\0{}", step.id));
    format!("findings-{}", hex::encode(digest.get(..8).unwrap_or_default()))
}

fn bad<T>(why: String) -> Result<T, String> {
    Err(format!("{}: {why}", codes::FORGE_CHANGE))
}

#[cfg(test)]
mod tests;
