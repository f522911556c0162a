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

fn extreme(args: Args<'_, '_>, cost: &mut Cost, wanted: Ordering) -> Result<Json, Error> {
    cost.weigh(arg(args, 0))?;
    let mut items = list_arg(args, 0, cost)?.iter();
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
