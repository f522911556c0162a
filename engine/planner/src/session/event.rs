//! The event of a run that a person asks for: from a file, or from the state of the work tree.

use std::{io::Read as _, path::Path, time::Duration};

use plue_plan::{Diagnostic, Event, Span, budget::Budget, event::EventType};
use plue_runtime::foreign::{
    git,
    process::{ProcessLimits, Running},
};

use super::{Reason, Refusal, codes};

/// Bytes of an event file at most.
const MAX_EVENT_BYTES: u64 = 16 * 1024 * 1024;

/// Names that the branch everything is merged into has by custom, for a repository without `origin`.
const DEFAULT_BRANCHES: [&str; 2] = ["main", "master"];

/// Reads an event file; `-` is standard input. Unknown fields are errors.
pub(super) fn read(path: &Path) -> Result<Event, Refusal> {
    let unreadable = |error: std::io::Error| {
        let message = format!("cannot read the event {}: {error}", path.display());
        Refusal::new(Reason::NotFound, Diagnostic::error(codes::UNREADABLE, message))
    };
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().lock().take(MAX_EVENT_BYTES + 1).read_to_end(&mut bytes)
    } else {
        let file = std::fs::File::open(path).map_err(unreadable)?;
        file.take(MAX_EVENT_BYTES + 1).read_to_end(&mut bytes)
    }
    .map_err(unreadable)?;
    let refused = |message: String| Diagnostic::error(codes::EVENT, message);
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_EVENT_BYTES) {
        let message = format!("the event is larger than {MAX_EVENT_BYTES} bytes");
        return Err(Refusal::new(Reason::Usage, refused(message)));
    }
    serde_json::from_slice(&bytes).map_err(|error| {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).max(1);
        let place =
            Span::at(path.display().to_string(), number(error.line()), number(error.column()));
        let problem = refused(format!("this is no event: {error}")).at(place);
        Refusal::new(Reason::Usage, problem.hint("`plue schema event` shows its form"))
    })
}

/// The commit before the event, if it names one: the base of a pull request, or what a push moved from.
#[must_use]
pub fn base(event: &Event) -> Option<&str> {
    let request = event.pull_request.as_ref().map(|request| request.base.sha.as_str());
    // A push that makes a branch moves it from zeros.
    let known = |sha: &&str| sha.bytes().any(|byte| byte != b'0');
    request.or(event.before.as_deref()).filter(known)
}

/// A manual event for a run of this work tree. Fields that git does not know are absent.
pub(super) fn manual(repo: &Path, user: Option<String>) -> Event {
    let mut event = Event { actor: user, ..Event::new(EventType::Manual) };
    if !repo.ancestors().any(|folder| folder.join(".git").exists()) {
        return event;
    }
    // Both at once: starting a process takes longer than what it does.
    let head = ["-q", "HEAD", "--symbolic-full-name", "HEAD", "refs/remotes/origin/HEAD"];
    let head = start(repo, "rev-parse", &head);
    let settings = ["-z", "--get-regexp", r"^(user\.name|remote\.origin\.url)$"];
    let settings = start(repo, "config", &settings);
    let (head, settings) = (answer(head), answer(settings));
    // Lines come in this order; git stops at the first that it cannot answer.
    let mut lines = head.lines();
    event.sha = lines.next().filter(|line| is_commit(line)).map(str::to_owned);
    if let Some(name) = lines.next().filter(|line| line.starts_with("refs/")) {
        event.branch = name.strip_prefix("refs/heads/").map(str::to_owned);
        event.git_ref = Some(name.to_owned());
    }
    let upstream = lines.next().and_then(|line| line.strip_prefix("refs/remotes/origin/"));
    let usual = || event.branch.as_deref().filter(|branch| DEFAULT_BRANCHES.contains(branch));
    event.default_branch =
        upstream.filter(|name| *name != "HEAD").or_else(usual).map(str::to_owned);
    for setting in settings.split('\0') {
        match setting.split_once('\n') {
            Some(("user.name", name)) => event.actor = Some(name.to_owned()),
            Some(("remote.origin.url", url)) => event.repository = owner_and_name(url),
            Some(_) | None => {}
        }
    }
    event
}

/// `owner/name` of the repository around the current directory, from the URL of its `origin`.
#[must_use]
pub fn origin_here() -> Option<String> {
    let here = std::env::current_dir().ok()?;
    let url = answer(start(&here, "config", &["--get", "remote.origin.url"]));
    owner_and_name(url.trim())
}

fn is_commit(line: &str) -> bool {
    line.len() >= 40 && line.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The limits of one question to git.
const LIMITS: ProcessLimits = ProcessLimits {
    answer: Budget { bytes: 1024 * 1024, items: 1_000, steps: u64::MAX },
    wall: Duration::from_secs(30),
    cpu: Duration::from_secs(30),
    memory: 512 * 1024 * 1024,
};

/// Git in a repository that may be untrusted.
fn start(repo: &Path, name: &str, args: &[&str]) -> Option<Running> {
    let git = git::in_work_tree(LIMITS).arg("-C").arg(repo).arg(name).args(args);
    git.start().ok()
}

/// The answer, however git ended.
fn answer(running: Option<Running>) -> String {
    let answer = running.and_then(|running| running.partial_answer().ok()).unwrap_or_default();
    String::from_utf8_lossy(&answer).into_owned()
}

/// `owner/name` of `https://host/owner/name.git` or `git@host:owner/name.git`; groups stay.
fn owner_and_name(url: &str) -> Option<String> {
    let path = match url.split_once("://") {
        Some((_, rest)) => rest.split_once('/')?.1,
        None => url.split_once(':')?.1,
    };
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    path.contains('/').then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repository_names_are_parsed_from_any_url() {
        for (url, name) in [
            ("https://forge.example/acme/shop.git", Some("acme/shop")),
            ("https://user:secret@forge.example/acme/shop", Some("acme/shop")),
            ("git@forge.example:acme/shop.git", Some("acme/shop")),
            ("ssh://git@forge.example:2222/group/sub/shop.git", Some("group/sub/shop")),
            ("/srv/shop.git", None),
        ] {
            assert_eq!(owner_and_name(url).as_deref(), name, "{url}");
        }
    }

    #[test]
    fn events_with_unknown_fields_are_refused_with_location() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("event.json");
        std::fs::write(&path, "{\"type\": \"push\",\n \"brnch\": \"main\"}").unwrap();
        let refusal = read(&path).unwrap_err();
        assert_eq!(refusal.reason, Reason::Usage);
        let span = refusal.diagnostics[0].span.clone().unwrap();
        assert_eq!((span.line, span.column), (2, 8));
    }

    #[test]
    fn folders_outside_git_have_only_an_actor() {
        let folder = tempfile::tempdir().unwrap();
        let event = manual(folder.path(), Some("ada".to_owned()));
        assert_eq!(event, Event { actor: Some("ada".to_owned()), ..Event::new(EventType::Manual) });
    }
}
