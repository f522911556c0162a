//! The selection of a checkout's content, read from git's answers. Pure.

use std::{
    collections::{HashMap, HashSet},
    num::NonZeroU32,
};

use crate::git::commit_id::CommitId;

/// A tag of the mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tag {
    /// Full name of the ref.
    pub(super) name: String,
    /// The tag object, or what a plain tag leads to.
    pub(super) object: String,
    /// The object that an annotated tag leads to; `None` for a plain tag.
    peeled: Option<String>,
}

/// The objects and tags of a checkout.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Picked {
    /// Ids of objects, one a line.
    pub(super) objects: String,
    /// Ids of contents that are not in the mirror, one a line.
    pub(super) missing: String,
    pub(super) tags: Vec<Tag>,
    /// Commits whose parents are left out.
    pub(super) boundary: Vec<String>,
    /// True if contents of included commits are left out.
    pub(super) is_partial: bool,
}

// === impl Tag ===

impl Tag {
    pub(super) fn leads_to(&self) -> &str {
        self.peeled.as_deref().unwrap_or(&self.object)
    }
}

// === impl Picked ===

impl Picked {
    /// From the lines of `rev-list --objects`; the missing ones begin with `?`.
    pub(super) fn of(listed: &str, tags: Vec<Tag>) -> Self {
        let mut picked = Self { tags, ..Self::default() };
        for line in listed.lines() {
            let (list, id) = match line.strip_prefix('?') {
                Some(id) => (&mut picked.missing, id),
                None => (&mut picked.objects, line),
            };
            list.push_str(id);
            list.push('\n');
        }
        picked.is_partial = !picked.missing.is_empty();
        picked
    }
}

/// Commits, one a line.
pub(super) fn ids(commits: &[CommitId]) -> String {
    commits.iter().map(|commit| format!("{commit}\n")).collect()
}

/// The tags in lines of object, peeled object and name.
pub(super) fn parse_tags(listed: &str) -> Vec<Tag> {
    let tag = |line: &str| {
        let mut words = line.splitn(3, ' ');
        let (object, peeled, name) = (words.next()?, words.next()?, words.next()?);
        let peeled = (!peeled.is_empty()).then(|| peeled.to_owned());
        Some(Tag { name: name.to_owned(), object: object.to_owned(), peeled })
    };
    listed.lines().filter_map(tag).collect()
}

/// The commits at most so deep below others, and those of them whose parents are deeper. Each line has a
/// commit and its parents.
pub(super) fn within(
    listed: &str,
    first: &[CommitId],
    depth: NonZeroU32,
) -> (Vec<String>, Vec<String>) {
    let line = |line: &'_ str| -> Option<(String, Vec<String>)> {
        let mut words = line.split(' ').map(str::to_owned);
        Some((words.next()?, words.collect()))
    };
    let parents: HashMap<String, Vec<String>> = listed.lines().filter_map(line).collect();
    let mut included: Vec<String> = Vec::new();
    let mut known: HashSet<&str> = HashSet::new();
    let mut level: Vec<&str> = first.iter().map(CommitId::as_str).collect();
    for _ in 0..depth.get() {
        level.retain(|commit| known.insert(commit));
        if level.is_empty() {
            break;
        }
        included.extend(level.iter().map(|commit| (*commit).to_owned()));
        let next = level.iter().filter_map(|commit| parents.get(*commit)).flatten();
        level = next.map(String::as_str).collect();
    }
    let is_cut = |commit: &&String| {
        let parents = parents.get(*commit).into_iter().flatten();
        parents.into_iter().any(|parent| !known.contains(parent.as_str()))
    };
    let boundary = included.iter().filter(is_cut).cloned().collect();
    (included, boundary)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(digit: char) -> String {
        digit.to_string().repeat(40)
    }

    #[test]
    fn depth_counts_generations_through_merges() {
        let lines = [['1', '2', '3'], ['2', '4', ' '], ['3', '4', ' '], ['4', '5', ' ']];
        let lines = lines.map(|words| {
            words.into_iter().filter(|c| *c != ' ').map(id).collect::<Vec<_>>().join(" ")
        });
        let lines = lines.join("\n") + "\n" + &id('5');
        let first = [CommitId::new(&id('1')).unwrap()];
        let at = |depth| within(&lines, &first, NonZeroU32::new(depth).unwrap());
        assert_eq!(at(1), (vec![id('1')], vec![id('1')]));
        assert_eq!(at(2), (['1', '2', '3'].map(id).to_vec(), ['2', '3'].map(id).to_vec()));
        assert_eq!(at(9), (['1', '2', '3', '4', '5'].map(id).to_vec(), Vec::new()));
    }

    #[test]
    fn missing_contents_make_a_checkout_partial() {
        let picked = Picked::of("a\n?b\nc\n", Vec::new());
        assert_eq!((&*picked.objects, &*picked.missing), ("a\nc\n", "b\n"));
        assert!(picked.is_partial);
        assert!(!Picked::of("a\n", Vec::new()).is_partial);
    }
}
