//! The frontmatter of prompt and role files: strict YAML into typed fields, with places.
//!
//! Must not judge schemas or templates. Quoted or not, a text field stays the text that was
//! written: `model: 1.10` is `1.10`.

use std::fmt;

use plue_plan::{Code, Diagnostic, Span, policy::Budget, validate::did_you_mean};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::Value as Json;
use serde_saphyr::{Location, Spanned};

use crate::{codes, limits};

/// Fields of a prompt file.
pub(crate) const PROMPT_FIELDS: &[&str] = &[
    "name",
    "description",
    "schema",
    "model",
    "tools",
    "approve",
    "max_turns",
    "max_tokens",
    "budget",
    "output",
    "role",
    "effort",
];
pub(crate) const ROLE_FIELDS: &[&str] = &[
    "name",
    "description",
    "aliases",
    "model",
    "tools",
    "approve",
    "max_turns",
    "max_tokens",
    "budget",
    "output",
    "effort",
];

/// The fields of a file, with their places.
#[derive(Debug, Default)]
pub(crate) struct Header {
    pub(crate) name: Option<Spanned<String>>,
    pub(crate) description: Option<Spanned<String>>,
    pub(crate) aliases: Vec<Spanned<String>>,
    pub(crate) schema: Option<Spanned<Json>>,
    pub(crate) output: Option<Spanned<Json>>,
    pub(crate) role: Option<Spanned<String>>,
    pub(crate) model: ModelFields,
    unknown: Vec<Spanned<String>>,
}

/// The fields about the model request.
#[derive(Debug, Default)]
pub(crate) struct ModelFields {
    pub(crate) name: Option<Spanned<String>>,
    pub(crate) effort: Option<Spanned<String>>,
    pub(crate) tools: Option<Vec<Spanned<String>>>,
    pub(crate) approve: Vec<Spanned<String>>,
    pub(crate) max_turns: Option<Spanned<u32>>,
    pub(crate) max_tokens: Option<Spanned<u32>>,
    pub(crate) budget: Option<Spanned<BudgetField>>,
}

/// `budget: {usd: 2, tokens: 100000}`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BudgetField {
    usd: Option<f64>,
    tokens: Option<u64>,
}

/// Reads the frontmatter. Warnings do not stop it; every other problem is an `Err`.
pub(crate) fn read(
    file: &str,
    yaml: &str,
    fields: &[&str],
) -> Result<(Header, Vec<Diagnostic>), Vec<Diagnostic>> {
    let header: Option<Header> = serde_saphyr::from_str_with_options(yaml, options())
        .map_err(|error| vec![yaml_problem(file, &error)])?;
    let header = header.unwrap_or_default();
    let mut reader = Reader { file, errors: Vec::new(), warnings: Vec::new() };
    reader.unknown(&header, fields);
    reader.names(&header);
    reader.numbers(&header);
    if reader.errors.is_empty() { Ok((header, reader.warnings)) } else { Err(reader.errors) }
}

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        strict_booleans: true,
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_nodes: limits::MAX_FRONTMATTER_NODES,
            max_events: 4 * limits::MAX_FRONTMATTER_NODES,
            max_depth: limits::MAX_FRONTMATTER_DEPTH,
            max_documents: 1,
        },
    }
}

fn yaml_problem(file: &str, error: &serde_saphyr::Error) -> Diagnostic {
    let error = error.without_snippet();
    let text = error.render_with_formatter(&serde_saphyr::UserMessageFormatter);
    // The place is in the diagnostic; the library repeats it at the end of its text.
    let text = text.split(" at line ").next().unwrap_or(&text);
    let message = format!("the frontmatter: {}", text.trim());
    let location = error.location().unwrap_or(Location::UNKNOWN);
    Diagnostic::error(codes::BAD_FRONTMATTER, message).at(span(file, location))
}

/// The place of a YAML node; the line 1 if the library does not know it.
pub(crate) fn span(file: &str, location: Location) -> Span {
    let count = |n: u64| u32::try_from(n).unwrap_or(u32::MAX).max(1);
    Span::at(file, count(location.line()), count(location.column()))
}

struct Reader<'f> {
    file: &'f str,
    errors: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
}

// === impl Reader ===

impl Reader<'_> {
    fn error<T>(&mut self, code: Code, message: impl Into<String>, at: &Spanned<T>) {
        let place = span(self.file, at.referenced);
        self.errors.push(Diagnostic::error(code, message).at(place));
    }

    /// A name near a known one is a typing mistake and an error, because an ignored `budgte` costs
    /// money. Any other name is a foreign field, and a warning.
    fn unknown(&mut self, header: &Header, fields: &[&str]) {
        let place = |key: &Spanned<String>| span(self.file, key.referenced);
        for key in &header.unknown {
            let name = shown(&key.value);
            let message = format!("`{name}` is no field of this frontmatter");
            match did_you_mean(&key.value, fields.iter().copied()) {
                Some(near) => self.errors.push(
                    Diagnostic::error(codes::UNKNOWN_FIELD, message)
                        .at(place(key))
                        .hint(format!("did you mean `{near}`?")),
                ),
                None => self.warnings.push(
                    Diagnostic::warning(codes::UNKNOWN_FIELD, message + "; it is ignored")
                        .at(place(key))
                        .hint(format!("the fields are {}", fields.join(", "))),
                ),
            }
        }
        for (name, present) in [
            ("schema", header.schema.as_ref().map(|field| field.referenced)),
            ("role", header.role.as_ref().map(|field| field.referenced)),
            ("aliases", header.aliases.first().map(|field| field.referenced)),
        ] {
            if let (Some(location), false) = (present, fields.contains(&name)) {
                let message = format!("`{name}` is no field of this frontmatter");
                let place = span(self.file, location);
                self.errors.push(
                    Diagnostic::error(codes::UNKNOWN_FIELD, message)
                        .at(place)
                        .hint(format!("the fields are {}", fields.join(", "))),
                );
            }
        }
    }

    fn names(&mut self, header: &Header) {
        match &header.name {
            None => self.errors.push(
                Diagnostic::error(codes::MISSING_NAME, "the frontmatter has no `name`")
                    .at(Span::at(self.file, 1, 1))
                    .hint("add `name:` with the name of the file"),
            ),
            Some(name) if !is_title(&name.value) => {
                let message = format!("`{}` is no name", shown(&name.value));
                self.error(codes::MISSING_NAME, message, name);
            }
            Some(_) => {}
        }
        for alias in &header.aliases {
            if !is_name(&alias.value) {
                let message = format!("`{}` is no name", shown(&alias.value));
                self.error(codes::BAD_FIELD, message, alias);
            }
        }
        if let Some(role) = header.role.as_ref().filter(|role| !is_name(&role.value)) {
            let message = format!("`{}` is no name of a role", shown(&role.value));
            self.error(codes::BAD_FIELD, message, role);
        }
        let texts = [&header.model.name, &header.model.effort];
        let tools = header.model.tools.iter().flatten().chain(&header.model.approve);
        for text in texts.into_iter().flatten().chain(tools) {
            if !is_word(&text.value) {
                let message = format!("`{}` is empty, too long or has spaces", shown(&text.value));
                self.error(codes::BAD_FIELD, message, text);
            }
        }
        if let Some(text) = &header.description {
            let long = text.value.chars().count() > plue_plan::limits::MAX_DESCRIPTION_LEN;
            if long || text.value.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
                let message = "the description is too long or has control characters";
                self.error(codes::BAD_FIELD, message, text);
            }
        }
    }

    fn numbers(&mut self, header: &Header) {
        for (name, field) in
            [("max_turns", &header.model.max_turns), ("max_tokens", &header.model.max_tokens)]
        {
            if let Some(field) = field.as_ref().filter(|field| field.value == 0) {
                self.error(codes::BAD_FIELD, format!("`{name}` is 0"), field);
            }
        }
        if let Some(field) = &header.model.budget {
            let bad_usd = |usd: f64| !usd.is_finite() || usd < 0.0;
            let budget = &field.value;
            if budget.usd.is_some_and(bad_usd) {
                let message = "`budget.usd` is negative or no number";
                self.error(codes::BAD_FIELD, message, field);
            }
            if budget.usd.is_none() && budget.tokens.is_none() {
                let message = "`budget` says neither `usd` nor `tokens`";
                self.error(codes::BAD_FIELD, message, field);
            }
        }
    }
}

/// A name by which prompts, partials and roles are found: the rule for step ids.
pub(crate) fn is_name(name: &str) -> bool {
    plue_plan::id::check_identifier(name).is_ok()
}

/// A name as the frontmatter may spell it; files are found by their own names.
fn is_title(name: &str) -> bool {
    let length = name.chars().count();
    let visible = !name.trim().is_empty() && !name.chars().any(char::is_control);
    visible && length <= plue_plan::limits::MAX_NAME_LEN
}

fn is_word(text: &str) -> bool {
    let plain = |c: char| !c.is_whitespace() && !c.is_control();
    !text.is_empty()
        && text.chars().count() <= plue_plan::limits::MAX_NAME_LEN
        && text.chars().all(plain)
}

/// Foreign text as a message quotes it.
pub(crate) fn shown(text: &str) -> String {
    const MOST: usize = 80;
    let mut shown: String = text.chars().take(MOST).flat_map(char::escape_debug).collect();
    if text.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    shown
}

// === impl BudgetField ===

impl BudgetField {
    pub(crate) fn into_budget(self) -> Budget {
        Budget { usd: self.usd, tokens: self.tokens }
    }
}

// === impl Header ===

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields)
    }
}

/// Takes the fields as they come, because a derived implementation knows no place of an unknown
/// key and stops at the first.
struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the fields of a prompt or role file")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut header = Header::default();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            match key.value.as_str() {
                "name" => header.name = map.next_value()?,
                "description" => header.description = map.next_value()?,
                "aliases" => header.aliases = map.next_value()?,
                "schema" => header.schema = Some(map.next_value()?),
                "output" => header.output = Some(map.next_value()?),
                "model" => header.model.name = map.next_value()?,
                "role" => header.role = map.next_value()?,
                "effort" => header.model.effort = map.next_value()?,
                "tools" => header.model.tools = map.next_value()?,
                "approve" => header.model.approve = map.next_value()?,
                "max_turns" => header.model.max_turns = map.next_value()?,
                "max_tokens" => header.model.max_tokens = map.next_value()?,
                "budget" => header.model.budget = map.next_value()?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    header.unknown.push(key);
                }
            }
        }
        Ok(header)
    }
}
