//! The functions of expressions. Each may be called as `f(x, …)` or `x.f(…)`.
//!
//! Must not read anything but its arguments, and must pay for what it makes.

use serde_json::Value as Json;

use crate::{
    error::Error,
    evaluate::{Cost, kind_of},
};

mod convert;
mod list;
mod text;

type Args<'a, 'v> = &'a [std::borrow::Cow<'v, Json>];

/// One function.
pub(crate) struct Function {
    name: &'static str,
    least: usize,
    most: usize,
    /// How it is called.
    pub(crate) usage: &'static str,
    run: fn(Args<'_, '_>, &mut Cost) -> Result<Json, Error>,
}

macro_rules! functions {
    ($($name:literal $least:literal..=$most:literal $usage:literal => $run:path;)+) => {
        const ALL: &[Function] = &[$(Function {
            name: $name, least: $least, most: $most, usage: $usage, run: $run,
        }),+];
    };
}

functions! {
    "size" 1..=1 "size(text, list or map)" => list::size;
    "string" 1..=1 "string(value)" => convert::string;
    "int" 1..=1 "int(number or text)" => convert::int;
    "double" 1..=1 "double(number or text)" => convert::double;
    "bool" 1..=1 "bool(text)" => convert::bool;
    "type" 1..=1 "type(value)" => convert::kind;
    "toJson" 1..=1 "toJson(value)" => convert::to_json;
    "fromJson" 1..=1 "fromJson(text)" => convert::from_json;
    "contains" 2..=2 "text.contains(part) or list.contains(item)" => text::contains;
    "startsWith" 2..=2 "text.startsWith(part)" => text::starts_with;
    "endsWith" 2..=2 "text.endsWith(part)" => text::ends_with;
    "matches" 2..=2 "text.matches(regex)" => text::matches;
    "lowerAscii" 1..=1 "text.lowerAscii()" => text::lower;
    "upperAscii" 1..=1 "text.upperAscii()" => text::upper;
    "lowercase" 1..=1 "lowercase(text)" => text::lower_all;
    "uppercase" 1..=1 "uppercase(text)" => text::upper_all;
    "trim" 1..=1 "text.trim()" => text::trim;
    "replace" 3..=3 "text.replace(old, new)" => text::replace;
    "split" 2..=2 "text.split(separator)" => text::split;
    "join" 1..=2 "list.join(separator)" => text::join;
    "substring" 2..=3 "text.substring(start, end)" => text::substring;
    "indexOf" 2..=2 "text.indexOf(part)" => text::index_of;
    "first" 1..=1 "first(list)" => list::first;
    "last" 1..=1 "last(list)" => list::last;
    "keys" 1..=1 "keys(map)" => list::keys;
    "values" 1..=1 "values(map)" => list::values;
    "sort" 1..=1 "list.sort()" => list::sort;
    "distinct" 1..=1 "list.distinct()" => list::distinct;
    "reverse" 1..=1 "list.reverse()" => list::reverse;
    "min" 1..=1 "min(list)" => list::min;
    "max" 1..=1 "max(list)" => list::max;
    "sum" 1..=1 "sum(list)" => list::sum;
}

/// The function of this name.
pub(crate) fn find(name: &str) -> Option<&'static Function> {
    ALL.iter().find(|function| function.name == name)
}

/// All names, and those of the macros.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    let macros = ["has", "all", "exists", "exists_one", "map", "filter"];
    ALL.iter().map(|function| function.name).chain(macros)
}

// === impl Function ===

impl Function {
    pub(crate) fn takes(&self, args: usize) -> bool {
        (self.least..=self.most).contains(&args)
    }

    pub(crate) fn call(&self, args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
        (self.run)(args, cost).map_err(|error| match error {
            Error::WrongType(found) => Error::WrongType(format!("{}: {found}", self.usage)),
            Error::Syntax(_)
            | Error::UnknownStep { .. }
            | Error::Missing { .. }
            | Error::Arithmetic(_)
            | Error::TooCostly { .. }
            | Error::NotBoolean(_)
            | Error::MisplacedSecret(_)
            | Error::Malformed(_)
            | Error::BadRegex(_) => error,
        })
    }
}

/// The argument at this position.
fn arg<'a>(args: Args<'a, '_>, at: usize) -> &'a Json {
    args.get(at).map_or(&Json::Null, |value| value.as_ref())
}

fn text_arg<'a>(args: Args<'a, '_>, at: usize, cost: &mut Cost) -> Result<&'a str, Error> {
    let Json::String(text) = arg(args, at) else {
        return Err(wrong("a text", arg(args, at)));
    };
    cost.spend(text.len() / 8)?;
    Ok(text)
}

fn list_arg<'a>(args: Args<'a, '_>, at: usize, cost: &mut Cost) -> Result<&'a [Json], Error> {
    let Json::Array(items) = arg(args, at) else {
        return Err(wrong("a list", arg(args, at)));
    };
    cost.spend(items.len())?;
    Ok(items)
}

fn map_arg<'a>(args: Args<'a, '_>, at: usize) -> Result<&'a serde_json::Map<String, Json>, Error> {
    let Json::Object(map) = arg(args, at) else {
        return Err(wrong("a map", arg(args, at)));
    };
    Ok(map)
}

fn wrong(wanted: &str, found: &Json) -> Error {
    Error::WrongType(format!("{wanted} is wanted, this is {}", kind_of(found)))
}

fn made(text: String, cost: &mut Cost) -> Result<Json, Error> {
    cost.spend(text.len() / 8)?;
    Ok(Json::String(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_is_in_the_documentation() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/expressions.md");
        let page = std::fs::read_to_string(page).unwrap();
        for function in ALL {
            assert!(page.contains(&format!("`{}`", function.usage)), "{}", function.usage);
        }
    }

    #[test]
    fn names_are_said_once() {
        let mut names: Vec<_> = names().collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
