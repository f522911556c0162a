//! Helpers that compute with values: comparisons, logic, `len`, `lookup`, `default`; and the
//! internal ones, which print a value, check the argument of a partial and enter one.
//!
//! Must not format text: that is [`super::text`].

use std::cmp::Ordering;

use handlebars::{
    Context, Handlebars, Helper, HelperDef, JsonRender, JsonTruthy, PathAndJson, RenderContext,
    RenderError, ScopedJson,
};
use serde_json::{Map, Value as Json};

use super::{ENTER, GIVEN, Meter, Optional, PRINT, called, kind, present, stop, wrong};
use crate::{
    error::Error,
    limits::{ELEMENT_WORK, PARTIAL_WORK},
};

/// Implementation of a helper, with all arguments present.
pub(super) type Compute = fn(&[PathAndJson<'_>], &Helper<'_>) -> Result<Json, RenderError>;

/// A helper that turns arguments into a value.
pub(super) struct Pure {
    meter: Meter,
    compute: Compute,
    /// Arguments that may be missing; none for most helpers.
    optional: Optional,
}

struct Default(Meter);

struct Enter(Meter);

pub(super) fn register(registry: &mut Handlebars<'_>, meter: &Meter, optional: &Optional) {
    let pure: [(&str, Compute); 10] = [
        (GIVEN, |args, _| Ok(one(args, 0).clone())),
        (PRINT, |args, _| print(args)),
        ("lookup", |args, _| lookup(args)),
        ("len", |args, _| len(args)),
        ("eq", |args, _| Ok(Json::Bool(same(args)))),
        ("ne", |args, _| Ok(Json::Bool(!same(args)))),
        ("gt", |args, _| compare(args, Ordering::is_gt)),
        ("gte", |args, _| compare(args, Ordering::is_ge)),
        ("lt", |args, _| compare(args, Ordering::is_lt)),
        ("lte", |args, _| compare(args, Ordering::is_le)),
    ];
    let logic: [(&str, Compute); 3] = [
        ("and", |args, _| Ok(Json::Bool(args.iter().all(truth)))),
        ("or", |args, _| Ok(Json::Bool(args.iter().any(truth)))),
        ("not", |args, _| Ok(Json::Bool(!args.iter().any(truth)))),
    ];
    for (name, compute) in logic {
        let (meter, optional) = (meter.clone(), optional.clone());
        registry.register_helper(name, Box::new(Pure { meter, compute, optional }));
    }
    for (name, compute) in pure {
        registry.register_helper(name, Pure::boxed(meter, compute));
    }
    registry.register_helper("default", Box::new(Default(meter.clone())));
    registry.register_helper(ENTER, Box::new(Enter(meter.clone())));
}

// === impl Pure ===

impl Pure {
    pub(super) fn boxed(meter: &Meter, compute: Compute) -> Box<Self> {
        let meter = meter.clone();
        Box::new(Self { meter, compute, optional: Optional::default() })
    }
}

impl HelperDef for Pure {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        h: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        rc: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        for argument in h.params().iter().chain(h.hash().values()) {
            self.meter.touch(self.optional.value(rc, Some(argument))?)?;
        }
        let result = (self.compute)(h.params(), h)?;
        self.meter.touch(&result)?;
        Ok(ScopedJson::Derived(result))
    }
}

// === impl Default ===

impl HelperDef for Default {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        h: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let first = h.param(0).filter(|argument| !argument.value().is_null());
        let value = present(first.or(h.param(1)))?;
        self.0.touch(value)?;
        Ok(ScopedJson::Derived(value.clone()))
    }
}

// === impl Enter ===

impl HelperDef for Enter {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        h: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        rc: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let (this, weight) = (present(h.param(0))?, present(h.param(1))?);
        let pieces = weight.as_u64().unwrap_or(u64::MAX);
        let pieces = pieces.saturating_mul(ELEMENT_WORK);
        self.0.spend(pieces.saturating_add(PARTIAL_WORK))?;
        self.0.touch(this)?;
        self.0.touch(this)?;
        if let (Json::Object(map), Some(block)) = (this, rc.block_mut()) {
            let named = |key: &str| block.get_block_param(key).is_some();
            if map.keys().any(|key| named(key)) {
                let ordered = in_order(map, named);
                block.set_base_value(Json::Object(ordered));
            }
        }
        Ok(ScopedJson::Derived(Json::String(String::new())))
    }
}

/// The crate adds the named arguments of a partial to its context in the order of a hash table,
/// which differs from process to process. Here they come last, by name.
fn in_order(map: &Map<String, Json>, named: impl Fn(&str) -> bool) -> Map<String, Json> {
    let (mut given, rest): (Vec<_>, Vec<_>) = map.iter().partition(|(key, _)| named(key));
    given.sort_by_key(|(key, _)| *key);
    let all = rest.into_iter().chain(given);
    all.map(|(key, value)| (key.clone(), value.clone())).collect()
}

// === the helpers ===

fn one<'a>(args: &'a [PathAndJson<'_>], at: usize) -> &'a Json {
    args.get(at).map_or(&Json::Null, PathAndJson::value)
}

/// A value as text. An object has none: `[object]` in a prompt is a mistake.
fn print(args: &[PathAndJson<'_>]) -> Result<Json, RenderError> {
    let value = one(args, 0);
    if holds_object(value) {
        let name = args.first().map(called).unwrap_or_default();
        let what = if value.is_object() { "an object" } else { "a list with objects" };
        let hint = "print its fields, or the whole with `json`";
        return Err(wrong(format!("{name} is {what}, which is no text"), hint));
    }
    Ok(Json::String(value.render()))
}

fn holds_object(value: &Json) -> bool {
    match value {
        Json::Object(_) => true,
        Json::Array(items) => items.iter().any(holds_object),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => false,
    }
}

fn lookup(args: &[PathAndJson<'_>]) -> Result<Json, RenderError> {
    let (collection, place) = (one(args, 0), one(args, 1));
    let found = match (collection, place) {
        (Json::Array(items), Json::Number(at)) => {
            let at = at.as_u64().and_then(|at| usize::try_from(at).ok());
            at.and_then(|at| items.get(at))
        }
        (Json::Object(map), Json::String(key)) => map.get(key),
        (Json::Object(map), Json::Number(key)) => map.get(&key.to_string()),
        _ => None,
    };
    found.cloned().ok_or_else(|| {
        let collection = args.first().map(called).unwrap_or_default();
        let place = crate::header::shown(&place.to_string());
        let path = format!("{}[{place}]", collection.trim_matches('`'));
        stop(Error::Missing { path })
    })
}

fn len(args: &[PathAndJson<'_>]) -> Result<Json, RenderError> {
    match one(args, 0) {
        Json::Array(items) => Ok(Json::from(items.len())),
        Json::Object(map) => Ok(Json::from(map.len())),
        Json::String(text) => Ok(Json::from(text.chars().count())),
        other @ (Json::Null | Json::Bool(_) | Json::Number(_)) => {
            let name = args.first().map(called).unwrap_or_default();
            let message = format!("{name} is {}, which has no length", kind(other));
            Err(wrong(message, "`len` takes a list, an object or text"))
        }
    }
}

fn truth(argument: &PathAndJson<'_>) -> bool {
    argument.value().is_truthy(false)
}

fn same(args: &[PathAndJson<'_>]) -> bool {
    match (one(args, 0), one(args, 1)) {
        (Json::Number(a), Json::Number(b)) => a == b || numbers(a, b) == Some(Ordering::Equal),
        (a, b) => a == b,
    }
}

fn compare(args: &[PathAndJson<'_>], wanted: fn(Ordering) -> bool) -> Result<Json, RenderError> {
    let order = match (one(args, 0), one(args, 1)) {
        (Json::Number(a), Json::Number(b)) => numbers(a, b),
        (Json::String(a), Json::String(b)) => Some(a.cmp(b)),
        _ => None,
    };
    let order = order.ok_or_else(|| {
        let (a, b) = (kind(one(args, 0)), kind(one(args, 1)));
        wrong(format!("{a} and {b} have no order"), "compare two numbers or two texts")
    })?;
    Ok(Json::Bool(wanted(order)))
}

fn numbers(a: &serde_json::Number, b: &serde_json::Number) -> Option<Ordering> {
    if let (Some(a), Some(b)) = (a.as_i64(), b.as_i64()) {
        return Some(a.cmp(&b));
    }
    if let (Some(a), Some(b)) = (a.as_u64(), b.as_u64()) {
        return Some(a.cmp(&b));
    }
    a.as_f64()?.partial_cmp(&b.as_f64()?)
}
