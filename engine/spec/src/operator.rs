//! CEL's operators on values whose operands are all there.

use std::{borrow::Cow, cmp::Ordering};

use serde_json::Value as Json;

use crate::{
    error::Error,
    evaluate::{Cost, Val, kind_of},
    number::Num,
};

pub(crate) const INDEX: &str = "_[_]";
pub(crate) const CONDITIONAL: &str = "_?_:_";
pub(crate) const AND: &str = "_&&_";
pub(crate) const OR: &str = "_||_";
pub(crate) const NOT_STRICTLY_FALSE: &str = "@not_strictly_false";

/// Every operator, as the parser names it, with its sign.
const SIGNS: [(&str, &str); 18] = [
    (INDEX, "[…]"),
    (CONDITIONAL, "? :"),
    (AND, "&&"),
    (OR, "||"),
    (NOT_STRICTLY_FALSE, ""),
    ("!_", "!"),
    ("-_", "-"),
    ("_+_", "+"),
    ("_-_", "-"),
    ("_*_", "*"),
    ("_/_", "/"),
    ("_%_", "%"),
    ("_==_", "=="),
    ("_!=_", "!="),
    ("_<_", "<"),
    ("_<=_", "<="),
    ("_>_", ">"),
    ("_>=_", ">="),
];

const IN: &str = "@in";

/// True if the parser made this call from a sign.
pub(crate) fn is_operator(name: &str) -> bool {
    name == IN || SIGNS.iter().any(|(operator, _)| *operator == name)
}

pub(crate) fn apply<'a>(name: &str, args: Vec<Val<'a>>, cost: &mut Cost) -> Result<Val<'a>, Error> {
    let mut args = args.into_iter();
    match (args.next(), args.next()) {
        (Some(operand), None) => unary(name, &operand).map(Cow::Owned),
        (Some(left), Some(right)) => binary(name, left, right, cost),
        (None, _) => Err(Error::WrongType(format!("`{name}` has no operand"))),
    }
}

fn unary(name: &str, operand: &Json) -> Result<Json, Error> {
    match (name, operand) {
        ("!_", Json::Bool(truth)) => Ok(Json::Bool(!truth)),
        ("-_", Json::Number(number)) => match Num::of(number) {
            Num::Int(int) => Num::Int(0).calculate('-', Num::Int(int))?.json(),
            Num::Double(double) => Num::Double(-double).json(),
        },
        _ => Err(refused(name, &[operand])),
    }
}

fn binary<'a>(
    name: &str,
    left: Val<'a>,
    right: Val<'a>,
    cost: &mut Cost,
) -> Result<Val<'a>, Error> {
    if let (Json::String(a), Json::String(b)) = (left.as_ref(), right.as_ref()) {
        cost.spend(a.len().min(b.len()) / 8)?;
    }
    let value = match name {
        "_==_" => Json::Bool(equal(&left, &right, cost)?),
        "_!=_" => Json::Bool(!equal(&left, &right, cost)?),
        "_<_" => Json::Bool(order(name, &left, &right)? == Some(Ordering::Less)),
        "_>_" => Json::Bool(order(name, &left, &right)? == Some(Ordering::Greater)),
        "_<=_" => Json::Bool(order(name, &left, &right)?.is_some_and(Ordering::is_le)),
        "_>=_" => Json::Bool(order(name, &left, &right)?.is_some_and(Ordering::is_ge)),
        IN => Json::Bool(contains(&left, &right, cost)?),
        "_+_" => return add(left, right, cost),
        _ => arithmetic(name, &left, &right)?,
    };
    Ok(Cow::Owned(value))
}

fn arithmetic(name: &str, left: &Json, right: &Json) -> Result<Json, Error> {
    let sign = sign_of(name).chars().next().unwrap_or(' ');
    match (left, right) {
        (Json::Number(a), Json::Number(b)) => Num::of(a).calculate(sign, Num::of(b))?.json(),
        _ => Err(refused(name, &[left, right])),
    }
}

fn add<'a>(left: Val<'a>, right: Val<'a>, cost: &mut Cost) -> Result<Val<'a>, Error> {
    match (left.as_ref(), right.as_ref()) {
        (Json::String(a), Json::String(b)) => {
            cost.spend((a.len() + b.len()) / 8)?;
            Ok(Cow::Owned(Json::String(format!("{a}{b}"))))
        }
        (Json::Array(_), Json::Array(_)) => {
            let (left, right) = (cost.own(left)?, cost.own(right)?);
            Ok(Cow::Owned(joined(left, right)))
        }
        (a, b) => arithmetic("_+_", a, b).map(Cow::Owned),
    }
}

fn joined(left: Json, right: Json) -> Json {
    match (left, right) {
        (Json::Array(mut items), Json::Array(more)) => {
            items.extend(more);
            Json::Array(items)
        }
        (left, _) => left,
    }
}

/// True if two values are equal; values of different kinds are not. Numbers are compared by value.
pub(crate) fn equal(left: &Json, right: &Json, cost: &mut Cost) -> Result<bool, Error> {
    cost.spend(1)?;
    match (left, right) {
        (Json::Number(a), Json::Number(b)) => {
            Ok(Num::of(a).order(Num::of(b)) == Some(Ordering::Equal))
        }
        (Json::String(a), Json::String(b)) => {
            cost.spend(a.len().min(b.len()) / 8)?;
            Ok(a == b)
        }
        (Json::Array(a), Json::Array(b)) => {
            if a.len() != b.len() {
                return Ok(false);
            }
            for (a, b) in a.iter().zip(b) {
                if !equal(a, b, cost)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (Json::Object(a), Json::Object(b)) => {
            if a.len() != b.len() {
                return Ok(false);
            }
            for (key, a) in a {
                match b.get(key) {
                    Some(b) if equal(a, b, cost)? => {}
                    Some(_) | None => return Ok(false),
                }
            }
            Ok(true)
        }
        (Json::Null, Json::Null) => Ok(true),
        (Json::Bool(a), Json::Bool(b)) => Ok(a == b),
        _ => Ok(false),
    }
}

/// True if a list has an element, or a map a key.
pub(crate) fn contains(item: &Json, of: &Json, cost: &mut Cost) -> Result<bool, Error> {
    match (item, of) {
        (item, Json::Array(items)) => {
            for other in items {
                if equal(item, other, cost)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        (Json::String(key), Json::Object(map)) => Ok(map.contains_key(key)),
        _ => Err(refused(IN, &[item, of])),
    }
}

/// The order of two values of one kind.
pub(crate) fn order(name: &str, left: &Json, right: &Json) -> Result<Option<Ordering>, Error> {
    match (left, right) {
        (Json::Number(a), Json::Number(b)) => Ok(Num::of(a).order(Num::of(b))),
        (Json::String(a), Json::String(b)) => Ok(Some(a.cmp(b))),
        (Json::Bool(a), Json::Bool(b)) => Ok(Some(a.cmp(b))),
        _ => Err(refused(name, &[left, right])),
    }
}

pub(crate) fn sign_of(name: &str) -> &str {
    let found = SIGNS.iter().find(|(operator, _)| *operator == name);
    found.map_or("in", |(_, sign)| sign)
}

fn refused(name: &str, operands: &[&Json]) -> Error {
    let kinds: Vec<&str> = operands.iter().map(|operand| kind_of(operand)).collect();
    Error::WrongType(format!("`{}` does not take {}", sign_of(name), kinds.join(" and ")))
}
