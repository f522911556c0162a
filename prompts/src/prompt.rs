//! Prompt files: metadata, inputs, and rendering.
//!
//! Must not look for files: callers pass texts.

use plue_plan::{Diagnostic, Span, policy::Budget};
use serde_json::{Map, Value as Json};

use crate::{
    builtin, codes, frontmatter,
    header::{self, Header, PROMPT_FIELDS, shown, span},
    limits,
    partials::{self, Partials},
    render,
    schema::{self, Schema},
    template::{self, Template, TextPosition, Use},
};

/// Settings of the model request: the part of the frontmatter that prompts and roles share. Absent
/// values come from elsewhere (step, then prompt, then role, then the operator).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// Name of the model.
    pub model: Option<String>,
    /// Names of the tools the model may call. An empty list allows none; an absent one leaves the
    /// choice to others.
    pub tools: Option<Vec<String>>,
    /// Names of tools whose calls a person approves first, in addition to those of the step.
    pub approve: Vec<String>,
    /// Turns at most; not 0.
    pub max_turns: Option<u32>,
    /// Output tokens per turn at most; not 0.
    pub max_tokens: Option<u32>,
    /// Spending limit of the request.
    pub budget: Option<Budget>,
    /// JSON Schema of the structured result.
    pub output: Option<Json>,
    /// Name of the role; roles themselves have none.
    pub role: Option<String>,
    /// Reasoning effort of the model.
    pub effort: Option<String>,
}

/// A prompt file that can be rendered.
#[derive(Debug, Clone)]
pub struct PromptFile {
    name: String,
    description: Option<String>,
    settings: Settings,
    schema: Option<Schema>,
    template: Template,
    warnings: Vec<Diagnostic>,
}

// === impl PromptFile ===

impl PromptFile {
    /// Reads a file. `file` is its path, for diagnostics and to compare the name with.
    ///
    /// # Errors
    /// Every problem of the frontmatter; else every problem of the schemas and the template.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<Diagnostic>> {
        let parts = frontmatter::split(file, text).map_err(|problem| vec![problem])?;
        let Some(yaml) = &parts.frontmatter else {
            return Err(vec![no_frontmatter(file)]);
        };
        let (mut header, mut warnings) = header::read(file, yaml, PROMPT_FIELDS)?;
        let mut problems = Vec::new();
        let schema = compiled(file, &mut header.schema, true, &mut problems);
        let name = header.name.take().map(|name| name.value).unwrap_or_default();
        warnings.extend(name_warning(file, &name));
        let description = header.description.take().map(|text| text.value);
        let settings = settings(file, header, &mut problems);
        let origin = TextPosition { file: file.into(), line: parts.body_line };
        let template = template::compile(origin, "", parts.without_last_line_end(), Use::Prompt);
        match template {
            Ok(template) if problems.is_empty() => {
                Ok(Self { name, description, settings, schema, template, warnings })
            }
            Ok(_) => Err(problems),
            Err(more) => {
                problems.extend(more);
                Err(problems)
            }
        }
    }

    /// The name in the frontmatter.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Purpose of the prompt.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// Settings of the model request.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The JSON Schema of the inputs, as written.
    #[must_use]
    pub fn schema(&self) -> Option<&Json> {
        self.schema.as_ref().map(Schema::json)
    }

    /// Warnings about the file.
    #[must_use]
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    /// The inputs that the template itself reads, sorted; those that only partials read are not
    /// among them.
    pub fn reads(&self) -> impl Iterator<Item = &str> {
        self.template.survey.reads.iter().map(String::as_str)
    }

    /// Problems that follow from the names of the inputs alone, before there are values: required
    /// names that are missing, and names that are not allowed.
    #[must_use]
    pub fn check_names(&self, given: &[&str]) -> Vec<Diagnostic> {
        match &self.schema {
            Some(schema) => schema.name_problems(given),
            None => Vec::new(),
        }
    }

    /// Problems of inputs of which only some have their values before the run: those that follow
    /// from the `literals` and from the names of the `open` ones.
    #[must_use]
    pub fn check_literals(&self, literals: &Map<String, Json>, open: &[&str]) -> Vec<Diagnostic> {
        if open.is_empty() {
            return self.check_inputs(literals);
        }
        if let Some(problem) = size_problem(literals) {
            return vec![problem];
        }
        let Some(schema) = &self.schema else { return Vec::new() };
        let given: Vec<&str> = literals.keys().map(String::as_str).chain(open.to_owned()).collect();
        let mut found = schema.name_problems(&given);
        found.extend(schema.problems_inside(&Json::Object(literals.clone())));
        found
    }

    /// The partials that the prompt includes itself, in the order of the text. Its inline ones are
    /// not among them.
    pub fn includes(&self) -> impl Iterator<Item = &str> {
        partials::includes(&self.template)
    }

    /// Every problem of the inputs, each with the path of the value. Defaults of the schema are not
    /// filled in.
    #[must_use]
    pub fn check_inputs(&self, inputs: &Map<String, Json>) -> Vec<Diagnostic> {
        if let Some(problem) = size_problem(inputs) {
            return vec![problem];
        }
        match &self.schema {
            Some(schema) => schema.problems(&Json::Object(inputs.clone())),
            None => Vec::new(),
        }
    }

    /// Every problem of the partials that the prompt includes: unknown names, circles, nesting.
    #[must_use]
    pub fn check_partials(&self, partials: &Partials) -> Vec<Diagnostic> {
        partials::link(&self.template, partials).err().unwrap_or_default()
    }

    /// The text of the prompt with its inputs.
    ///
    /// # Errors
    /// Every problem of partials and inputs; else the first problem of the rendering.
    pub fn render(
        &self,
        inputs: &Map<String, Json>,
        partials: &Partials,
    ) -> Result<String, Vec<Diagnostic>> {
        let linked = partials::link(&self.template, partials)?;
        let problems = self.check_inputs(inputs);
        if !problems.is_empty() {
            return Err(problems);
        }
        render::render(&self.template, &linked, inputs, self.schema())
            .map_err(|problem| vec![problem])
    }
}

pub(crate) fn no_frontmatter(file: &str) -> Diagnostic {
    Diagnostic::error(codes::NO_FRONTMATTER, "the file has no frontmatter")
        .at(Span::at(file, 1, 1))
        .hint("begin with a line `---`, then `name:` and `description:`, then a line `---`")
}

/// Files are found by their own names, so another name inside is at least confusing.
pub(crate) fn name_warning(file: &str, name: &str) -> Option<Diagnostic> {
    let stem = file.rsplit('/').next().unwrap_or(file);
    let stem = stem.strip_suffix(".md")?;
    (stem != name).then(|| {
        let message = format!("the file is `{}`, its name says `{}`", shown(stem), shown(name));
        Diagnostic::warning(codes::NAME_MISMATCH, message)
            .at(Span::at(file, 1, 1))
            .hint("it is found by the name of the file")
    })
}

fn compiled(
    file: &str,
    field: &mut Option<serde_saphyr::Spanned<Json>>,
    inputs: bool,
    problems: &mut Vec<Diagnostic>,
) -> Option<Schema> {
    let field = field.take()?;
    let place = span(file, field.referenced);
    match schema::compile(field.value, inputs) {
        Ok(schema) => Some(schema),
        Err(message) => {
            let which = if inputs { "schema" } else { "output" };
            let message = format!("`{which}`: {message}");
            problems.push(Diagnostic::error(codes::BAD_SCHEMA, message).at(place));
            None
        }
    }
}

/// The shared part of the frontmatter.
pub(crate) fn settings(file: &str, mut header: Header, problems: &mut Vec<Diagnostic>) -> Settings {
    let output = compiled(file, &mut header.output, false, problems);
    let text = |field: Option<serde_saphyr::Spanned<String>>| field.map(|field| field.value);
    let tools = header.model.tools.map(|tools| tools.into_iter().map(|tool| tool.value).collect());
    let approve = header.model.approve.into_iter().map(|tool| tool.value).collect();
    Settings {
        model: text(header.model.name),
        tools,
        approve,
        max_turns: header.model.max_turns.map(|field| field.value),
        max_tokens: header.model.max_tokens.map(|field| field.value),
        budget: header.model.budget.map(|field| field.value.into_budget()),
        output: output.map(|schema| schema.json().clone()),
        role: text(header.role),
        effort: text(header.model.effort),
    }
}

fn size_problem(inputs: &Map<String, Json>) -> Option<Diagnostic> {
    if inputs.values().any(|value| too_deep(value, 1)) {
        let message = format!("the inputs are nested more than {} deep", limits::MAX_INPUT_DEPTH);
        return Some(Diagnostic::error(codes::TOO_DEEP, message));
    }
    let bytes: u64 = inputs.values().map(builtin::size).sum();
    (bytes > limits::MAX_INPUT_BYTES as u64).then(|| {
        let message =
            format!("the inputs have about {bytes} bytes; {} are allowed", limits::MAX_INPUT_BYTES);
        Diagnostic::error(codes::INPUT_TOO_LARGE, message)
            .hint("give the model files to read instead of their contents")
    })
}

fn too_deep(value: &Json, depth: usize) -> bool {
    if depth > limits::MAX_INPUT_DEPTH {
        return true;
    }
    match value {
        Json::Array(items) => items.iter().any(|item| too_deep(item, depth + 1)),
        Json::Object(map) => map.values().any(|item| too_deep(item, depth + 1)),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => false,
    }
}
