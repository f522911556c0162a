//! Patches of agents: commits on branches of plue, and their pull requests. People merge them.
//!
//! The plan sets the branch and the files; the patch is judged by the files that differ once it is applied.

use std::collections::BTreeMap;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use plue_forge::{
    feedback::{prose, words},
    git::ChangedFile,
};
use plue_plan::{
    Event, Step, Value,
    event::{EventType, PROPOSALS},
};
use plue_runtime::mask::Secrets;
use plue_spec::Scope;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::{ForgeRun, bad, constant, proposal};

/// Bytes of a patch.
const MAX_PATCH_BYTES: usize = 512 * 1024;
/// Files that a patch changes.
const MAX_FILES: usize = 100;
/// Globs of `paths`.
const MAX_PATHS: usize = 50;
/// Characters of a title.
const MAX_TITLE_CHARS: usize = 200;
/// Characters of the text of a pull request.
const MAX_TEXT_CHARS: usize = 10_000;
/// Characters of a branch behind its prefix.
const MAX_BRANCH_CHARS: usize = 80;

/// Folders, at any depth, that hold workflows, or orders for agents and forges.
const PROTECTED_FOLDERS: [&str; 8] =
    [".git", ".plue", ".claude", ".github", ".gitlab", ".gitea", ".forgejo", ".circleci"];
/// Files of the same kind, at any depth.
const PROTECTED_FILES: [&str; 9] = [
    ".plue.py",
    "plue.toml",
    ".gitlab-ci.yml",
    ".gitmodules",
    ".gitattributes",
    ".lfsconfig",
    "codeowners",
    "claude.md",
    "agents.md",
];
/// Ends of the names of workflow files.
const PROTECTED_ENDS: [&str; 4] = [".plue.py", ".plue.yaml", ".plue.yml", ".plue.json"];

/// A checked proposal of a commit.
#[derive(Debug, Clone)]
pub struct PatchChange {
    /// The commit that the patch is for.
    pub sha: String,
    /// Branch that the change is for.
    pub base_branch: String,
    /// The run is about the head of `base_branch`: a newer head supersedes it.
    pub follows_base: bool,
    /// Branch to push, which begins with [`PROPOSALS`].
    pub branch: String,
    /// The patch, as `git diff` writes it.
    pub patch: String,
    /// Message of the commit.
    pub message: String,
    /// Title and text of the pull request.
    pub pull_request: Option<(String, String)>,
    paths: GlobSet,
}

/// The pull request that an agent proposes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProposedPull {
    title: String,
    #[serde(default)]
    body: String,
}

/// The patch of a step, checked as far as its text and the plan go.
pub(super) fn proposed_patch(
    step: &Step,
    config: &BTreeMap<String, Value>,
    scope: &Scope<'_>,
    run: &ForgeRun<'_>,
) -> Result<Option<PatchChange>, String> {
    let Some(value) = config.get("patch") else {
        let needs_patch = ["paths", "branch", "pull_request"];
        return match needs_patch.iter().find(|name| config.contains_key(**name)) {
            Some(name) => bad(format!("`{name}` needs `patch`")),
            None => Ok(None),
        };
    };
    let patch = text_of_patch(proposal("patch", value, scope)?)?;
    let paths = globs(config)?;
    let base_branch = base_branch(run.event)?;
    let sha = run.sha.or(run.event.sha.as_deref()).filter(|sha| !sha.is_empty());
    let sha = match sha {
        Some(sha) => sha.to_owned(),
        None if run.is_dry => String::new(),
        None => return bad("`patch`: the run is about no commit".to_owned()),
    };
    let pull_request = match config.get("pull_request") {
        Some(value) => Some(pull_request(proposal("pull_request", value, scope)?, step, run)?),
        None => None,
    };
    let own = format!("{} / {}", run.workflow, step.id);
    let message = pull_request.as_ref().map_or(words(&own, MAX_TITLE_CHARS), |(it, _)| it.clone());
    Ok(Some(PatchChange {
        sha,
        follows_base: matches!(run.event.kind, EventType::Push | EventType::PullRequest),
        branch: branch(config, step, run, &base_branch)?,
        base_branch,
        patch,
        message,
        pull_request,
        paths,
    }))
}

// === impl PatchChange ===

impl PatchChange {
    /// Judges the files that the patch changes.
    ///
    /// # Errors
    /// The first file that the plan does not allow, or that no patch may change.
    pub fn check(&self, files: &[ChangedFile]) -> Result<(), String> {
        if files.len() > MAX_FILES {
            return Err(format!("the patch changes more than {MAX_FILES} files"));
        }
        for ChangedFile { path, mode } in files {
            let refuse = |why: &str| Err(format!("the patch changes {path:?}: {why}"));
            if !matches!(mode.as_str(), "100644" | "100755" | "000000") {
                return refuse("only files may be changed, no links or submodules");
            }
            if path.chars().any(|c| c == '\\' || c == '\u{7f}' || c.is_control())
                || words(path, path.len()).chars().filter(|c| *c != '\u{200b}').ne(path.chars())
            {
                return refuse("its name has characters that are not seen");
            }
            if is_protected(path) {
                return refuse(
                    "workflows, and files that give orders to agents or forges, are changed by people",
                );
            }
            if !self.paths.is_match(path) {
                return refuse("`paths` of the step does not allow it");
            }
        }
        Ok(())
    }

    /// Masks the texts.
    ///
    /// # Errors
    /// The patch contains a secret: masked it would be another change.
    pub(super) fn mask(&mut self, secrets: &Secrets) -> Result<(), String> {
        if secrets.text(&self.patch) != self.patch {
            return bad("`patch` contains a secret of the run".to_owned());
        }
        self.message = secrets.text(&self.message);
        if let Some((title, text)) = &mut self.pull_request {
            *title = secrets.text(title);
            *text = secrets.text(text);
        }
        Ok(())
    }
}

impl PartialEq for PatchChange {
    fn eq(&self, other: &Self) -> bool {
        // The same step has the same globs.
        let key = |it: &Self| {
            let (sha, branch, patch) = (it.sha.clone(), it.branch.clone(), it.patch.clone());
            (sha, branch, patch, it.message.clone(), it.pull_request.clone())
        };
        key(self) == key(other)
    }
}

impl Eq for PatchChange {}

fn is_protected(path: &str) -> bool {
    let path = path.to_lowercase();
    let (folders, file) = path.rsplit_once('/').unwrap_or(("", &path));
    folders.split('/').chain([file]).any(|part| PROTECTED_FOLDERS.contains(&part))
        || PROTECTED_FILES.contains(&file)
        || PROTECTED_ENDS.iter().any(|end| file.ends_with(end))
}

/// The patch as git takes it.
fn text_of_patch(patch: String) -> Result<String, String> {
    if patch.trim().is_empty() {
        return bad(
            "`patch` is empty: let the step before decide whether there is a change".to_owned()
        );
    }
    if patch.len() > MAX_PATCH_BYTES {
        return bad(format!("`patch` has more than {MAX_PATCH_BYTES} bytes"));
    }
    if patch.lines().any(|line| line.starts_with("GIT binary patch")) {
        return bad("`patch` changes binary files".to_owned());
    }
    if !patch.lines().any(|line| line.starts_with("@@ ") || line.starts_with("diff --git ")) {
        return bad("`patch` is no unified diff, such as `git diff HEAD` prints".to_owned());
    }
    Ok(restored(patch))
}

/// The patch with the blank lines at its end: the output of a step is trimmed.
fn restored(mut patch: String) -> String {
    if !patch.ends_with('\n') {
        patch.push('\n');
    }
    let lines: Vec<&str> = patch.lines().collect();
    let Some(at) = lines.iter().rposition(|line| line.starts_with("@@ ")) else { return patch };
    let count = |sign: char| {
        let word = lines[at].split(' ').find(|word| word.starts_with(sign));
        let count = word.map(|word| word.split_once(',').map_or("1", |(_, count)| count));
        count.and_then(|count| count.parse::<usize>().ok()).unwrap_or_default()
    };
    let body = &lines[at + 1..];
    let of = |sign: char| {
        let is_counted = |line: &&&str| line.is_empty() || line.starts_with([sign, ' ']);
        body.iter().filter(is_counted).count()
    };
    let (old, new) = (count('-').saturating_sub(of('-')), count('+').saturating_sub(of('+')));
    if old == new {
        // Never more than the patch has lines: counts come from outside.
        patch.push_str(&" \n".repeat(old.min(MAX_FILES)));
    }
    patch
}

fn globs(config: &BTreeMap<String, Value>) -> Result<GlobSet, String> {
    let paths: Vec<String> = match config.get("paths") {
        Some(value) => constant("paths", value)?,
        None => Vec::new(),
    };
    if paths.is_empty() || paths.len() > MAX_PATHS {
        return bad(format!(
            "`paths` lists the files that the patch may change, as 1 to {MAX_PATHS} globs"
        ));
    }
    let mut globs = GlobSetBuilder::new();
    for path in &paths {
        let glob = GlobBuilder::new(path).literal_separator(true).build();
        globs.add(glob.or_else(|error| bad(format!("`paths`: {error}")))?);
    }
    globs.build().or_else(|error| bad(format!("`paths`: {error}")))
}

/// The branch of the event, which the change is for.
fn base_branch(event: &Event) -> Result<String, String> {
    let name = match &event.pull_request {
        Some(pull) => Some(pull.head.git_ref.as_str()),
        None if event.tag.is_some() => return bad("`patch`: the run is about a tag".to_owned()),
        None => event.branch.as_deref().or(event.default_branch.as_deref()),
    };
    let name = name.map(|name| name.strip_prefix("refs/heads/").unwrap_or(name));
    match name.filter(|name| !name.is_empty()) {
        Some(name) => Ok(name.to_owned()),
        None => Ok("main".to_owned()),
    }
}

/// The branch to push: one for each step, base branch and pull request or issue.
fn branch(
    config: &BTreeMap<String, Value>,
    step: &Step,
    run: &ForgeRun<'_>,
    base: &str,
) -> Result<String, String> {
    let own = format!("{}-{}", run.workflow, step.id).to_lowercase();
    let given: Option<String> =
        config.get("branch").map(|it| constant("branch", it)).transpose()?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_/".contains(c);
    let name = match given {
        Some(name) => {
            let has_parts = name.split('/').all(|part| !part.is_empty() && !part.starts_with('-'));
            if !name.chars().all(is_plain) || name.len() > MAX_BRANCH_CHARS || !has_parts {
                return bad(format!(
                    "`branch`: {name:?} is no name of letters, digits, `-`, `_` and `/`"
                ));
            }
            name
        }
        None => {
            let own: String =
                own.chars().map(|c| if is_plain(c) && c != '/' { c } else { '-' }).collect();
            own.trim_matches('-').chars().take(MAX_BRANCH_CHARS).collect()
        }
    };
    let event = run.event;
    let of_base = hex::encode(Sha256::digest(base).get(..4).unwrap_or_default());
    let end = match (&event.pull_request, &event.issue) {
        (Some(pull), _) => format!("-pr-{}", pull.number),
        (None, Some(issue)) => format!("-issue-{}", issue.number),
        (None, None) if event.default_branch.as_deref().is_none_or(|it| it == base) => {
            String::new()
        }
        (None, None) => format!("-{of_base}"),
    };
    Ok(format!("{PROPOSALS}{name}{end}"))
}

/// Title and text of the pull request.
fn pull_request(
    proposed: ProposedPull,
    step: &Step,
    run: &ForgeRun<'_>,
) -> Result<(String, String), String> {
    let ProposedPull { title, body } = proposed;
    if title.trim().is_empty() || title.chars().count() > MAX_TITLE_CHARS {
        return bad(format!("`pull_request`: the title has 1 to {MAX_TITLE_CHARS} characters"));
    }
    if body.chars().count() > MAX_TEXT_CHARS {
        return bad(format!("`pull_request`: the body has more than {MAX_TEXT_CHARS} characters"));
    }
    let from = words(&format!("{} / {}", run.workflow, step.id), MAX_TITLE_CHARS);
    let note = format!(
        "Proposed by the workflow step `{}`, written by a model. Review it as you review the change of \
         someone you do not know; its runs have no secrets until it is merged.",
        from.replace('`', "'")
    );
    let text = if body.trim().is_empty() { note } else { format!("{}\n\n{note}", prose(&body)) };
    Ok((words(title.trim(), MAX_TITLE_CHARS), text))
}
