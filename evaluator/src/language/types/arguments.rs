//! Binding the arguments of a constructor: by name, with "did you mean", and by type, with the
//! argument, the step and what to write instead.

use std::collections::BTreeMap;

use plue_plan::{Code, DurationText, Value};
use pyo3::{
    prelude::*,
    types::{PyBool, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString, PyTuple},
};
use serde_json::Value as Json;

use super::{
    PyStep, convert, kind_of,
    reference::{PyReference, is_marked},
};
use crate::language::{
    codes, names,
    state::{Raise, problem},
    survey::{self, Absent},
};

/// Items of a list argument at most; far above every limit of a plan.
const MAX_ITEMS: usize = 100_000;

/// Parameters of a constructor.
pub(super) struct Signature {
    /// Name for messages, `Step.bash`.
    pub(super) what: &'static str,
    /// Arguments that may be given by position, in order.
    pub(super) positional: &'static [&'static str],
    /// Arguments that are given by name.
    pub(super) named: &'static [&'static str],
    /// Further arguments by name that several constructors share.
    pub(super) shared: &'static [&'static str],
    /// Those that must be given.
    pub(super) required: &'static [&'static str],
    /// True if unknown names are accepted unchanged.
    pub(super) open: bool,
}

/// The arguments of one call. `None` counts as not given.
pub(super) struct Arguments<'py> {
    py: Python<'py>,
    what: &'static str,
    id: Option<String>,
    values: BTreeMap<&'static str, Bound<'py, PyAny>>,
    /// Unknown names of an open signature with their values.
    pub(super) extra: Vec<(String, Bound<'py, PyAny>)>,
}

// === impl Signature ===

impl Signature {
    fn names(&self) -> impl Iterator<Item = &'static str> {
        [self.positional, self.named, self.shared].into_iter().flatten().copied()
    }

    fn known(&self, wanted: &str) -> Option<&'static str> {
        self.names().find(|name| *name == wanted)
    }

    /// Sorts the arguments of a call.
    pub(super) fn bind<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Arguments<'py>> {
        let (py, what) = (args.py(), self.what);
        let mut bound =
            Arguments { py, what, id: None, values: BTreeMap::new(), extra: Vec::new() };
        if args.len() > self.positional.len() {
            survey::raise(py, self.too_many(args.len()))?;
        }
        for (name, value) in self.positional.iter().zip(args.iter()) {
            bound.values.insert(name, value);
        }
        for (key, value) in kwargs.into_iter().flatten() {
            let key: String = key.extract()?;
            match self.names().find(|name| *name == key) {
                Some(name) if bound.values.contains_key(name) => {
                    let message = format!("{} got `{name}` twice", self.what);
                    let twice = problem(Raise::Type, codes::UNKNOWN_ARGUMENT, message, None);
                    survey::raise(py, twice)?;
                }
                Some(name) => {
                    bound.values.insert(name, value);
                }
                None if self.open => bound.extra.push((key, value)),
                None => {
                    survey::raise(py, self.unknown(&key))?;
                    // As it was probably meant.
                    if let Some(name) = alias(&key).and_then(|meant| self.known(meant)) {
                        bound.values.entry(name).or_insert(value);
                    }
                }
            }
        }
        let absent = |value: &Bound<'py, PyAny>| value.is_instance_of::<Absent>();
        let replaced = bound.values.iter().filter(|(_, value)| absent(value));
        let replaced: Vec<&str> = replaced.map(|(name, _)| *name).collect();
        bound.values.retain(|_, value| !value.is_none() && !absent(value));
        bound.id = bound
            .values
            .get("id")
            .and_then(|id| id.cast::<PyString>().ok()?.to_str().ok().map(str::to_owned));
        for name in self.required {
            if !bound.values.contains_key(name) && !replaced.contains(name) {
                let message = format!("{} needs `{name}`", bound.label());
                let hint = format!("{}({})", self.what, self.required.join(", "));
                let missing = problem(Raise::Type, codes::MISSING_ARGUMENT, message, Some(hint));
                survey::raise(py, missing)?;
            }
        }
        Ok(bound)
    }

    fn too_many(&self, given: usize) -> PyErr {
        let takes = match self.positional {
            [] => "no argument by position".to_owned(),
            list => format!("only {} by position", list.join(", ")),
        };
        let message = format!("{} takes {takes}, and got {given}", self.what);
        let first = self.names().nth(self.positional.len());
        let hint = first.map(|name| format!("name the others, as in {name}=…"));
        problem(Raise::Type, codes::POSITIONAL_ARGUMENT, message, hint)
    }

    fn unknown(&self, key: &str) -> PyErr {
        let message = format!("{} has no argument `{key}`", self.what);
        let hint = alias(key)
            .filter(|name| self.names().any(|known| known == *name))
            .map(|name| format!("did you mean `{name}`?"))
            .or_else(|| names::suggestion(key, self.names()));
        problem(Raise::Type, codes::UNKNOWN_ARGUMENT, message, hint)
    }
}

/// Names of the parameter in other tools.
fn alias(key: &str) -> Option<&'static str> {
    Some(match key {
        "needs" | "dependencies" | "depends" | "requires" | "after" | "upstream" => "depends_on",
        "if" | "condition" | "if_" => "when",
        "command" | "cmd" | "script" | "commands" => "run",
        "environment" | "variables" => "env",
        "working_directory" | "workdir" | "dir" => "cwd",
        "container" => "image",
        "runs_on" | "pool" => "runner",
        "timeout_minutes" | "timeout_seconds" | "timeout_s" => "timeout",
        "retries" | "attempts" => "retry",
        "jobs" | "tasks" => "steps",
        "on" | "events" => "triggers",
        "path" => "paths",
        "expression" | "schedule" => "cron",
        "timezone" => "tz",
        "text" | "question" => "message",
        _ => return None,
    })
}

// === impl Arguments ===

impl<'py> Arguments<'py> {
    /// Label for messages, `Step.bash("build")`.
    pub(super) fn label(&self) -> String {
        match &self.id {
            Some(id) => {
                let short: String = id.chars().take(64).collect();
                format!("{}({short:?})", self.what)
            }
            None => self.what.to_owned(),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Bound<'py, PyAny>> {
        self.values.get(name)
    }

    /// Label of an argument, `depends_on of Step.bash("build")`.
    pub(super) fn of(&self, name: &str) -> String {
        format!("`{name}` of {}", self.label())
    }

    /// An argument of the wrong type.
    pub(super) fn wrong(
        &self,
        name: &str,
        expected: &str,
        value: &Bound<'_, PyAny>,
        hint: Option<String>,
    ) -> PyErr {
        let message = format!("{} must be {expected}, not {}", self.of(name), kind_of(value));
        problem(Raise::Type, codes::WRONG_TYPE, message, hint)
    }

    /// An argument with a value that it does not take.
    pub(super) fn refuse(&self, name: &str, code: Code, why: &str, hint: Option<String>) -> PyErr {
        let message = format!("{} {why}", self.of(name));
        problem(Raise::Value, code, message, hint)
    }

    pub(super) fn plain(&self, name: &str, value: &Bound<'_, PyAny>) -> PyResult<String> {
        if value.is_instance_of::<PyReference>() {
            let hint = "give it to the step with env= and read the variable there".to_owned();
            return Err(self.wrong(
                name,
                "text that is known when the plan is made",
                value,
                Some(hint),
            ));
        }
        let Ok(text) = value.cast::<PyString>() else {
            let number = value.is_instance_of::<PyInt>() || value.is_instance_of::<PyFloat>();
            let hint = number.then(|| "write it in quotes, or use str(…)".to_owned());
            return Err(self.wrong(name, "text", value, hint));
        };
        if text.to_str().is_ok_and(is_marked) {
            let message = format!(
                "{} holds a reference, which has no value while the plan is made",
                self.of(name)
            );
            let hint =
                "give it to the step with env={\"NAME\": ref(…)} and read the variable there";
            let hint = Some(hint.to_owned());
            return Err(problem(Raise::Type, codes::REFERENCE_AS_TEXT, message, hint));
        }
        convert::text(text).map_err(|why| self.refuse(name, codes::BAD_TEXT, why, None))
    }

    /// In a survey, puts what `T` is without an argument in the place of one that is wrong.
    pub(super) fn forgive<T: Default>(&self, result: PyResult<T>) -> PyResult<T> {
        survey::forgive(self.py, result, T::default)
    }

    pub(super) fn text(&self, name: &str) -> PyResult<Option<String>> {
        self.forgive(self.get(name).map(|value| self.plain(name, value)).transpose())
    }

    pub(super) fn required_text(&self, name: &str) -> PyResult<String> {
        let text = self.text(name)?;
        Ok(text.unwrap_or_else(|| survey::placeholder().unwrap_or_default()))
    }

    /// The items of a list argument.
    pub(super) fn items(&self, name: &str, of: &str) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let Some(value) = self.get(name) else {
            return Ok(Vec::new());
        };
        let items: Vec<Bound<'py, PyAny>> = if let Ok(list) = value.cast::<PyList>() {
            list.iter().collect()
        } else if let Ok(tuple) = value.cast::<PyTuple>() {
            tuple.iter().collect()
        } else {
            let message =
                format!("{} must be a list of {of}, not {}", self.of(name), kind_of(value));
            let wrong = problem(Raise::Type, codes::NOT_A_LIST, message, list_hint(name, value));
            survey::raise(self.py, wrong)?;
            // As it was probably meant.
            let is_one = value.is_instance_of::<PyString>() || value.is_instance_of::<PyStep>();
            if is_one { vec![value.clone()] } else { Vec::new() }
        };
        let items: Vec<_> =
            items.into_iter().filter(|item| !item.is_instance_of::<Absent>()).collect();
        if items.len() > MAX_ITEMS {
            return Err(self.refuse(name, codes::BAD_VALUE, "has too many items", None));
        }
        Ok(items)
    }

    pub(super) fn texts(&self, name: &str) -> PyResult<Vec<String>> {
        let items = self.items(name, "texts")?;
        self.each(items, |index, item| self.plain(&format!("{name}[{index}]"), item))
    }

    /// The results of `make` for the items; a survey leaves out the items that are wrong.
    pub(super) fn each<T>(
        &self,
        items: Vec<Bound<'py, PyAny>>,
        make: impl Fn(usize, &Bound<'py, PyAny>) -> PyResult<T>,
    ) -> PyResult<Vec<T>> {
        let mut made = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            match make(index, item) {
                Ok(value) => made.push(value),
                Err(error) => survey::raise(self.py, error)?,
            }
        }
        Ok(made)
    }

    pub(super) fn flag(&self, name: &str) -> PyResult<Option<bool>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        self.forgive(match value.cast::<PyBool>() {
            Ok(flag) => Ok(Some(flag.is_true())),
            Err(_) => Err(self.wrong(name, "True or False", value, None)),
        })
    }

    /// A whole number from 0.
    pub(super) fn count(&self, name: &str) -> PyResult<Option<u32>> {
        let whole = self.whole(name)?;
        let count = whole.map(|number| {
            u32::try_from(number)
                .map_err(|_| self.refuse(name, codes::BAD_VALUE, "is too large", None))
        });
        self.forgive(count.transpose())
    }

    pub(super) fn whole(&self, name: &str) -> PyResult<Option<u64>> {
        self.forgive(self.strict_whole(name))
    }

    fn strict_whole(&self, name: &str) -> PyResult<Option<u64>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        if !value.is_instance_of::<PyInt>() || value.is_instance_of::<PyBool>() {
            return Err(self.wrong(name, "a whole number", value, None));
        }
        match value.extract() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(self.refuse(name, codes::BAD_VALUE, "is negative or too large", None)),
        }
    }

    pub(super) fn number(&self, name: &str) -> PyResult<Option<f64>> {
        self.forgive(self.strict_number(name))
    }

    fn strict_number(&self, name: &str) -> PyResult<Option<f64>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let numeric = value.is_instance_of::<PyInt>() || value.is_instance_of::<PyFloat>();
        if !numeric || value.is_instance_of::<PyBool>() {
            return Err(self.wrong(name, "a number", value, None));
        }
        match value.extract::<f64>() {
            Ok(number) if number.is_finite() => Ok(Some(number)),
            _ => Err(self.refuse(name, codes::BAD_VALUE, "is not a finite number", None)),
        }
    }

    /// Text as given, or a whole number of seconds.
    pub(super) fn duration(&self, name: &str) -> PyResult<Option<DurationText>> {
        self.forgive(self.strict_duration(name))
    }

    fn strict_duration(&self, name: &str) -> PyResult<Option<DurationText>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        if value.is_instance_of::<PyString>() {
            return Ok(Some(DurationText::new(self.plain(name, value)?)));
        }
        if value.is_instance_of::<PyInt>() && !value.is_instance_of::<PyBool>() {
            let Ok(seconds) = value.extract::<u64>() else {
                return Err(self.refuse(name, codes::BAD_VALUE, "is negative or too large", None));
            };
            return Ok(Some(DurationText::from_secs(seconds)));
        }
        let hint = "write \"90s\", \"1h30m\" or \"500ms\", or a whole number of seconds".to_owned();
        Err(self.wrong(name, "a duration", value, Some(hint)))
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, name: &str, choices: &[(&str, T)]) -> PyResult<Option<T>> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == text) {
            return Ok(Some(*choice));
        }
        let words: Vec<String> = choices.iter().map(|(word, _)| format!("{word:?}")).collect();
        let hint = names::suggestion(&text, choices.iter().map(|(word, _)| *word));
        let why = format!("is one of {}, not {text:?}", words.join(", "));
        survey::forgive(self.py, Err(self.refuse(name, codes::BAD_VALUE, &why, hint)), || None)
    }

    /// A value that may hold references.
    pub(super) fn value(&self, name: &str) -> PyResult<Option<Value>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let json = convert::json(value, &self.of(name), true);
        survey::forgive(self.py, json.map(|json| Some(Value(json))), || None)
    }

    /// A dictionary from names to values that may hold references.
    pub(super) fn values(&self, name: &str) -> PyResult<BTreeMap<String, Value>> {
        let mut values = BTreeMap::new();
        for (key, value) in self.entries(name)? {
            let place = self.of(&format!("{name}[{key:?}]"));
            let json = self.forgive(convert::json(&value, &place, true))?;
            values.insert(key, Value(json));
        }
        Ok(values)
    }

    /// The entries of a dictionary argument.
    pub(super) fn entries(&self, name: &str) -> PyResult<Vec<(String, Bound<'py, PyAny>)>> {
        let Some(value) = self.get(name) else {
            return Ok(Vec::new());
        };
        let Ok(dict) = value.cast::<PyDict>() else {
            let hint = format!("write {name}={{\"name\": …}}");
            let wrong = self.wrong(name, "a dictionary", value, Some(hint));
            return survey::forgive(self.py, Err(wrong), Vec::new);
        };
        let mut entries = Vec::with_capacity(dict.len());
        for (key, value) in dict {
            match self.plain(&format!("{name} (a key)"), &key) {
                Ok(key) => entries.push((key, value)),
                Err(error) => survey::raise(self.py, error)?,
            }
        }
        Ok(entries)
    }

    /// A JSON value without references, like a schema.
    pub(super) fn json(&self, name: &str) -> PyResult<Option<Json>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        self.forgive(convert::json(value, &self.of(name), false).map(Some))
    }
}

fn list_hint(name: &str, value: &Bound<'_, PyAny>) -> Option<String> {
    if let Ok(text) = value.cast::<PyString>() {
        let shown: String = text.to_string_lossy().chars().take(60).collect();
        return Some(format!("write {name}=[{shown:?}]"));
    }
    if value.is_instance_of::<PySet>() || value.is_instance_of::<PyFrozenSet>() {
        return Some(
            "a set has no order that is the same every time; use a list or sorted(…)".to_owned(),
        );
    }
    Some(format!("write {name}=[…], or list(…) around something that is iterated"))
}
