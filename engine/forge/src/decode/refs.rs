//! Refs, commit ids and ids of repositories as all forges write them.

use crate::loose::Loose;

/// The branch or tag that a full ref names.
pub(super) fn split(git_ref: &str) -> (Option<String>, Option<String>) {
    let name = |prefix: &str| {
        let name = git_ref.strip_prefix(prefix).filter(|name| !name.is_empty());
        name.map(str::to_owned)
    };
    (name("refs/heads/"), name("refs/tags/"))
}

/// True if an id stands for "no commit": zeros only, of either hash.
pub(super) fn is_zero(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| byte == b'0')
}

/// The id of a repository: a positive number on every forge.
pub(super) fn id(place: Loose<'_>) -> Option<String> {
    place.number().filter(|id| *id > 0).map(|id| id.to_string())
}
