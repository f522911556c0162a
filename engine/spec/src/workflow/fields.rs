//! The fields of one mapping: taken one by one, each checked for its type; a field that is not
//! taken is an unknown key.

use plue_plan::{DurationText, validate::did_you_mean};
use serde_json::Value as Json;

use crate::{
    codes,
    workflow::{
        problems::{Problems, quoted},
        yaml::{Data, Key, Node, SourcePosition},
    },
};

/// One mapping that is being read.
pub(crate) struct Fields<'n> {
    /// Name for messages: "task `build`".
    pub(crate) what: String,
    pub(crate) place: SourcePosition,
    entries: Vec<Option<(&'n Key, &'n Node)>>,
    known: Vec<&'static str>,
}

/// A field that is there.
#[derive(Clone, Copy)]
pub(crate) struct Field<'n> {
    pub(crate) name: &'n str,
    pub(crate) key: SourcePosition,
    pub(crate) node: &'n Node,
}

/// Other names of a key, from other tools and the Python front end.
fn alias(key: &str) -> Option<&'static [&'static str]> {
    Some(match key {
        "needs" | "depends" | "requires" | "after" | "upstream" | "dependsOn" => &["dependencies"],
        "if" | "when_" => &["condition"],
        "command" | "cmd" | "commands" | "shell_command" => &["run"],
        "environment" | "variables" => &["env"],
        "working_directory" | "working-directory" | "workdir" | "dir" => &["cwd"],
        "container" => &["image"],
        "runs_on" | "runs-on" | "pool" => &["runner"],
        "timeout_minutes" | "timeout-minutes" | "timeout_seconds" | "timeout_s" => &["timeout"],
        "retries" | "attempts" => &["retry", "max_attempts"],
        "jobs" | "steps" | "stages" => &["tasks"],
        "on" | "events" | "trigger" => &["triggers", "on"],
        "branch" => &["branches"],
        "tag" => &["tags"],
        "path" => &["paths"],
        "timezone" => &["tz"],
        "code" => &["python"],
        "with" | "params" | "args" => &["parameters"],
        "max_retries" => &["max_attempts"],
        "role" => &["agent"],
        "interval" | "wait" => &["delay"],
        _ => return None,
    })
}

// === impl Fields ===

impl<'n> Fields<'n> {
    /// The fields of a mapping; a problem and `None` for anything else.
    pub(crate) fn of(node: &'n Node, what: &str, problems: &mut Problems<'_>) -> Option<Self> {
        let Some(entries) = node.entries() else {
            let message = format!("{what} is a mapping, not {}", node.kind());
            problems.error(codes::FIELD_TYPE, node.place, message);
            return None;
        };
        Some(Self {
            what: what.to_owned(),
            place: node.place,
            entries: entries.iter().map(|(key, node)| Some((key, node))).collect(),
            known: Vec::new(),
        })
    }

    /// The field of this name. Nothing behind the colon means that it is not given.
    pub(crate) fn take(&mut self, name: &'static str) -> Option<Field<'n>> {
        self.known.push(name);
        let found = self
            .entries
            .iter_mut()
            .find(|entry| entry.as_ref().is_some_and(|(key, _)| key.text == name));
        let (key, node) = found?.take()?;
        let field = Field { name: key.text.as_str(), key: key.place, node };
        (!matches!(node.data, Data::Null)).then_some(field)
    }

    /// The field of either name; both together are a problem.
    pub(crate) fn either(
        &mut self,
        (one, other): (&'static str, &'static str),
        problems: &mut Problems<'_>,
    ) -> Option<Field<'n>> {
        let (first, second) = (self.take(one), self.take(other));
        if let (Some(_), Some(second)) = (first, second) {
            let message =
                format!("{} has both `{one}` and `{other}`, which are the same", self.what);
            problems.error(codes::FIELD_VALUE, second.key, message);
        }
        first.or(second)
    }

    pub(crate) fn missing(&self, name: &str, hint: &str, problems: &mut Problems<'_>) {
        let message = format!("{} has no `{name}`", self.what);
        problems.push(codes::MISSING_KEY, self.place, message, hint);
    }

    /// Takes out keys that begin with `x-`: they hold anchors for other places of the file.
    pub(crate) fn leave_out_extensions(&mut self) {
        self.entries.retain(|entry| entry.is_none_or(|(key, _)| !key.text.starts_with("x-")));
    }

    /// No key that is left is a problem.
    pub(crate) fn forget(&mut self) {
        self.entries.clear();
    }

    /// Reports every key that was not taken.
    pub(crate) fn finish(self, problems: &mut Problems<'_>) {
        #[cfg(test)]
        super::tests::known::note(&self.what, &self.known);
        for (key, _) in self.entries.into_iter().flatten() {
            let known = self.known.iter().copied();
            let near = alias(&key.text)
                .and_then(|names| names.iter().copied().find(|name| self.known.contains(name)))
                .or_else(|| did_you_mean(&key.text, known));
            let message = format!("{} has no key {}", self.what, quoted(&key.text));
            let hint = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known here: {}", self.known.join(", ")),
            };
            problems.push(codes::UNKNOWN_KEY, key.place, message, hint);
        }
    }

    fn of_field(&self, field: Field<'_>) -> String {
        format!("`{}` of {}", field.name, self.what)
    }

    pub(crate) fn wrong(
        &self,
        field: Field<'_>,
        expected: &str,
        hint: Option<String>,
        problems: &mut Problems<'_>,
    ) {
        let message = format!("{} is {expected}, not {}", self.of_field(field), field.node.kind());
        mistyped(message, field.node.place, hint, problems);
    }

    /// Any text, as it is.
    pub(crate) fn text(
        &mut self,
        name: &'static str,
        problems: &mut Problems<'_>,
    ) -> Option<String> {
        let field = self.take(name)?;
        self.text_of(field, problems)
    }

    pub(crate) fn text_of(&self, field: Field<'_>, problems: &mut Problems<'_>) -> Option<String> {
        plain(field.node, &self.of_field(field), problems)
    }

    /// A text in which `${…}` would be taken for something that it is not.
    pub(crate) fn fixed(
        &mut self,
        name: &'static str,
        problems: &mut Problems<'_>,
    ) -> Option<String> {
        let field = self.take(name)?;
        let text = self.text_of(field, problems)?;
        if text.contains("${") {
            let message = format!("`${{…}}` is not replaced in {}", self.of_field(field));
            let hint = "it is part of the plan, and must be known before the run";
            problems.warn(codes::NOT_REPLACED, field.node.place, message, hint);
        }
        Some(text)
    }

    pub(crate) fn texts(&mut self, name: &'static str, problems: &mut Problems<'_>) -> Vec<String> {
        let Some(field) = self.take(name) else {
            return Vec::new();
        };
        self.texts_of(field, problems)
    }

    pub(crate) fn texts_of(&self, field: Field<'_>, problems: &mut Problems<'_>) -> Vec<String> {
        let what = self.of_field(field);
        let items = self.items_of(field, "texts", problems);
        let texts = items
            .iter()
            .enumerate()
            .map(|(index, item)| plain(item, &format!("item {} of {what}", index + 1), problems));
        texts.collect::<Vec<_>>().into_iter().flatten().collect()
    }

    /// The items of a list.
    pub(crate) fn items_of(
        &self,
        field: Field<'n>,
        of: &str,
        problems: &mut Problems<'_>,
    ) -> &'n [Node] {
        field.node.items().unwrap_or_else(|| {
            let hint = match &field.node.data {
                Data::Text(text) => Some(format!("write {}: [{text}]", field.name)),
                Data::Null | Data::Bool(_) | Data::Number(..) | Data::List(_) | Data::Map(_) => {
                    None
                }
            };
            self.wrong(field, &format!("a list of {of}"), hint, problems);
            &[]
        })
    }

    pub(crate) fn flag(&mut self, name: &'static str, problems: &mut Problems<'_>) -> Option<bool> {
        let field = self.take(name)?;
        if let Data::Bool(truth) = &field.node.data {
            return Some(*truth);
        }
        let hint = match field.node.text() {
            Some("yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y") => Some("write true".to_owned()),
            Some("no" | "No" | "NO" | "off" | "Off" | "OFF" | "n") => {
                Some("write false".to_owned())
            }
            Some(_) | None => None,
        };
        self.wrong(field, "true or false", hint, problems);
        None
    }

    /// A whole number from 0.
    pub(crate) fn whole(&mut self, name: &'static str, problems: &mut Problems<'_>) -> Option<u64> {
        let field = self.take(name)?;
        self.whole_of(field, problems)
    }

    fn whole_of(&self, field: Field<'_>, problems: &mut Problems<'_>) -> Option<u64> {
        match &field.node.data {
            Data::Number(number, _) if number.is_u64() => number.as_u64(),
            Data::Number(number, spelled) if number.is_i64() => {
                let message = format!("{} is {spelled}; it is 0 or more", self.of_field(field));
                problems.error(codes::FIELD_VALUE, field.node.place, message);
                None
            }
            _ => {
                self.wrong(field, "a whole number", None, problems);
                None
            }
        }
    }

    pub(crate) fn count(&mut self, name: &'static str, problems: &mut Problems<'_>) -> Option<u32> {
        let field = self.take(name)?;
        let number = self.whole_of(field, problems)?;
        let count = u32::try_from(number).ok();
        if count.is_none() {
            let message = format!("{} is too large", self.of_field(field));
            problems.error(codes::FIELD_VALUE, field.node.place, message);
        }
        count
    }

    pub(crate) fn number(
        &mut self,
        name: &'static str,
        problems: &mut Problems<'_>,
    ) -> Option<f64> {
        let field = self.take(name)?;
        if let Data::Number(number, _) = &field.node.data {
            return number.as_f64();
        }
        self.wrong(field, "a number", None, problems);
        None
    }

    /// Seconds as a whole number, or a text like `1h30m`.
    pub(crate) fn duration(
        &mut self,
        name: &'static str,
        problems: &mut Problems<'_>,
    ) -> Option<DurationText> {
        let field = self.take(name)?;
        match &field.node.data {
            Data::Text(text) => Some(DurationText::new(text.as_str())),
            Data::Number(number, _) if !number.is_f64() => {
                self.whole_of(field, problems).map(DurationText::from_secs)
            }
            _ => {
                let hint = "write \"90s\", \"1h30m\" or a whole number of seconds".to_owned();
                self.wrong(field, "a duration", Some(hint), problems);
                None
            }
        }
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        name: &'static str,
        choices: &[(&'static str, T)],
        problems: &mut Problems<'_>,
    ) -> Option<T> {
        let field = self.take(name)?;
        self.choice_of(field, choices, problems)
    }

    pub(crate) fn choice_of<T: Copy>(
        &self,
        field: Field<'_>,
        choices: &[(&'static str, T)],
        problems: &mut Problems<'_>,
    ) -> Option<T> {
        let text = self.text_of(field, problems)?;
        if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == text) {
            return Some(*choice);
        }
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let shown = quoted(&text);
        let message =
            format!("{} is one of {}, not {shown}", self.of_field(field), words.join(", "));
        match did_you_mean(&text, words.iter().copied()) {
            Some(near) => {
                let hint = format!("did you mean `{near}`?");
                problems.push(codes::FIELD_VALUE, field.node.place, message, hint);
            }
            None => problems.error(codes::FIELD_VALUE, field.node.place, message),
        }
        None
    }

    /// JSON in which nothing is replaced, like a schema.
    pub(crate) fn json(&mut self, name: &'static str) -> Option<Json> {
        self.take(name).map(|field| field.node.json())
    }
}

/// A text; for a number or truth value the error suggests quotes.
pub(crate) fn plain(node: &Node, what: &str, problems: &mut Problems<'_>) -> Option<String> {
    if let Some(text) = node.text() {
        return Some(text.to_owned());
    }
    let hint = match &node.data {
        Data::Number(_, spelled) => Some(format!("write \"{spelled}\"")),
        Data::Bool(truth) => Some(format!("write \"{truth}\"")),
        Data::Null | Data::Text(_) | Data::List(_) | Data::Map(_) => None,
    };
    mistyped(format!("{what} is text, not {}", node.kind()), node.place, hint, problems);
    None
}

fn mistyped(
    message: String,
    at: SourcePosition,
    hint: Option<String>,
    problems: &mut Problems<'_>,
) {
    match hint {
        Some(hint) => problems.push(codes::FIELD_TYPE, at, message, hint),
        None => problems.error(codes::FIELD_TYPE, at, message),
    }
}
