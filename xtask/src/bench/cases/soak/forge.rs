//! Attackers whom a forge lets in: authors of merge requests from a fork, and of comments. What they
//! write is theirs; the forge signs it.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value as Json, json};

use super::{
    Over, bombs,
    stand::{HOOK_TOKEN, Stand},
};
use crate::bench::{cases::serve::Link, machine::pause};

/// The project that is attacked, and the fork.
const PROJECT: u64 = 1;
const FORK: u64 = 2;
/// Merge requests that are open at the same time.
const OPEN: usize = 8;

/// Pushes one bomb after the other to merge requests. How many were delivered.
pub(super) fn open_merge_requests(stand: &Stand, over: &Over) -> anyhow::Result<usize> {
    let clone = &stand.fork;
    let base = clone.git(&["rev-parse", "main"])?.trim().to_owned();
    let mut sent = 0;
    while !over.is_so() {
        let number = sent % OPEN + 1;
        clone.git(&["checkout", "-q", "--detach", &base])?;
        clone.git(&["clean", "-qfdx"])?;
        let head = bombs::commit(clone, sent).context("make a bomb")?;
        let to = format!("+{head}:refs/merge-requests/{number}/head");
        clone.git(&["push", "-q", "origin", &to])?;
        deliver(stand, &stand.hook, "Merge Request Hook", &merge_request(number, &base, &head))?;
        sent += 1;
        pause(Duration::from_millis(250));
    }
    Ok(sent)
}

/// Comments on merge requests, as fast as they are taken.
pub(super) fn flood_comments(stand: &Stand, over: &Over) -> anyhow::Result<usize> {
    let mut sent = 0;
    while !over.is_so() {
        let body = json!({
            "object_kind": "note", "event_type": "note",
            "user": {"id": 9, "username": "eve", "name": "Eve"},
            "project_id": PROJECT, "project": project(PROJECT, "acme/app"),
            "object_attributes": {
                "id": sent, "note": format!("/run {}", "x".repeat(sent % 60_000)),
                "noteable_type": "Issue", "action": "create", "project_id": PROJECT,
            },
            "issue": {"id": 1, "iid": 1, "title": "t", "state": "opened"},
        });
        deliver(stand, &stand.hook, "Note Hook", &body)?;
        sent += 1;
        pause(Duration::from_millis(10));
    }
    Ok(sent)
}

/// Pushes to the repository whose forge never answers.
pub(super) fn wake_hanging_forge(stand: &Stand, over: &Over) -> anyhow::Result<usize> {
    let mut sent = 0;
    while !over.is_so() {
        let body = json!({
            "object_kind": "push", "event_name": "push", "ref": "refs/heads/main",
            "before": "0".repeat(40), "after": format!("{sent:040x}"),
            "checkout_sha": format!("{sent:040x}"), "user_username": "ada",
            "project_id": 3, "project": project(3, "hung/app"), "commits": [],
        });
        deliver(stand, &stand.hung_hook, "Push Hook", &body)?;
        sent += 1;
        pause(Duration::from_millis(200));
    }
    Ok(sent)
}

fn project(id: u64, name: &str) -> Json {
    let path = name.rsplit('/').next().unwrap_or(name);
    json!({
        "id": id, "name": path, "path_with_namespace": name, "default_branch": "main",
        "web_url": format!("https://gitlab.example/{name}"),
        "git_http_url": format!("https://gitlab.example/{name}.git"),
    })
}

fn merge_request(number: usize, base: &str, head: &str) -> Json {
    json!({
        "object_kind": "merge_request", "event_type": "merge_request",
        "user": {"id": 9, "username": "eve", "name": "Eve"},
        "project": project(PROJECT, "acme/app"),
        "object_attributes": {
            "id": number, "iid": number, "title": "t", "action": "update", "state": "opened",
            "oldrev": base, "source_branch": "f", "target_branch": "main",
            "source_project_id": FORK, "target_project_id": PROJECT,
            "source": project(FORK, "eve/app"), "target": project(PROJECT, "acme/app"),
            "last_commit": {"id": head, "message": "m"},
        },
    })
}

/// Sends a delivery. Only what keeps the attacker from sending is an error: a refusal is the
/// server's right.
fn deliver(stand: &Stand, hook: &str, event: &str, body: &Json) -> anyhow::Result<()> {
    let headers = format!(
        "content-type: application/json\r\nconnection: close\r\nx-gitlab-event: {event}\r\n\
         x-gitlab-token: {HOOK_TOKEN}\r\n"
    );
    let Ok(mut link) = Link::to(&stand.address) else { return Ok(()) };
    let sent = link.send("POST", hook, &headers, &body.to_string());
    let _refused = sent.and_then(|()| link.answer());
    Ok(())
}
