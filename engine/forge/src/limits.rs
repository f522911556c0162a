//! Every limit of this crate, as a named constant.

/// Bytes of one delivery: what GitHub sends at most (25 MB). Larger ones are refused without being
/// read to their end.
pub const MAX_BODY_BYTES: usize = 25 * 1024 * 1024;
/// Seconds that a signed timestamp may be away from our clock, in both directions.
pub const REPLAY_WINDOW_S: i64 = 5 * 60;
/// Signatures in one `webhook-signature` header that are looked at.
pub const MAX_SIGNATURES: usize = 32;
/// Bytes of one text (title, comment) that an event carries; longer ones are cut.
pub const MAX_TEXT_BYTES: usize = 256 * 1024;
/// Labels that an event carries.
pub const MAX_LABELS: usize = 1_000;
/// Bytes of a delivery id that is taken as it is; a longer one is replaced by its digest.
pub const MAX_DELIVERY_ID_BYTES: usize = 128;
/// Bytes of one file of a commit that are read into memory.
pub const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes of the answer of one git command (lists of files).
pub const MAX_GIT_ANSWER_BYTES: usize = 128 * 1024 * 1024;
/// Files of a commit, and files that differ between two. Twelve objects of git can name 10^12.
pub const MAX_LISTED: usize = 1_000_000;
/// Bytes of the message of a commit.
pub const MAX_MESSAGE_BYTES: u64 = 1024 * 1024;
/// Bytes of memory that a git command on a mirror may write to.
pub const GIT_MEMORY_BYTES: u64 = 512 * 1024 * 1024;
/// Bytes of memory that each process of a fetch may write to.
pub const FETCH_MEMORY_BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// Seconds of CPU time that a git command on a mirror may take.
pub const GIT_CPU_S: u64 = 60;
/// Bytes of the archive of one commit.
pub const MAX_ARCHIVE_BYTES: u64 = 8 * 1024 * 1024 * 1024;
/// Bytes of the list of objects of a checkout's history: 41 each.
pub const MAX_HISTORY_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes of packs up to which a checkout has all contents of its history by default.
pub const MAX_WHOLE_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes of `.gitmodules` or `.lfsconfig`.
pub const MAX_GITMODULES_BYTES: u64 = 1024 * 1024;
/// Submodules of one commit.
pub const MAX_SUBMODULES: usize = 256;
/// Files of one commit whose contents Git LFS keeps.
pub const MAX_LFS_OBJECTS: usize = 20_000;
/// Seconds that a fetch may take.
pub const FETCH_TIMEOUT_S: u64 = 15 * 60;
/// Seconds that a command on a mirror may take.
pub const GIT_TIMEOUT_S: u64 = 2 * 60;
/// Bytes of one answer of a forge's API.
pub const MAX_API_ANSWER_BYTES: usize = 16 * 1024 * 1024;
/// Characters of the text of a commit status: the smallest limit of the forges (GitHub's).
pub const MAX_DESCRIPTION_CHARS: usize = 140;
/// Characters of a comment or a check's text: GitHub takes 65,536 bytes-or-characters.
pub const MAX_COMMENT_CHARS: usize = 60_000;
/// Annotations in one call: what GitHub takes.
pub const ANNOTATIONS_PER_CALL: usize = 50;
/// Annotations of one check.
pub const MAX_ANNOTATIONS: usize = 500;
/// Pages of comments that are searched for ours.
pub const MAX_COMMENT_PAGES: u32 = 20;
/// Findings of one proposal.
pub const MAX_PROPOSED_FINDINGS: usize = 200;
/// Findings that one comment shows.
pub const MAX_FINDINGS: usize = 50;
/// Characters of the body of a finding, and of a summary.
pub const MAX_FINDING_CHARS: usize = 4_000;
/// Characters of the title of a finding.
pub const MAX_FINDING_TITLE_CHARS: usize = 200;
/// Characters of the path of a finding.
pub const MAX_FINDING_PATH_CHARS: usize = 400;
