//! `read`, `write`, `edit`: regular files of the working directory.

use std::io::{BufRead as _, BufReader, Read as _};

use memchr::memmem;

use super::super::{content::Content, input, jail::Jail};

/// Lines of one read, unless the call sets `limit`.
const DEFAULT_LINES: u64 = 2_000;
/// Lines of one read at most.
const MAX_LINES: u64 = 10_000;
/// Bytes of a line that are shown.
const MAX_LINE_BYTES: usize = 2_000;
/// Bytes of one read that are shown.
const MAX_SHOWN_BYTES: usize = 200 * 1024;
/// Bytes of a file that are looked at for lines.
const MAX_READ_BYTES: u64 = 256 * 1024 * 1024;
/// Bytes of a file that is edited.
const MAX_EDIT_BYTES: usize = 8 * 1024 * 1024;

/// Lines of a file with their numbers.
pub(super) fn read(jail: &Jail, input: &str) -> Result<Content, String> {
    let input: input::Read = input::parse(input)?;
    let first = input.offset.unwrap_or(1).max(1);
    let wanted = input.limit.unwrap_or(DEFAULT_LINES).clamp(1, MAX_LINES);
    let mut file = BufReader::new(jail.file(&input.path)?.take(MAX_READ_BYTES));
    let failed = |error| format!("{:?}: {error}", input.path);
    let mut shown = Content::default();
    let (mut number, mut bytes) = (0_u64, 0_usize);
    loop {
        let is_wanted = number + 1 >= first;
        let Some(line) = next_line(&mut file, is_wanted).map_err(failed)? else { break };
        number += 1;
        if !is_wanted {
            continue;
        }
        if memchr::memchr(0, &line.start).is_some() {
            return Err(format!("{:?} is not text (it has a NUL byte)", input.path));
        }
        if number >= first + wanted || bytes >= MAX_SHOWN_BYTES {
            shown.push(format!("[more lines follow; read on with offset {number}]\n").as_bytes());
            return Ok(shown);
        }
        let front = format!("{number}\t");
        shown.push(front.as_bytes());
        shown.push(&line.start);
        if line.rest > 0 {
            shown.push(format!(" [{} bytes more in this line]", line.rest).as_bytes());
        }
        shown.push(b"\n");
        bytes += front.len() + line.start.len() + 1;
    }
    if shown.is_empty() {
        let text = match number {
            0 => "[the file is empty]\n".to_owned(),
            _ => format!("[the file has {number} lines; there is none at offset {first}]\n"),
        };
        return Ok(Content::text(text));
    }
    Ok(shown)
}

/// A line without its end.
struct Line {
    start: Vec<u8>,
    /// Bytes that are not shown.
    rest: u64,
}

fn next_line(
    file: &mut BufReader<std::io::Take<std::fs::File>>,
    is_wanted: bool,
) -> std::io::Result<Option<Line>> {
    let mut line = Line { start: Vec::new(), rest: 0 };
    let mut is_any = false;
    loop {
        let piece = file.fill_buf()?;
        if piece.is_empty() {
            return Ok(is_any.then_some(line));
        }
        is_any = true;
        let end = memchr::memchr(b'\n', piece);
        let text = piece.get(..end.unwrap_or(piece.len())).unwrap_or_default();
        if is_wanted {
            let room = MAX_LINE_BYTES.saturating_sub(line.start.len()).min(text.len());
            line.start.extend_from_slice(text.get(..room).unwrap_or_default());
            line.rest += (text.len() - room) as u64;
        }
        let taken = end.map_or(piece.len(), |end| end + 1);
        file.consume(taken);
        if end.is_some() {
            return Ok(Some(line));
        }
    }
}

pub(super) fn write(jail: &Jail, input: &str) -> Result<Content, String> {
    let input: input::Write = input::parse(input)?;
    let is_new = jail.write(&input.path, input.content.as_bytes())?;
    let what = if is_new { "made" } else { "replaced" };
    Ok(Content::text(format!("{what} {} ({} bytes)\n", input.path, input.content.len())))
}

/// Replaces a text that occurs once, or each occurrence if the call sets `replace_all`.
pub(super) fn edit(jail: &Jail, input: &str) -> Result<Content, String> {
    let input: input::Edit = input::parse(input)?;
    let (old, new) = (input.old_string.as_bytes(), input.new_string.as_bytes());
    if old.is_empty() {
        return Err("old_string is empty; use the tool `write` to make a file".to_owned());
    }
    if old == new {
        return Err("old_string and new_string are the same".to_owned());
    }
    if jail.may_write(&input.path)?.is_none() {
        return Err(format!("{:?} does not exist; use the tool `write` to make it", input.path));
    }
    let bytes = jail.read(&input.path, MAX_EDIT_BYTES)?;
    let places: Vec<_> = memmem::find_iter(&bytes, old).collect();
    match places.len() {
        0 => {
            return Err(format!(
                "old_string is not in {:?}; read the file and give its exact text without line numbers",
                input.path
            ));
        }
        1 => {}
        many if !input.replace_all => {
            return Err(format!(
                "old_string is in {:?} {many} times; give more of the text around it, or set replace_all",
                input.path
            ));
        }
        _ => {}
    }
    let size = bytes.len() - places.len() * old.len() + places.len().saturating_mul(new.len());
    if size > MAX_EDIT_BYTES {
        return Err(format!("{:?} would be larger than {MAX_EDIT_BYTES} bytes", input.path));
    }
    let mut edited = Vec::with_capacity(size);
    let mut at = 0;
    for place in &places {
        edited.extend_from_slice(bytes.get(at..*place).unwrap_or_default());
        edited.extend_from_slice(new);
        at = place + old.len();
    }
    edited.extend_from_slice(bytes.get(at..).unwrap_or_default());
    jail.write(&input.path, &edited)?;
    Ok(Content::text(format!("edited {}: {} replaced\n", input.path, places.len())))
}
