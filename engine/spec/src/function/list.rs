//! Functions of lists and maps.

use std::cmp::Ordering;

use serde_json::Value as Json;

use super::{Args, arg, list_arg, map_arg, wrong};
use crate::{
    error::Error,
    evaluate::Cost,
    number::Num,
    operator::{contains, order},
};

pub(super) fn size(args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
    let size = match arg(args, 0) {
        Json::String(text) => {
            cost.spend(text.len() / 8)?;
            text.chars().count()
        }
        Json::Array(items) => items.len(),
        Json::Object(map) => map.len(),
        other @ (Json::Null | Json::Bool(_) | Json::Number(_)) => {
            return Err(wrong("a text, list or map", other));
        }
    };
    Ok(Json::from(size))
}

pub(super) fn first(args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
    end(list_arg(args, 0, cost)?.first(), cost)
}

pub(super) fn last(args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
    end(list_arg(args, 0, cost)?.last(), cost)
}

fn end(item: Option<&Json>, cost: &mut Cost) -> Result<Json, Error> {
    let empty = || Error::Missing {
        path: "the element".to_owned(),
        why: "the list is empty".to_owned(),
        nearest: None,
    };
    let item = item.ok_or_else(empty)?;
    cost.weigh(item)?;
    Ok(item.clone())
}

pub(super) fn keys(args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
    let mut keys: Vec<&String> = map_arg(args, 0)?.keys().collect();
    keys.sort();
    cost.spend(keys.iter().map(|key| 1 + key.len() / 8).sum())?;
    Ok(keys.into_iter().cloned().collect())
}

pub(super) fn values(args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
    cost.weigh(arg(args, 0))?;
    let mut entries: Vec<_> = map_arg(args, 0)?.iter().collect();
    entries.sort_by_key(|(key, _)| *key);
    Ok(entries.into_iter().map(|(_, value)| value.clone()).collect())
}

pub(super) fn sort(args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
    cost.weigh(arg(args, 0))?;
    let mut items = list_arg(args, 0, cost)?.to_vec();
    cost.spend(items.len().saturating_mul(16))?;
    if let Some((head, rest)) = items.split_first() {
        rest.iter().try_for_each(|item| order("_<_", head, item).map(|_| ()))?;
    }
    items.sort_by(|a, b| {
        let order = order("_<_", a, b).ok().flatten();
        order.unwrap_or(Ordering::Equal)
    });
    Ok(Json::Array(items))
}

pub(super) fn distinct(args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
    let mut kept = Json::Array(Vec::new());
    for item in list_arg(args, 0, cost)? {
        if !contains(item, &kept, cost)? {
            cost.weigh(item)?;
            if let Json::Array(items) = &mut kept {
                items.push(item.clone());
            }
        }
    }
    Ok(kept)
}

pub(super) fn reverse(args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
    cost.weigh(arg(args, 0))?;
    Ok(list_arg(args, 0, cost)?.iter().rev().cloned().collect())
}

pub(super) fn min(args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
    extreme(args, cost, Ordering::Less)
}

pub(super) fn max(args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
    extreme(args, cost, Ordering::Greater)
}

/// Of a list, or of several values.
fn extreme(args: Args<'_, '_>, cost: &mut Cost, wanted: Ordering) -> Result<Json, Error> {
    let items: Vec<&Json> = match args {
        [_] => list_arg(args, 0, cost)?.iter().collect(),
        several => several.iter().map(AsRef::as_ref).collect(),
    };
    items.iter().try_for_each(|item| cost.weigh(item))?;
    let mut items = items.into_iter();
    let mut found = items.next();
    for item in items {
        if let Some(best) = found
            && order("_<_", item, best)? == Some(wanted)
        {
            found = Some(item);
        }
    }
    end(found, cost)
}

/// The elements from `start` to before `end`.
pub(super) fn slice(args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
    let items = list_arg(args, 0, cost)?;
    let position = |value: &Json| {
        let at = value.as_u64().and_then(|at| usize::try_from(at).ok());
        at.ok_or_else(|| Error::Arithmetic(format!("{value} is no position in a list")))
    };
    let start = position(arg(args, 1))?.min(items.len());
    let end = match args.len() {
        2 => items.len(),
        _ => position(arg(args, 2))?.clamp(start, items.len()),
    };
    let part = items.get(start..end).unwrap_or_default();
    part.iter().try_for_each(|item| cost.weigh(item))?;
    Ok(part.iter().cloned().collect())
}

/// The elements of the lists in a list, and what is no list as it is.
pub(super) fn flatten(args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
    cost.weigh(arg(args, 0))?;
    let mut flat = Vec::new();
    for item in list_arg(args, 0, cost)? {
        match item {
            Json::Array(items) => flat.extend(items.iter().cloned()),
            other => flat.push(other.clone()),
        }
    }
    Ok(Json::Array(flat))
}

pub(super) fn sum(args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
    let mut total = Num::Int(0);
    for item in list_arg(args, 0, cost)? {
        let Json::Number(number) = item else {
            return Err(wrong("a list of numbers", item));
        };
        total = total.calculate('+', Num::of(number))?;
    }
    total.json()
}
