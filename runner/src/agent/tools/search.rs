//! `glob` and `grep`: search in the working directory, with bounds of entries, bytes and time.
//!
//! Files that Git ignores, and `.git` itself, are left out. Links are not followed.

use std::{
    collections::VecDeque,
    ffi::OsStr,
    io::Read as _,
    path::{Path, PathBuf},
};

use globset::{GlobBuilder, GlobMatcher};
use ignore::{WalkBuilder, overrides::Override};
use regex::bytes::{Regex, RegexBuilder};

use super::{
    super::{content::Content, input, jail::Jail},
    Budget,
};

/// Entries that are looked at.
const MAX_ENTRIES: usize = 500_000;
/// Paths that `glob` gives.
const MAX_PATHS: usize = 2_000;
/// Lines that `grep` gives, context included.
const MAX_LINES: usize = 1_000;
/// Bytes of a line that `grep` shows.
const MAX_LINE_BYTES: usize = 500;
/// Lines around a match.
const MAX_CONTEXT: u64 = 20;
/// Bytes of a file that `grep` reads; larger ones are left out.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;
/// Bytes of all files that `grep` reads.
const MAX_BYTES: u64 = 1024 * 1024 * 1024;
/// Bytes of a compiled pattern.
const MAX_PATTERN_BYTES: usize = 4 * 1024 * 1024;
/// Characters of a pattern.
const MAX_PATTERN_CHARS: usize = 4_000;

/// Paths that fit a pattern.
pub(super) fn glob(jail: &Jail, input: &str, budget: &Budget) -> Result<Content, String> {
    let input: input::Glob = input::parse(input)?;
    let matcher = matcher(&input.pattern)?;
    let mut found = Vec::new();
    let start = jail.folder(input.path.as_deref().unwrap_or_default())?;
    let is_whole = walk(jail, &start, budget, |path| {
        let below = path.strip_prefix(&start).unwrap_or(path);
        if matcher.is_match(below) {
            found.push(path.to_owned());
        }
        found.len() <= MAX_PATHS
    });
    let mut shown = Content::default();
    for path in found.iter().take(MAX_PATHS) {
        shown.push(path.as_os_str().as_encoded_bytes());
        shown.push(b"\n");
    }
    if found.is_empty() {
        shown.push(b"[no file fits; `**/` matches folders at any depth]\n");
    }
    ended(&mut shown, is_whole && found.len() <= MAX_PATHS);
    Ok(shown)
}

/// Lines that fit a regular expression.
pub(super) fn grep(jail: &Jail, input: &str, budget: &Budget) -> Result<Content, String> {
    let input: input::Grep = input::parse(input)?;
    if input.pattern.chars().count() > MAX_PATTERN_CHARS {
        return Err(format!("a pattern has at most {MAX_PATTERN_CHARS} characters"));
    }
    let regex = RegexBuilder::new(&input.pattern)
        .multi_line(true)
        .crlf(true)
        .case_insensitive(input.ignore_case)
        .size_limit(MAX_PATTERN_BYTES)
        .dfa_size_limit(MAX_PATTERN_BYTES)
        .build()
        .map_err(|error| format!("the pattern is no regular expression of Rust: {error}"))?;
    let only = input.glob.as_deref().map(matcher).transpose()?;
    let start = jail.folder(input.path.as_deref().unwrap_or_default())?;
    let mut search = Search {
        regex,
        context: usize::try_from(input.context.min(MAX_CONTEXT)).unwrap_or(0),
        lines: 0,
        bytes: 0,
        large: 0,
        shown: Content::default(),
    };
    let is_whole = walk(jail, &start, budget, |path| {
        let below = path.strip_prefix(&start).unwrap_or(path);
        let below = if below.as_os_str().is_empty() { path } else { below };
        let fits = only.as_ref().is_none_or(|only| {
            only.is_match(below) || below.file_name().is_some_and(|name| only.is_match(name))
        });
        if fits {
            search.file(jail, path, budget);
        }
        search.lines < MAX_LINES && search.bytes < MAX_BYTES
    });
    if search.shown.is_empty() {
        search.shown.push(b"[nothing fits]\n");
    }
    if search.large > 0 {
        let line =
            format!("[{} files larger than {MAX_FILE_BYTES} bytes were left out]\n", search.large);
        search.shown.push(line.as_bytes());
    }
    ended(&mut search.shown, is_whole);
    Ok(search.shown)
}

fn is_end(byte: &u8) -> bool {
    *byte == b'\n'
}

fn ended(shown: &mut Content, is_whole: bool) {
    if !is_whole {
        shown.push(b"[there may be more: a limit was reached; search in a folder, or for less]\n");
    }
}

fn matcher(pattern: &str) -> Result<GlobMatcher, String> {
    if pattern.chars().count() > MAX_PATTERN_CHARS {
        return Err(format!("a pattern has at most {MAX_PATTERN_CHARS} characters"));
    }
    let pattern = pattern.strip_prefix("./").unwrap_or(pattern);
    let glob = GlobBuilder::new(pattern).literal_separator(true).build();
    let glob = glob.map_err(|error| format!("the pattern is no glob: {error}"))?;
    Ok(glob.compile_matcher())
}

/// Hands over each regular file, with its path relative to the working directory, in the order of
/// names, until `see` wants no more. Whether all were seen.
fn walk(jail: &Jail, start: &str, budget: &Budget, mut see: impl FnMut(&Path) -> bool) -> bool {
    let root: PathBuf = jail.root().join(start);
    let walk = WalkBuilder::new(root)
        .hidden(false)
        .parents(false)
        .ignore(false)
        .git_global(false)
        .git_exclude(false)
        .require_git(false)
        .follow_links(false)
        .max_filesize(None)
        .overrides(Override::empty())
        .sort_by_file_name(OsStr::cmp)
        .filter_entry(|entry| entry.file_name() != ".git")
        .build();
    for (count, entry) in walk.enumerate() {
        if count >= MAX_ENTRIES || budget.is_over() {
            return false;
        }
        let Ok(entry) = entry else { continue };
        if !entry.file_type().is_some_and(|kind| kind.is_file()) {
            continue;
        }
        let Ok(path) = entry.path().strip_prefix(jail.root()) else { continue };
        if !see(path) {
            return false;
        }
    }
    true
}

struct Search {
    regex: Regex,
    context: usize,
    lines: usize,
    bytes: u64,
    large: usize,
    shown: Content,
}

// === impl Search ===

impl Search {
    fn file(&mut self, jail: &Jail, path: &Path, budget: &Budget) {
        // A name that is no text cannot be asked for either.
        let Some(name) = path.to_str() else { return };
        let Ok(file) = jail.file(name) else { return };
        let mut bytes = Vec::new();
        let read = file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes);
        if read.is_err() {
            return;
        }
        self.bytes += bytes.len() as u64;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            self.large += 1;
            return;
        }
        let start = bytes.get(..8_192.min(bytes.len())).unwrap_or_default();
        if memchr::memchr(0, start).is_some() || !self.regex.is_match(&bytes) {
            return;
        }
        let mut before: VecDeque<(usize, &[u8])> = VecDeque::new();
        let mut after = 0;
        for (at, line) in bytes.strip_suffix(b"\n").unwrap_or(&bytes).split(is_end).enumerate() {
            if self.lines >= MAX_LINES || budget.is_over() {
                return;
            }
            if self.regex.is_match(line) {
                for (at, line) in before.drain(..) {
                    self.line(name, at, line, '-');
                }
                self.line(name, at, line, ':');
                after = self.context;
            } else if after > 0 {
                after -= 1;
                self.line(name, at, line, '-');
            } else if self.context > 0 {
                if before.len() == self.context {
                    before.pop_front();
                }
                before.push_back((at, line));
            }
        }
    }

    fn line(&mut self, name: &str, at: usize, line: &[u8], mark: char) {
        self.shown.push(format!("{name}{mark}{}{mark}", at + 1).as_bytes());
        let (start, rest) = line.split_at(MAX_LINE_BYTES.min(line.len()));
        self.shown.push(start);
        if !rest.is_empty() {
            self.shown.push(format!(" [{} bytes more]", rest.len()).as_bytes());
        }
        self.shown.push(b"\n");
        self.lines += 1;
    }
}
