//! The functions of expressions. Each may be called as `f(x, …)` or `x.f(…)`.
//!
//! Must not read anything but its arguments, and must pay for what it makes.

use serde_json::Value as Json;

use crate::{
    error::Error,
    evaluate::{Cost, kind_of},
    expression::kinds::Kinds,
};

mod convert;
pub(crate) mod files;
mod list;
mod path;
mod text;

type Args<'a, 'v> = &'a [std::borrow::Cow<'v, Json>];

/// Signature and implementation of one function.
pub(crate) struct Function {
    name: &'static str,
    least: usize,
    most: usize,
    /// Accepted kinds of each argument; the last holds for all that follow.
    takes: &'static [Kinds],
    /// Possible kinds of the result.
    pub(crate) gives: Kinds,
    /// The signature for error messages.
    pub(crate) usage: &'static str,
    run: fn(Args<'_, '_>, &mut Cost) -> Result<Json, Error>,
}

macro_rules! functions {
    ($($name:literal $least:literal..=$most:literal [$($takes:expr),+] $gives:expr, $usage:literal
        => $run:path;)+) => {
        const ALL: &[Function] = &[$(Function {
            name: $name, least: $least, most: $most, takes: &[$($takes),+], gives: $gives,
            usage: $usage, run: $run,
        }),+];
    };
}

functions! {
    "size" 1..=1 [Kinds::TEXT.or(Kinds::LIST).or(Kinds::MAP)] Kinds::NUMBER, "size(text, list or map)" => list::size;
    "length" 1..=1 [Kinds::TEXT.or(Kinds::LIST).or(Kinds::MAP)] Kinds::NUMBER, "length(text, list or map)" => list::size;
    "string" 1..=1 [Kinds::TEXT.or(Kinds::NUMBER).or(Kinds::TRUTH)] Kinds::TEXT, "string(value)" => convert::string;
    "int" 1..=1 [Kinds::NUMBER.or(Kinds::TEXT)] Kinds::NUMBER, "int(number or text)" => convert::int;
    "double" 1..=1 [Kinds::NUMBER.or(Kinds::TEXT)] Kinds::NUMBER, "double(number or text)" => convert::double;
    "bool" 1..=1 [Kinds::TRUTH.or(Kinds::TEXT)] Kinds::TRUTH, "bool(text)" => convert::bool;
    "type" 1..=1 [Kinds::ANY] Kinds::TEXT, "type(value)" => convert::kind;
    "toJson" 1..=1 [Kinds::ANY] Kinds::TEXT, "toJson(value)" => convert::to_json;
    "json" 1..=1 [Kinds::ANY] Kinds::TEXT, "json(value)" => convert::to_json;
    "fromJson" 1..=1 [Kinds::TEXT] Kinds::ANY, "fromJson(text)" => convert::from_json;
    "contains" 2..=2 [Kinds::TEXT.or(Kinds::LIST), Kinds::ANY] Kinds::TRUTH, "text.contains(part) or list.contains(item)" => text::contains;
    "startsWith" 2..=2 [Kinds::TEXT] Kinds::TRUTH, "text.startsWith(part)" => text::starts_with;
    "endsWith" 2..=2 [Kinds::TEXT] Kinds::TRUTH, "text.endsWith(part)" => text::ends_with;
    "matches" 2..=2 [Kinds::TEXT] Kinds::TRUTH, "text.matches(regex)" => text::matches;
    "lowerAscii" 1..=1 [Kinds::TEXT] Kinds::TEXT, "text.lowerAscii()" => text::lower;
    "upperAscii" 1..=1 [Kinds::TEXT] Kinds::TEXT, "text.upperAscii()" => text::upper;
    "lowercase" 1..=1 [Kinds::TEXT] Kinds::TEXT, "lowercase(text)" => text::lower_all;
    "uppercase" 1..=1 [Kinds::TEXT] Kinds::TEXT, "uppercase(text)" => text::upper_all;
    "lower" 1..=1 [Kinds::TEXT] Kinds::TEXT, "lower(text)" => text::lower_all;
    "upper" 1..=1 [Kinds::TEXT] Kinds::TEXT, "upper(text)" => text::upper_all;
    "capitalize" 1..=1 [Kinds::TEXT] Kinds::TEXT, "capitalize(text)" => text::capitalize;
    "trim" 1..=1 [Kinds::TEXT] Kinds::TEXT, "text.trim()" => text::trim;
    "replace" 3..=3 [Kinds::TEXT] Kinds::TEXT, "text.replace(old, new)" => text::replace;
    "split" 2..=2 [Kinds::TEXT] Kinds::LIST, "text.split(separator)" => text::split;
    "lines" 1..=1 [Kinds::TEXT] Kinds::LIST, "text.lines()" => text::lines;
    "join" 1..=2 [Kinds::LIST, Kinds::TEXT] Kinds::TEXT, "list.join(separator)" => text::join;
    "concat" 1..=8 [Kinds::ANY] Kinds::TEXT, "concat(value, …)" => text::concat;
    "substring" 2..=3 [Kinds::TEXT, Kinds::NUMBER] Kinds::TEXT, "text.substring(start, end)" => text::substring;
    "truncate" 2..=2 [Kinds::TEXT, Kinds::NUMBER] Kinds::TEXT, "text.truncate(characters)" => text::truncate;
    "indexOf" 2..=2 [Kinds::TEXT] Kinds::NUMBER, "text.indexOf(part)" => text::index_of;
    "lastIndexOf" 2..=2 [Kinds::TEXT] Kinds::NUMBER, "text.lastIndexOf(part)" => text::last_index_of;
    "basename" 1..=1 [Kinds::TEXT] Kinds::TEXT, "basename(path)" => path::basename;
    "dirname" 1..=1 [Kinds::TEXT] Kinds::TEXT, "dirname(path)" => path::dirname;
    "ext" 1..=1 [Kinds::TEXT] Kinds::TEXT, "ext(path)" => path::ext;
    "stem" 1..=1 [Kinds::TEXT] Kinds::TEXT, "stem(path)" => path::stem;
    "first" 1..=1 [Kinds::LIST] Kinds::ANY, "first(list)" => list::first;
    "last" 1..=1 [Kinds::LIST] Kinds::ANY, "last(list)" => list::last;
    "slice" 2..=3 [Kinds::LIST, Kinds::NUMBER] Kinds::LIST, "list.slice(start, end)" => list::slice;
    "flatten" 1..=1 [Kinds::LIST] Kinds::LIST, "list.flatten()" => list::flatten;
    "keys" 1..=1 [Kinds::MAP] Kinds::LIST, "keys(map)" => list::keys;
    "values" 1..=1 [Kinds::MAP] Kinds::LIST, "values(map)" => list::values;
    "sort" 1..=1 [Kinds::LIST] Kinds::LIST, "list.sort()" => list::sort;
    "distinct" 1..=1 [Kinds::LIST] Kinds::LIST, "list.distinct()" => list::distinct;
    "reverse" 1..=1 [Kinds::LIST] Kinds::LIST, "list.reverse()" => list::reverse;
    "min" 1..=8 [Kinds::ANY] Kinds::ANY, "min(list) or min(a, b, …)" => list::min;
    "max" 1..=8 [Kinds::ANY] Kinds::ANY, "max(list) or max(a, b, …)" => list::max;
    "sum" 1..=1 [Kinds::LIST] Kinds::NUMBER, "sum(list)" => list::sum;
    "abs" 1..=1 [Kinds::NUMBER] Kinds::NUMBER, "abs(number)" => convert::abs;
    "floor" 1..=1 [Kinds::NUMBER] Kinds::NUMBER, "floor(number)" => convert::floor;
    "ceil" 1..=1 [Kinds::NUMBER] Kinds::NUMBER, "ceil(number)" => convert::ceil;
    "round" 1..=1 [Kinds::NUMBER] Kinds::NUMBER, "round(number)" => convert::round;
    "hash_files" 1..=16 [Kinds::TEXT] Kinds::TEXT, "hash_files(glob, …)" => files::hash_files;
    "default" 2..=2 [Kinds::ANY] Kinds::ANY, "default(value, otherwise)" => convert::first_known;
    "coalesce" 1..=8 [Kinds::ANY] Kinds::ANY, "coalesce(value, …)" => convert::first_known;
}

/// Functions of which a value may be missing, so that they are evaluated one by one.
pub(crate) const LENIENT: [&str; 2] = ["default", "coalesce"];

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

    /// Accepted kinds of the argument at this position.
    pub(crate) fn kinds(&self, at: usize) -> Kinds {
        self.takes.get(at).or(self.takes.last()).copied().unwrap_or(Kinds::ANY)
    }

    pub(crate) fn call(&self, args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
        (self.run)(args, cost).map_err(|error| match error {
            Error::WrongType(found) => Error::WrongType(format!("{}: {found}", self.usage)),
            Error::Syntax(_)
            | Error::UnknownStep { .. }
            | Error::Missing { .. }
            | Error::Arithmetic(_)
            | Error::TooCostly { .. }
            | Error::Stopped(_)
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
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/expressions.md");
        let page = std::fs::read_to_string(page).unwrap();
        for function in ALL {
            assert!(page.contains(&format!("`{}`", function.usage)), "{}", function.usage);
        }
    }

    #[test]
    fn names_are_declared_once() {
        let mut names: Vec<_> = names().collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
