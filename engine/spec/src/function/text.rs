//! Functions of texts. Positions count characters from 0.

use plue_plan::regex_cost::states;
use regex::RegexBuilder;
use serde_json::Value as Json;

use super::{Args, arg, list_arg, made, text_arg, wrong};
use crate::{error::Error, evaluate::Cost, operator, template::text_of};

/// Bytes that a compiled regular expression may take.
const MAX_REGEX_BYTES: usize = 256 * 1024;
/// Units for one part of a text that is split: it takes more memory than it has bytes.
const PART_COST: usize = 4;
/// States of a pattern that take a byte in one unit of work.
const STATES_PER_UNIT: usize = 16;
/// Units of work to compile one.
const REGEX_COST: usize = 2_000;

pub(super) fn contains(args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
    if arg(args, 0).is_array() {
        return operator::contains(arg(args, 1), arg(args, 0), cost).map(Json::Bool);
    }
    let (text, part) = (text_arg(args, 0, cost)?, text_arg(args, 1, cost)?);
    Ok(Json::Bool(text.contains(part)))
}

pub(super) fn starts_with(args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
    let (text, part) = (text_arg(args, 0, cost)?, text_arg(args, 1, cost)?);
    Ok(Json::Bool(text.starts_with(part)))
}

pub(super) fn ends_with(args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
    let (text, part) = (text_arg(args, 0, cost)?, text_arg(args, 1, cost)?);
    Ok(Json::Bool(text.ends_with(part)))
}

/// The engine is linear in the text times the states of the pattern, whose compiled size is bounded.
pub(super) fn matches(args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
    let (text, pattern) = (text_arg(args, 0, cost)?, text_arg(args, 1, cost)?);
    let per_byte = (states(pattern) / STATES_PER_UNIT).max(1);
    cost.spend(text.len().saturating_mul(per_byte).saturating_add(REGEX_COST))?;
    let regex = RegexBuilder::new(pattern)
        .size_limit(MAX_REGEX_BYTES)
        .dfa_size_limit(MAX_REGEX_BYTES)
        .nest_limit(32)
        .build();
    let regex = regex.map_err(|error| {
        let reason = error.to_string();
        let reason = reason.lines().last().unwrap_or("it is malformed").trim();
        Error::BadRegex(format!("{} is no regular expression: {reason}", arg(args, 1)))
    })?;
    Ok(Json::Bool(regex.is_match(text)))
}

pub(super) fn lower(args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
    made(text_arg(args, 0, cost)?.to_ascii_lowercase(), cost)
}

pub(super) fn upper(args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
    made(text_arg(args, 0, cost)?.to_ascii_uppercase(), cost)
}

pub(super) fn lower_all(args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
    made(text_arg(args, 0, cost)?.to_lowercase(), cost)
}

pub(super) fn upper_all(args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
    made(text_arg(args, 0, cost)?.to_uppercase(), cost)
}

pub(super) fn trim(args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
    made(text_arg(args, 0, cost)?.trim().to_owned(), cost)
}

/// Paid for before it is made: many short matches can become a text far larger than both.
pub(super) fn replace(args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
    let (text, old) = (text_arg(args, 0, cost)?, text_arg(args, 1, cost)?);
    let new = text_arg(args, 2, cost)?;
    let found = text.matches(old).count();
    cost.spend(found.saturating_mul(new.len()) / 8)?;
    made(text.replace(old, new), cost)
}

pub(super) fn split(args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
    let (text, separator) = (text_arg(args, 0, cost)?, text_arg(args, 1, cost)?);
    if separator.is_empty() {
        cost.spend(text.len().saturating_mul(PART_COST))?;
        return Ok(text.chars().map(|c| Json::String(c.to_string())).collect());
    }
    cost.spend(text.matches(separator).count().saturating_mul(PART_COST))?;
    Ok(text.split(separator).map(|part| Json::String(part.to_owned())).collect())
}

pub(super) fn lines(args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
    let text = text_arg(args, 0, cost)?;
    cost.spend(text.lines().count().saturating_mul(PART_COST))?;
    Ok(text.lines().map(|line| Json::String(line.to_owned())).collect())
}

/// All values as text, one behind the other.
pub(super) fn concat(args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
    let mut joined = String::new();
    for value in args {
        cost.weigh(value)?;
        joined.push_str(&text_of(value));
    }
    made(joined, cost)
}

pub(super) fn capitalize(args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
    let text = text_arg(args, 0, cost)?;
    let mut rest = text.chars();
    let first = rest.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    made(first + rest.as_str(), cost)
}

/// At most so many characters, the last of them `…` if something is left out.
pub(super) fn truncate(args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
    let text = text_arg(args, 0, cost)?;
    let most = position(arg(args, 1), usize::MAX)?;
    if text.chars().count() <= most {
        return made(text.to_owned(), cost);
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    made(if most == 0 { kept } else { kept + "…" }, cost)
}

pub(super) fn join(args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
    let separator = match args.len() {
        1 => "",
        _ => text_arg(args, 1, cost)?,
    };
    let items = list_arg(args, 0, cost)?;
    cost.spend(items.len().saturating_mul(separator.len()) / 8)?;
    let mut parts = Vec::with_capacity(items.len());
    for item in items {
        if item.is_array() || item.is_object() {
            return Err(wrong("a list of texts, numbers and truths", item));
        }
        cost.weigh(item)?;
        parts.push(text_of(item));
    }
    made(parts.join(separator), cost)
}

pub(super) fn substring(args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
    let text = text_arg(args, 0, cost)?;
    let length = text.chars().count();
    let start = position(arg(args, 1), length)?;
    let end = match args.len() {
        2 => length,
        _ => position(arg(args, 2), length)?,
    };
    if start > end {
        return Err(Error::Arithmetic(format!("position {start} is behind {end}")));
    }
    made(text.chars().skip(start).take(end - start).collect(), cost)
}

fn position(value: &Json, length: usize) -> Result<usize, Error> {
    let at = value.as_u64().and_then(|at| usize::try_from(at).ok());
    at.filter(|at| *at <= length).ok_or_else(|| {
        Error::Arithmetic(format!("{value} is no position in a text of {length} characters"))
    })
}

pub(super) fn last_index_of(args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
    let (text, part) = (text_arg(args, 0, cost)?, text_arg(args, 1, cost)?);
    Ok(match text.rfind(part) {
        Some(byte) => Json::from(text[..byte].chars().count()),
        None => Json::from(-1),
    })
}

pub(super) fn index_of(args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
    let (text, part) = (text_arg(args, 0, cost)?, text_arg(args, 1, cost)?);
    Ok(match text.find(part) {
        Some(byte) => Json::from(text[..byte].chars().count()),
        None => Json::from(-1),
    })
}
