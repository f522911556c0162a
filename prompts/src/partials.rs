//! Partials: the texts of the prompts folder that prompts include by `{{> name}}`.
//!
//! Must not read the folder: callers hand in names and texts. Every prompt file may be included,
//! and so may a Markdown file without frontmatter; of both, the text below the frontmatter counts.

use std::collections::BTreeMap;

use plue_plan::{Diagnostic, Span, validate::did_you_mean};

use crate::{
    codes, frontmatter,
    header::{is_name, shown},
    limits,
    problems::capped,
    survey::{Call, Survey},
    template::{self, Template, TextPosition, Use},
};

/// The partials that prompts may include.
#[derive(Debug, Clone, Default)]
pub struct Partials {
    templates: BTreeMap<String, Template>,
}

// === impl Partials ===

impl Partials {
    /// A set without partials.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a text. `name` is the file's name without folder and `.md`; `file` is its path for
    /// diagnostics. Unlike the text of a prompt, that of a partial keeps its last line end.
    ///
    /// # Errors
    /// Everything that is wrong with the name or the template; a name that is taken.
    pub fn insert(&mut self, name: &str, file: &str, text: &str) -> Result<(), Vec<Diagnostic>> {
        let refuse =
            |code, message: String| vec![Diagnostic::error(code, message).at(Span::at(file, 1, 1))];
        if !is_name(name) {
            let message = format!("`{}` is no name of a partial", shown(name));
            return Err(refuse(codes::MISSING_NAME, message));
        }
        if self.templates.contains_key(name) {
            let message = format!("there is a partial `{name}` already");
            return Err(refuse(codes::DUPLICATE_NAME, message));
        }
        let parts = frontmatter::split(file, text).map_err(|problem| vec![problem])?;
        let origin = TextPosition { file: file.into(), line: parts.body_line };
        let template = template::compile(origin, name, &parts.body, Use::Partial)?;
        self.templates.insert(name.to_owned(), template);
        Ok(())
    }

    /// The names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.templates.keys().map(String::as_str)
    }

    /// The partials that one of them includes, so that a caller can load what is needed and no more.
    pub fn includes(&self, name: &str) -> impl Iterator<Item = &str> {
        self.templates.get(name).into_iter().flat_map(includes)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Template> {
        self.templates.get(name)
    }
}

/// The partials that a template includes, its inline ones left out.
pub(crate) fn includes(template: &Template) -> impl Iterator<Item = &str> {
    let inline = &template.survey.inline;
    let own = template.survey.calls.iter();
    let calls = own.chain(inline.values().flat_map(|survey| &survey.calls));
    calls.map(|call| call.name.as_str()).filter(|name| !inline.contains_key(*name))
}

/// The partials that a prompt needs, all of them known, none in a circle.
pub(crate) struct Linked<'p> {
    pub(crate) partials: BTreeMap<&'p str, &'p Template>,
}

/// Follows every include of a prompt.
pub(crate) fn link<'p>(
    root: &'p Template,
    partials: &'p Partials,
) -> Result<Linked<'p>, Vec<Diagnostic>> {
    let mut linker = Linker {
        root,
        partials,
        depths: BTreeMap::new(),
        open: Vec::new(),
        used: BTreeMap::new(),
        problems: Vec::new(),
    };
    for name in root.survey.inline.keys() {
        if partials.get(name).is_some() {
            let message = format!("the inline partial `{}` is also a file", shown(name));
            let problem = Diagnostic::error(codes::DUPLICATE_NAME, message);
            linker.problems.push(problem.at(root.origin.span(1, 1)));
        }
    }
    linker.follow(&root.survey, &root.origin);
    if linker.problems.is_empty() {
        return Ok(Linked { partials: linker.used });
    }
    Err(capped(linker.problems))
}

struct Linker<'p> {
    root: &'p Template,
    partials: &'p Partials,
    /// Nesting depth of each followed partial, its own partials included.
    depths: BTreeMap<&'p str, usize>,
    /// The partials that are being followed.
    open: Vec<&'p str>,
    used: BTreeMap<&'p str, &'p Template>,
    problems: Vec<Diagnostic>,
}

// === impl Linker ===

impl<'p> Linker<'p> {
    /// The deepest nesting of a template with everything that it includes.
    fn follow(&mut self, survey: &'p Survey, origin: &'p TextPosition) -> usize {
        let mut deepest = survey.depth;
        for call in &survey.calls {
            let inner = call.depth + 1 + self.call(call, origin);
            deepest = deepest.max(inner);
        }
        deepest
    }

    fn call(&mut self, call: &'p Call, origin: &'p TextPosition) -> usize {
        let name = call.name.as_str();
        if let Some(at) = self.open.iter().position(|open| *open == name) {
            let around = self.open.get(at..).unwrap_or_default();
            let path: Vec<&str> = around.iter().copied().chain([name]).collect();
            let message = format!("partials in a circle: {}", path.join(" → "));
            self.report(codes::PARTIAL_CYCLE, message, call, origin);
            return 0;
        }
        if let Some(depth) = self.depths.get(name) {
            return *depth;
        }
        let inline = self.root.survey.inline.get(name).map(|found| (found, &self.root.origin));
        // Only the prompt itself sees its inline partials; else a partial's meaning would change
        // with the prompt around it.
        let inline = inline.filter(|_| origin == &self.root.origin);
        let found = match (inline, self.partials.get(name)) {
            (Some(inline), _) => inline,
            (None, Some(template)) => {
                self.used.insert(name, template);
                (&template.survey, &template.origin)
            }
            (None, None) => {
                self.unknown(call, origin);
                return 0;
            }
        };
        self.open.push(name);
        let depth = if self.open.len() > limits::MAX_NESTING {
            limits::MAX_NESTING
        } else {
            self.follow(found.0, found.1)
        };
        self.open.pop();
        let around: usize = call.depth + 1 + depth;
        if around > limits::MAX_NESTING {
            let message =
                format!("blocks and partials are nested more than {} deep", limits::MAX_NESTING);
            self.report(codes::TOO_DEEP, message, call, origin);
        }
        self.depths.insert(name, depth);
        depth
    }

    fn unknown(&mut self, call: &Call, origin: &TextPosition) {
        let message = format!("there is no partial `{}`", shown(&call.name));
        self.report(codes::UNKNOWN_PARTIAL, message, call, origin);
        let inline = self.root.survey.inline.keys().map(String::as_str);
        let near = did_you_mean(&call.name, self.partials.names().chain(inline));
        let hint = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => "partials are files of `.plue/prompts/`, named without `.md`".to_owned(),
        };
        if let Some(problem) = self.problems.last_mut() {
            problem.hint = Some(hint);
        }
    }

    fn report(
        &mut self,
        code: plue_plan::Code,
        message: String,
        call: &Call,
        origin: &TextPosition,
    ) {
        let at = origin.span(call.line, call.column);
        self.problems.push(Diagnostic::error(code, message).at(at));
    }
}
