//! From a reading to the event that workflows see as `ctx.event`.
//!
//! Here the fail-safe choices are made: a pull request is from a fork unless the ids of its head, its base
//! and the repository are known and equal.

use plue_plan::event::{Branch, Comment, Event, EventType, Issue, PullRequest};

use crate::{
    ignored::Ignored,
    limits::{MAX_LABELS, MAX_TEXT_BYTES},
    reading::{self, Kind, MergeGroup, Push, Reading},
};

/// Prefix of the candidates of GitHub's merge queue.
const QUEUE_BRANCHES: &str = "gh-readonly-queue/";

// === impl Reading ===

impl Reading {
    /// The event in the terms of plans.
    ///
    /// # Errors
    /// The delivery starts nothing, whatever the workflows contain.
    pub fn event(&self) -> Result<Event, Ignored> {
        if let Some(group) = &self.detail.merge_group {
            return self.of_merge_group(group);
        }
        match &self.kind {
            Kind::Push(push) => self.of_push(push),
            Kind::PullRequest { pr, .. } => self.of_pull_request(pr),
            Kind::Comment { number, body, .. } => self.of_comment(*number, body.as_deref()),
            Kind::Issue { number } => {
                let issue = Some(self.issue(*number));
                Ok(Event { issue, ..self.plain(EventType::Issue)? })
            }
            Kind::Create(_) | Kind::Delete(_) => Err(Ignored::AlsoAPush),
            Kind::Ping => Err(Ignored::Ping),
            Kind::Release { .. } | Kind::Other => {
                Err(Ignored::NoTrigger { event: self.event.clone() })
            }
        }
    }

    /// The message of the newest commit of a push, for skip markers.
    #[must_use]
    pub fn head_message(&self) -> Option<&str> {
        match &self.kind {
            Kind::Push(push) => push.head_message.as_deref(),
            Kind::PullRequest { .. }
            | Kind::Comment { .. }
            | Kind::Issue { .. }
            | Kind::Release { .. }
            | Kind::Create(_)
            | Kind::Delete(_)
            | Kind::Ping
            | Kind::Other => None,
        }
    }

    /// The pull request that the delivery is about, also when only a comment names it.
    #[must_use]
    pub fn pull_request_number(&self) -> Option<u64> {
        match &self.kind {
            Kind::PullRequest { pr, .. } => Some(pr.number),
            Kind::Comment { number, on_pull_request: true, .. } => *number,
            Kind::Comment { .. }
            | Kind::Push(_)
            | Kind::Issue { .. }
            | Kind::Release { .. }
            | Kind::Create(_)
            | Kind::Delete(_)
            | Kind::Ping
            | Kind::Other => None,
        }
    }

    /// `owner/name`, also where the payload has only its parts.
    #[must_use]
    pub fn repository(&self) -> Option<&str> {
        self.repo.as_deref().or(self.detail.repository.as_deref())
    }

    /// The forge's immutable id of the repository: it survives renames and transfers, and is never given
    /// again.
    #[must_use]
    pub fn repository_id(&self) -> Option<&str> {
        self.detail.repository_id.as_deref()
    }

    /// The forge's id of the sender.
    #[must_use]
    pub const fn sender_id(&self) -> Option<u64> {
        self.detail.sender_id
    }

    fn plain(&self, kind: EventType) -> Result<Event, Ignored> {
        let repository = self.repository().ok_or(Ignored::NoRepository)?;
        let actor = self.sender.as_ref().or(self.detail.actor.as_ref());
        Ok(Event {
            action: cleaned(self.detail.action.as_ref()),
            actor: cleaned(actor),
            association: cleaned(self.detail.association.as_ref()),
            repository: Some(clean(repository)),
            default_branch: cleaned(self.default_branch.as_ref()),
            ..Event::new(kind)
        })
    }

    fn of_push(&self, push: &Push) -> Result<Event, Ignored> {
        if push.change.deleted {
            return Err(Ignored::RefDeleted);
        }
        if push.branch.is_none() && push.tag.is_none() {
            return Err(Ignored::OtherRef { git_ref: push.git_ref.clone() });
        }
        Ok(Event {
            git_ref: Some(clean(&push.git_ref)),
            branch: cleaned(push.branch.as_ref()),
            tag: cleaned(push.tag.as_ref()),
            sha: cleaned(push.sha.as_ref()),
            before: cleaned(push.before.as_ref().filter(|_| !push.change.created)),
            ..self.plain(EventType::Push)?
        })
    }

    fn of_pull_request(&self, pr: &reading::PullRequest) -> Result<Event, Ignored> {
        let side = |name: &Option<String>, sha: &Option<String>, repository: Option<&str>| Branch {
            git_ref: cleaned(name.as_ref()).unwrap_or_default(),
            sha: cleaned(sha.as_ref()).unwrap_or_default(),
            repository: repository.map(clean),
        };
        let pull_request = PullRequest {
            number: pr.number,
            title: self.title(),
            draft: pr.draft.unwrap_or(false),
            labels: self.labels(),
            base: side(&pr.base_ref, &pr.base_sha, self.repository()),
            head: side(&pr.head_ref, &pr.head_sha, pr.head_repo.as_deref()),
            // Compared by ids only: names move, and a flag in a payload is not trusted.
            fork: self.detail.same_repository != Some(true),
        };
        // `ref` and `branch` are this repository's. A fork may call its branch like one of ours, and
        // a condition on `event.branch` must not take the one for the other.
        let own = cleaned(pr.head_ref.as_ref()).filter(|_| !pull_request.fork);
        let git_ref = match &own {
            Some(name) => format!("refs/heads/{name}"),
            None => self.provider.pull_request_ref(pr.number),
        };
        Ok(Event {
            git_ref: Some(git_ref),
            branch: own,
            sha: cleaned(pr.head_sha.as_ref()),
            pull_request: Some(pull_request),
            ..self.plain(EventType::PullRequest)?
        })
    }

    /// A comment does not name the commits of its pull request: the event is about the default
    /// branch, and the number is under `issue` for both, as on GitHub.
    fn of_comment(&self, number: Option<u64>, body: Option<&str>) -> Result<Event, Ignored> {
        if self.detail.comment_elsewhere {
            return Err(Ignored::OtherComment);
        }
        let author = self.detail.author.as_ref().or(self.sender.as_ref());
        let comment = Comment {
            body: clean(body.unwrap_or_default()),
            author: cleaned(author).unwrap_or_default(),
        };
        let issue = self.issue(number);
        let event = self.plain(EventType::IssueComment)?;
        Ok(Event { comment: Some(comment), issue: Some(issue), ..event })
    }

    /// A pull-request event of the queue's branch, with the number from the branch's name.
    fn of_merge_group(&self, group: &MergeGroup) -> Result<Event, Ignored> {
        let short = |name: &str| clean(name.strip_prefix("refs/heads/").unwrap_or(name));
        let repository = self.repository().map(clean);
        let number = group.head_ref.rsplit_once("/pr-").and_then(|(_, rest)| {
            rest.split_once('-').map_or(rest, |(number, _)| number).parse().ok()
        });
        let pull_request = PullRequest {
            number: number.unwrap_or_default(),
            title: String::new(),
            draft: false,
            labels: Vec::new(),
            base: Branch {
                git_ref: short(&group.base_ref),
                sha: cleaned(group.base_sha.as_ref()).unwrap_or_default(),
                repository: repository.clone(),
            },
            head: Branch {
                git_ref: short(&group.head_ref),
                sha: clean(&group.head_sha),
                repository,
            },
            // The queue's commit is the forge's own merge of a change approved by a person with
            // rights.
            fork: !short(&group.head_ref).starts_with(QUEUE_BRANCHES),
        };
        Ok(Event {
            git_ref: Some(clean(&group.head_ref)),
            branch: Some(short(&group.head_ref)),
            sha: Some(clean(&group.head_sha)),
            before: cleaned(group.base_sha.as_ref()),
            pull_request: Some(pull_request),
            ..self.plain(EventType::PullRequest)?
        })
    }

    fn issue(&self, number: Option<u64>) -> Issue {
        Issue { number: number.unwrap_or_default(), title: self.title(), labels: self.labels() }
    }

    fn title(&self) -> String {
        cleaned(self.detail.title.as_ref()).unwrap_or_default()
    }

    fn labels(&self) -> Vec<String> {
        self.detail.labels.iter().take(MAX_LABELS).map(|label| clean(label)).collect()
    }
}

fn cleaned(text: Option<&String>) -> Option<String> {
    text.map(|text| clean(text))
}

/// Text that every database and command line can hold: no NUL, and of bounded length.
fn clean(text: &str) -> String {
    let mut end = text.len().min(MAX_TEXT_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().replace('\0', "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::{MAX_TEXT_BYTES, clean};

    #[test]
    fn event_texts_lack_nul_and_end_at_characters() {
        assert_eq!(clean("a\0b"), "a\u{fffd}b");
        let long = "é".repeat(MAX_TEXT_BYTES);
        assert_eq!(clean(&long).len(), MAX_TEXT_BYTES);
        assert_eq!(clean(&format!("x{long}")).len(), MAX_TEXT_BYTES - 1);
    }
}
