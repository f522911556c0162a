//! The survey of a compiled template: what it calls is judged, what it prints goes through our own
//! helper, and the partials it includes are listed.
//!
//! Must not see values. Its recursion is bounded, because [`crate::scan`] has bounded the nesting.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use handlebars::{
    Template,
    template::{
        BlockParam, DecoratorTemplate, HelperTemplate, Parameter, Subexpression, TemplateElement,
    },
};
use plue_plan::{Code, Diagnostic, validate::did_you_mean};
use serde_json::Value as Json;

use crate::{
    builtin::{self, Form, HELPERS},
    codes,
    frontmatter::number,
    header::shown,
    problems::capped,
    template::{TextPosition, Use, stands_alone},
};

/// Static facts of a template, before it is rendered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Survey {
    /// The deepest nesting of its own blocks.
    pub(crate) depth: usize,
    /// The partials that it includes.
    pub(crate) calls: Vec<Call>,
    /// Its inline partials, by name, with the partials that they include.
    pub(crate) inline: BTreeMap<String, Survey>,
    /// The first names of the paths it reads where no block has changed `this`.
    pub(crate) reads: BTreeSet<String>,
}

/// One `{{> name}}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) name: String,
    /// The blocks around it.
    pub(crate) depth: usize,
    pub(crate) line: u32,
    pub(crate) column: u32,
}

struct Surveyor<'o> {
    text: &'o str,
    origin: &'o TextPosition,
    used_as: Use,
    found: Survey,
    problems: Vec<Diagnostic>,
    depth: usize,
    /// Number of enclosing blocks that have changed `this`.
    moved: usize,
    /// The place of the element that is looked at.
    at: (u32, u32),
}

/// Judges and prepares a template.
pub(crate) fn survey(
    template: &mut Template,
    text: &str,
    origin: &TextPosition,
    used_as: Use,
) -> Result<Survey, Vec<Diagnostic>> {
    let mut surveyor = Surveyor {
        text,
        origin,
        used_as,
        found: Survey::default(),
        problems: Vec::new(),
        depth: 0,
        moved: 0,
        at: (1, 1),
    };
    surveyor.template(template);
    if used_as == Use::Partial {
        mark_entry(template);
    }
    if surveyor.problems.is_empty() { Ok(surveyor.found) } else { Err(capped(surveyor.problems)) }
}

/// Puts the internal helper that counts the work before the first element of a partial.
fn mark_entry(template: &mut Template) {
    let weight = builtin::weight(template);
    let text = format!("{{{{x this {weight}}}}}");
    let Ok(mut entry) = Template::compile(&text) else {
        return;
    };
    if let Some(TemplateElement::Expression(call)) = entry.elements.first_mut() {
        call.name = Parameter::Name(builtin::ENTER.to_owned());
    }
    template.elements.splice(0..0, entry.elements);
    template.mapping.splice(0..0, entry.mapping);
}

// === impl Surveyor ===

impl Surveyor<'_> {
    fn problem(&mut self, code: Code, message: String) -> &mut Diagnostic {
        let (line, column) = self.at;
        let at = self.origin.span(line, column);
        self.problems.push(Diagnostic::error(code, message).at(at));
        let last = self.problems.len() - 1;
        &mut self.problems[last]
    }

    fn refuse(&mut self, code: Code, message: String, hint: impl Into<String>) {
        self.problem(code, message).hint = Some(hint.into());
    }

    fn template(&mut self, template: &mut Template) {
        self.found.depth = self.found.depth.max(self.depth);
        for (index, element) in template.elements.iter_mut().enumerate() {
            if let Some(place) = template.mapping.get(index) {
                self.at = (number(place.0), number(place.1));
            }
            self.element(element);
        }
    }

    fn element(&mut self, element: &mut TemplateElement) {
        match element {
            TemplateElement::Expression(call) | TemplateElement::HtmlExpression(call) => {
                self.printed(call);
            }
            TemplateElement::HelperBlock(call) => self.block(call),
            TemplateElement::PartialExpression(call) => self.partial(call),
            TemplateElement::DecoratorBlock(block) => self.inline(block),
            TemplateElement::PartialBlock(_) => self.refuse(
                codes::UNSUPPORTED_TAG,
                "partials with a block, `{{#> …}}`, do not exist here".to_owned(),
                "give the partial named arguments: `{{> name title=\"…\"}}`",
            ),
            TemplateElement::DecoratorExpression(_) => self.refuse(
                codes::UNSUPPORTED_TAG,
                "decorators, `{{* …}}`, do not exist here".to_owned(),
                "a part that is used twice is a partial: `{{> name}}`",
            ),
            // Text and comments. The enumeration is foreign.
            _ => {}
        }
    }

    /// `{{path}}` and `{{helper …}}`: judged, then wrapped in the helper that prints.
    fn printed(&mut self, call: &mut HelperTemplate) {
        let bare = call.params.is_empty() && call.hash.is_empty();
        let printed = match (&call.name, bare) {
            (Parameter::Path(_), true) => {
                let name = call.name.as_name().unwrap_or_default().to_owned();
                if builtin::find(&name).is_some() {
                    let message = format!("`{name}` is a helper and needs arguments");
                    let hint = format!("an input of this name is written `{{{{this.{name}}}}}`");
                    self.refuse(codes::HELPER_ARGUMENTS, message, hint);
                }
                self.read(&name);
                call.name.clone()
            }
            (Parameter::Subexpression(_), true) => {
                self.argument(&mut call.name);
                call.name.clone()
            }
            _ => {
                self.call(call, Form::Value);
                let (params, hash) = (call.params.split_off(0), std::mem::take(&mut call.hash));
                Parameter::Subexpression(Subexpression::new(call.name.clone(), params, hash))
            }
        };
        call.name = Parameter::Name(builtin::PRINT.to_owned());
        call.params = vec![printed];
    }

    fn block(&mut self, call: &mut HelperTemplate) {
        let place = self.at;
        let name = call.name.as_name().unwrap_or_default().to_owned();
        let raw = name == "raw";
        self.call(call, if raw { Form::Raw } else { Form::Block });
        if raw {
            return;
        }
        let moves = matches!(name.as_str(), "each" | "with");
        self.depth += 1;
        self.moved += usize::from(moves);
        if let Some(template) = &mut call.template {
            self.template(template);
        }
        self.moved -= usize::from(moves);
        if let Some(template) = &mut call.inverse {
            self.template(template);
        }
        self.depth -= 1;
        self.at = place;
    }

    /// A helper with its arguments.
    fn call(&mut self, call: &mut HelperTemplate, form: Form) {
        let name = call.name.as_name().unwrap_or_default().to_owned();
        match builtin::find(&name) {
            Some(known) if known.form == form => {
                self.count(known, call);
                self.named(known, &call.hash);
                let names = match &call.block_param {
                    None => 0,
                    Some(BlockParam::Single(_)) => 1,
                    // A pair; the enumeration is foreign.
                    Some(_) => 2,
                };
                if names > known.block_names {
                    let message = format!("`{name}` takes {} names after `as`", known.block_names);
                    self.problem(codes::HELPER_ARGUMENTS, message);
                }
            }
            Some(known) => self.misplaced(known),
            None => self.unknown_helper(&name, form),
        }
        for argument in call.params.iter_mut().chain(call.hash.values_mut()) {
            self.argument(argument);
        }
    }

    fn count(&mut self, known: &builtin::HelperSpec, call: &HelperTemplate) {
        let given = call.params.len();
        if given < known.least || given > known.most {
            let wanted = match (known.least, known.most) {
                (1, 1) => "1 argument".to_owned(),
                (least, most) if least == most => format!("{least} arguments"),
                (least, most) => format!("{least} to {most} arguments"),
            };
            let name = known.name;
            let message = format!("`{name}` takes {wanted}, here are {given}");
            self.refuse(codes::HELPER_ARGUMENTS, message, known.summary);
        }
    }

    fn named(&mut self, known: &builtin::HelperSpec, hash: &HashMap<String, Parameter>) {
        let mut names: Vec<&String> = hash.keys().collect();
        names.sort();
        for name in names {
            if !known.named.contains(&name.as_str()) {
                let message = format!("`{}` takes no argument `{}=`", known.name, shown(name));
                self.problem(codes::HELPER_ARGUMENTS, message);
            }
        }
    }

    fn misplaced(&mut self, known: &builtin::HelperSpec) {
        let name = known.name;
        let right = match known.form {
            Form::Block => format!("{{{{#{name} …}}}}…{{{{/{name}}}}}"),
            Form::Value => format!("{{{{{name} …}}}}, or in a block {{{{#if ({name} …)}}}}"),
            Form::Raw => format!("{{{{{{{{{name}}}}}}}}}…{{{{{{{{/{name}}}}}}}}}"),
        };
        let message = format!("`{name}` cannot stand here");
        self.refuse(codes::UNSUPPORTED_TAG, message, format!("write `{right}`"));
    }

    fn unknown_helper(&mut self, name: &str, form: Form) {
        let quoted = shown(name);
        let known = HELPERS.iter().filter(|helper| helper.form == form);
        let names: Vec<&str> = known.map(|helper| helper.name).collect();
        let hint = match (did_you_mean(name, names.iter().copied()), form) {
            (Some(near), _) => format!("did you mean `{near}`?"),
            (None, Form::Block) => format!(
                "for a list write `{{{{#each {quoted}}}}}`, for an object `{{{{#with {quoted}}}}}`, for a condition `{{{{#if {quoted}}}}}`"
            ),
            (None, Form::Value | Form::Raw) => format!("the helpers are {}", names.join(", ")),
        };
        let message = format!("`{quoted}` is no helper");
        self.refuse(codes::UNKNOWN_HELPER, message, hint);
    }

    fn argument(&mut self, argument: &mut Parameter) {
        match argument {
            Parameter::Path(_) => {
                let path = argument.as_name().unwrap_or_default().to_owned();
                self.read(&path);
            }
            Parameter::Subexpression(inner) => {
                if let TemplateElement::Expression(call) = inner.element.as_mut() {
                    if call.params.is_empty() && call.hash.is_empty() {
                        let name = call.name.as_name().unwrap_or_default().to_owned();
                        self.unknown_or_bare(&name);
                    } else {
                        self.call(call, Form::Value);
                    }
                }
            }
            // Literals. The enumeration is foreign.
            _ => {}
        }
    }

    /// `(name)`: only a helper can stand in parentheses, and every helper has arguments.
    fn unknown_or_bare(&mut self, name: &str) {
        match builtin::find(name) {
            Some(known) => {
                let message = format!("`{name}` needs arguments");
                self.refuse(codes::HELPER_ARGUMENTS, message, known.summary);
            }
            None => self.unknown_helper(name, Form::Value),
        }
    }

    /// Notes the first name of a path that starts at the inputs.
    fn read(&mut self, path: &str) {
        let (rooted, path) = match path.strip_prefix("@root") {
            Some(rest) => (true, rest.trim_start_matches(['.', '/'])),
            None => (false, path),
        };
        let path = path.strip_prefix("this.").or(path.strip_prefix("./")).unwrap_or(path);
        let first = path.split(['.', '/']).next().unwrap_or_default();
        let name = first.trim_matches(['[', ']']);
        let special = name.is_empty() || name == "this" || name.starts_with('@');
        if !special && (rooted || self.moved == 0) {
            self.found.reads.insert(name.to_owned());
        }
    }

    fn partial(&mut self, call: &mut DecoratorTemplate) {
        // The crate would indent the lines of a partial after any spaces, also inside a line.
        if !stands_alone(self.text, self.at) {
            call.indent = None;
        }
        for argument in call.params.iter_mut().chain(call.hash.values_mut()) {
            self.argument(argument);
            let given = Parameter::Name(builtin::GIVEN.to_owned());
            let inner = Subexpression::new(given, vec![argument.clone()], HashMap::new());
            *argument = Parameter::Subexpression(inner);
        }
        if call.params.len() > 1 {
            let message = "a partial takes one context, and named arguments".to_owned();
            self.problem(codes::HELPER_ARGUMENTS, message);
        }
        let Some(name) = call.name.as_name() else {
            return self.refuse(
                codes::UNSUPPORTED_TAG,
                "the name of a partial cannot be computed".to_owned(),
                "use `#if` around several `{{> name}}`",
            );
        };
        if name == "@partial-block" {
            return self.refuse(
                codes::UNSUPPORTED_TAG,
                "`@partial-block` does not exist here".to_owned(),
                "give the partial named arguments",
            );
        }
        let name = name.trim_matches('\'').to_owned();
        let (line, column) = self.at;
        let depth = self.depth;
        self.found.calls.push(Call { name, depth, line, column });
    }

    /// `{{#*inline "name"}}…{{/inline}}`, in prompts only: an inline partial of a partial could
    /// replace, at run time, what the circle check has seen.
    fn inline(&mut self, block: &mut DecoratorTemplate) {
        let name = match (block.name.as_name(), block.params.first()) {
            (Some("inline"), Some(Parameter::Literal(Json::String(name)))) => name.clone(),
            _ => {
                return self.refuse(
                    codes::UNSUPPORTED_TAG,
                    "the only decorator is `{{#*inline \"name\"}}`".to_owned(),
                    "a part that is used twice is a partial: `{{> name}}`",
                );
            }
        };
        if self.used_as == Use::Partial || self.depth > 0 || self.found.inline.contains_key(&name) {
            return self.refuse(
                codes::UNSUPPORTED_TAG,
                "an inline partial stands in a prompt, outside blocks, once".to_owned(),
                "make it a file of the prompts folder",
            );
        }
        let Some(template) = &mut block.template else {
            return;
        };
        let place = self.at;
        let mut inner = Surveyor {
            text: self.text,
            origin: self.origin,
            used_as: Use::Partial,
            found: Survey::default(),
            problems: Vec::new(),
            depth: 0,
            // Only the caller knows `this` there.
            moved: 1,
            at: place,
        };
        inner.template(template);
        mark_entry(template);
        self.problems.append(&mut inner.problems);
        self.found.inline.insert(name, inner.found);
        self.at = place;
    }
}
