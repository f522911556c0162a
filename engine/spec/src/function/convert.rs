//! Functions between kinds of values.

use serde_json::Value as Json;

use super::{Args, arg, made, text_arg, wrong};
use crate::{
    error::Error,
    evaluate::Cost,
    number::{self, Num},
};

pub(super) fn string(args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
    match arg(args, 0) {
        Json::String(text) => made(text.clone(), cost),
        Json::Number(number) => made(number::text(number), cost),
        Json::Bool(truth) => made(truth.to_string(), cost),
        other @ (Json::Null | Json::Array(_) | Json::Object(_)) => {
            Err(wrong("a text, number or truth", other))
        }
    }
}

pub(super) fn int(args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
    let Json::Number(number) = arg(args, 0) else {
        let text = text_arg(args, 0, cost)?;
        let no_number = |_| Error::Arithmetic(format!("{} is no whole number", arg(args, 0)));
        return Num::Int(text.trim().parse().map_err(no_number)?).json();
    };
    let int = match Num::of(number) {
        Num::Int(int) => Some(int),
        Num::Double(double) => whole(double),
    };
    let out_of_range = || Error::Arithmetic(format!("{number} is out of range"));
    Num::Int(int.ok_or_else(out_of_range)?).json()
}

#[expect(clippy::cast_possible_truncation, reason = "the range is checked before")]
fn whole(double: f64) -> Option<i64> {
    const EDGE: f64 = 9_223_372_036_854_775_808.0;
    (double > -EDGE && double < EDGE).then_some(double as i64)
}

pub(super) fn double(args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
    if let Json::Number(number) = arg(args, 0) {
        return Num::Double(Num::of(number).double()).json();
    }
    let text = text_arg(args, 0, cost)?;
    let no_number = |_| Error::Arithmetic(format!("{} is no number", arg(args, 0)));
    Num::Double(text.trim().parse().map_err(no_number)?).json()
}

pub(super) fn bool(args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
    if let Json::Bool(truth) = arg(args, 0) {
        return Ok(Json::Bool(*truth));
    }
    match text_arg(args, 0, cost)? {
        "true" | "True" | "TRUE" | "1" => Ok(Json::Bool(true)),
        "false" | "False" | "FALSE" | "0" => Ok(Json::Bool(false)),
        _ => Err(Error::Arithmetic(format!("{} is neither true nor false", arg(args, 0)))),
    }
}

pub(super) fn kind(args: Args<'_, '_>, _: &mut Cost) -> Result<Json, Error> {
    let name = match arg(args, 0) {
        Json::Null => "null_type",
        Json::Bool(_) => "bool",
        Json::Number(number) => match Num::of(number) {
            Num::Int(_) => "int",
            Num::Double(_) => "double",
        },
        Json::String(_) => "string",
        Json::Array(_) => "list",
        Json::Object(_) => "map",
    };
    Ok(Json::String(name.to_owned()))
}

pub(super) fn to_json(args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
    cost.weigh(arg(args, 0))?;
    made(arg(args, 0).to_string(), cost)
}

pub(super) fn from_json(args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
    let text = text_arg(args, 0, cost)?;
    let value = serde_json::from_str(text)
        .map_err(|error| Error::Arithmetic(format!("the text is no JSON: {error}")))?;
    cost.weigh(&value)?;
    Ok(value)
}

/// The first value that is not `null`; what is missing has become `null` before.
pub(super) fn first_known(args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
    let known = args.iter().find(|value| !value.is_null());
    match known {
        Some(value) => {
            cost.weigh(value)?;
            Ok(value.as_ref().clone())
        }
        None => Ok(Json::Null),
    }
}

pub(super) fn abs(args: Args<'_, '_>, _: &mut Cost) -> Result<Json, Error> {
    match number_arg(args)? {
        Num::Int(int) => {
            let out_of_range = || Error::Arithmetic(format!("abs({int}) is out of range"));
            Num::Int(int.checked_abs().ok_or_else(out_of_range)?).json()
        }
        Num::Double(double) => Num::Double(double.abs()).json(),
    }
}

pub(super) fn floor(args: Args<'_, '_>, _: &mut Cost) -> Result<Json, Error> {
    rounded(args, f64::floor)
}

pub(super) fn ceil(args: Args<'_, '_>, _: &mut Cost) -> Result<Json, Error> {
    rounded(args, f64::ceil)
}

/// Halves go away from zero.
pub(super) fn round(args: Args<'_, '_>, _: &mut Cost) -> Result<Json, Error> {
    rounded(args, f64::round)
}

fn rounded(args: Args<'_, '_>, rounding: fn(f64) -> f64) -> Result<Json, Error> {
    match number_arg(args)? {
        Num::Int(int) => Num::Int(int).json(),
        Num::Double(double) => {
            let double = rounding(double);
            whole(double).map_or(Num::Double(double), Num::Int).json()
        }
    }
}

fn number_arg(args: Args<'_, '_>) -> Result<Num, Error> {
    match arg(args, 0) {
        Json::Number(number) => Ok(Num::of(number)),
        other => Err(wrong("a number", other)),
    }
}
