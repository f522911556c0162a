//! Expressions: that they parse, and that what they read is there when they are evaluated.
//!
//! Must not know the language: [`ExpressionCheck`] does.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::{
    codes,
    context::key_of,
    graph::Ancestry,
    inputs::declared,
    limits,
    plan::Plan,
    shown::shown,
    step::Step,
    validate::{
        SourceMap,
        group::{Group, GroupKind, Groups},
        report::{Quoted, Report, Site},
    },
    value::Node,
    walk::{self, Field, Part},
};

/// Root of a path in an expression, as far as its text shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Root {
    /// The map `steps`.
    Step,
    /// The map `inputs`.
    Input,
    /// The map `context`.
    Context,
}

/// One read in an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Root of the path.
    pub root: Root,
    /// Its id or name.
    pub name: String,
    /// Offset in the source, in characters from 0.
    pub offset: usize,
}

/// Error of a malformed expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} at position {}", offset + 1)]
pub struct ExpressionError {
    /// Offset of the problem in the source, in characters from 0.
    pub offset: usize,
    /// Description of the problem, in lower case, without a full stop.
    pub message: String,
}

/// The expression language, as far as validation needs it; `plue-spec` implements it.
pub trait ExpressionCheck {
    /// The reads of a CEL expression.
    ///
    /// # Errors
    /// The source is malformed.
    fn references(&self, source: &str) -> Result<Vec<Reference>, ExpressionError>;

    /// The reads of a CEL expression that must be true or false.
    ///
    /// # Errors
    /// The source is malformed, or can be neither.
    fn condition_references(&self, source: &str) -> Result<Vec<Reference>, ExpressionError> {
        self.references(source)
    }

    /// The reads of the `${…}` parts of a template, with offsets in the whole template.
    ///
    /// # Errors
    /// A part is malformed, or is not closed.
    fn template_references(&self, source: &str) -> Result<Vec<Reference>, ExpressionError>;
}

/// Position of an evaluation in the run, which determines the ended steps.
#[derive(Clone, Copy)]
enum Reader {
    /// Before the run: none.
    Before,
    /// At the end of the run: all steps and hooks of `on_start`.
    After,
    /// The step at this position of this list.
    Step(GroupKind, usize),
}

/// The pass over all expressions of a plan.
pub(super) struct Expressions<'p> {
    report: &'p mut Report,
    language: &'p dyn ExpressionCheck,
    plan: &'p Plan,
    groups: &'p Groups<'p>,
    inputs: BTreeSet<&'p str>,
    /// The writers of each context key, by their positions among the steps.
    writers: HashMap<&'p str, Vec<usize>>,
    /// Keys that the step at hand reads; each is judged once.
    keys_read: HashSet<&'p str>,
    ancestry: HashMap<&'static str, Ancestry>,
    /// For each step of the DAG its depth, if it is in or behind no cycle; empty without writers.
    depths: Vec<Option<usize>>,
}

impl<'p> Expressions<'p> {
    pub(super) fn new(
        report: &'p mut Report,
        language: &'p dyn ExpressionCheck,
        plan: &'p Plan,
        groups: &'p Groups<'p>,
    ) -> Self {
        let mut writers: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, step) in plan.steps.iter().enumerate() {
            if let Some((name, _)) = key_of(plan, step) {
                writers.entry(name).or_default().push(at);
            }
        }
        let main = groups.group(GroupKind::Main).filter(|_| !writers.is_empty());
        Self {
            depths: main.map(|group| group.graph.depths()).unwrap_or_default(),
            inputs: declared(plan).into_keys().collect(),
            writers,
            keys_read: HashSet::new(),
            ancestry: HashMap::new(),
            report,
            language,
            plan,
            groups,
        }
    }

    /// Those of the plan itself and of its triggers.
    pub(super) fn plan(&mut self, places: &SourceMap) {
        let plan = self.plan;
        let site = Site::plan(places);
        walk::plan_parts(plan, &mut |field, part| {
            let reader = if field.0 == "outputs" { Reader::After } else { Reader::Before };
            self.part((site, reader), field, part);
        });
        for (index, trigger) in plan.triggers.iter().enumerate() {
            let site = Site::trigger(places, index);
            walk::trigger_parts(trigger, &mut |field, part| {
                self.part((site, Reader::Before), field, part);
            });
        }
    }

    /// Those of all steps.
    pub(super) fn steps(&mut self) {
        let groups = self.groups;
        for group in &groups.groups {
            for (at, (step, occurrence)) in group.into_iter().enumerate() {
                let step: &Step = step;
                let site = Site::step(groups.places, &step.id, occurrence);
                self.keys_read.clear();
                walk::step_parts(step, &mut |field, part| {
                    self.part((site, Reader::Step(group.kind, at)), field, part);
                });
            }
        }
    }

    fn part(&mut self, at: (Site<'_>, Reader), field: Field<'_>, part: Part<'_>) {
        match part {
            Part::Cel(source) => {
                let read = self.language.condition_references(source);
                self.read(at, field, (source, read));
            }
            Part::Value(value) => value.visit(&mut |node| self.source(at, field, node)),
            Part::Data(_) | Part::Schema(_) => {}
        }
    }

    fn source(&mut self, at: (Site<'_>, Reader), field: Field<'_>, node: Node<'_>) {
        let (source, read) = match node {
            Node::Expr(source) => (source, self.language.references(source)),
            Node::Template(source) => (source, self.language.template_references(source)),
            Node::Literal(_) | Node::Secret(_) | Node::Malformed(_) => return,
        };
        self.read(at, field, (source, read));
    }

    fn read(
        &mut self,
        at: (Site<'_>, Reader),
        field: Field<'_>,
        (source, read): (&str, Result<Vec<Reference>, ExpressionError>),
    ) {
        match read {
            Ok(references) => {
                for reference in &references {
                    self.reference(at, field, reference);
                }
            }
            Err(error) => {
                let (position, message) = (error.offset + 1, shown(&error.message, 200));
                self.report.push(at.0.error(
                    codes::BAD_EXPRESSION,
                    format_args!(
                        "`{field}`: {} is no valid expression: {message} at position {position}",
                        Quoted(source)
                    ),
                ));
            }
        }
    }

    fn reference(&mut self, at: (Site<'_>, Reader), field: Field<'_>, reference: &Reference) {
        let (site, reader) = at;
        let (name, position) = (Quoted(&reference.name), reference.offset + 1);
        let what = format!("`{field}` reads {name} at position {position}");
        match reference.root {
            Root::Input if self.inputs.contains(reference.name.as_str()) => {}
            Root::Input => {
                let message = format_args!("{what}, which is no input of the plan").to_string();
                let problem = site.error(codes::UNKNOWN_REFERENCE, message);
                let known = self.inputs.iter().copied();
                self.report.push_near(problem, &reference.name, known, "declare it in `inputs`");
            }
            Root::Context => self.key(at, &what, &reference.name),
            Root::Step => match self.groups.home(&reference.name) {
                None => self.report.push_near(
                    site.error(
                        codes::UNKNOWN_REFERENCE,
                        format_args!("{what}, which is no step of the plan"),
                    ),
                    &reference.name,
                    self.groups.ids(),
                    &in_full(&reference.name),
                ),
                Some(home) if self.has_ended(reader, home, &reference.name) => {}
                Some(_) => {
                    let hint = match reader {
                        Reader::Step(..) => format!("add {name} to `depends_on`"),
                        Reader::Before => "no step has ended when this is evaluated".to_owned(),
                        Reader::After => {
                            "outputs read steps, not hooks that run after them".to_owned()
                        }
                    };
                    let problem = site.error(
                        codes::NOT_UPSTREAM,
                        format_args!("{what}, which need not have ended then"),
                    );
                    self.report.push(problem.hint(hint));
                }
            },
        }
    }

    /// A key is read after all steps that write it, but for those that follow the reader.
    fn key(&mut self, (site, reader): (Site<'_>, Reader), what: &str, name: &str) {
        let plan = self.plan;
        let Some((name, _)) = plan.context.get_key_value(name) else {
            let message = format_args!("{what}, which is no context key of the plan").to_string();
            let problem = site.error(codes::UNKNOWN_REFERENCE, message);
            let known = plan.context.keys().map(String::as_str);
            return self.report.push_near(problem, name, known, "declare it in `context`");
        };
        let name = name.as_str();
        if matches!(reader, Reader::Step(..)) && !self.keys_read.insert(name) {
            return;
        }
        let (before, together) = self.writers_before(reader, name);
        let id = |at: usize| plan.steps.get(at).map_or("", |step| step.id.as_str());
        if let Some(writer) = together {
            let writer = Quoted(id(writer));
            let problem = site.error(
                codes::NOT_UPSTREAM,
                format_args!("{what}, a context key that step {writer} may write at the same time"),
            );
            self.report.push(problem.hint(format!("add {writer} to `depends_on`")));
        } else if before == 0 {
            let problem = site.error(
                codes::NOT_UPSTREAM,
                format_args!("{what}, a context key that no step writes before that"),
            );
            let writer = self.writers.get(name).and_then(|writers| writers.first());
            self.report.push(match writer {
                Some(writer) => problem.hint(format!("{} writes it later", Quoted(id(*writer)))),
                None => problem.hint("the step that is to write it has `writes`"),
            });
        }
    }

    /// The number of writers that have ended when the reader reads, and a writer that may run at the
    /// same time as the reader.
    fn writers_before(&mut self, reader: Reader, name: &str) -> (usize, Option<usize>) {
        let groups = self.groups;
        let writers = self.writers.get(name).map_or(&[][..], Vec::as_slice);
        let at = match reader {
            Reader::Step(GroupKind::Main, at) => at,
            Reader::Before | Reader::Step(GroupKind::OnStart, _) => return (0, None),
            Reader::After | Reader::Step(..) => return (writers.len(), None),
        };
        let depths = &self.depths;
        let has_depth = |at: usize| depths.get(at).is_some_and(Option::is_some);
        let group = groups.group(GroupKind::Main);
        // Too many steps are reported by themselves, and would need too many bits here. So is a cycle,
        // within which nothing is above anything.
        let group = group.filter(|group| group.graph.len() <= limits::MAX_STEPS);
        let Some(group) = group.filter(|_| has_depth(at) || writers.is_empty()) else {
            return (writers.len(), None);
        };
        let ancestry = self.ancestry.entry(group.kind.name());
        let ancestry = ancestry.or_insert_with(|| Ancestry::of(&group.graph));
        let before = writers.iter().filter(|writer| ancestry.is_above(**writer, at)).count();
        let together = writers.iter().copied().find(|&writer| {
            let in_order =
                writer == at || ancestry.is_above(writer, at) || ancestry.is_above(at, writer);
            !in_order && has_depth(writer)
        });
        (before, together)
    }

    fn has_ended(&mut self, reader: Reader, home: GroupKind, name: &str) -> bool {
        let groups = self.groups;
        match reader {
            Reader::Before => false,
            Reader::After => matches!(home, GroupKind::Main | GroupKind::OnStart),
            Reader::Step(own, at) if own == home => {
                groups.group(own).is_none_or(|group| self.is_above(group, name, at))
            }
            Reader::Step(own, _) => match own {
                GroupKind::OnStart => false,
                GroupKind::Main => home == GroupKind::OnStart,
                GroupKind::OnSuccess | GroupKind::OnFailure => {
                    matches!(home, GroupKind::Main | GroupKind::OnStart)
                }
                GroupKind::OnComplete => true,
            },
        }
    }

    fn is_above(&mut self, group: &Group<'_>, name: &str, at: usize) -> bool {
        let graph = &group.graph;
        // Too many steps are reported by themselves, and would need too many bits here.
        let Some(above) = graph.index(name).filter(|_| graph.len() <= limits::MAX_STEPS) else {
            return true;
        };
        // Within a cycle nothing is above anything; the cycle is reported by itself.
        graph.dependencies(at).binary_search(&above).is_ok() && above != at
            || self
                .ancestry
                .entry(group.kind.name())
                .or_insert_with(|| Ancestry::of(graph))
                .is_above(above, at)
    }
}

/// A hint on reading a value that is no output of a step; empty unless the name looks like one.
fn in_full(name: &str) -> String {
    let is_other = ["event.", "inputs.", "steps."].iter().any(|root| name.starts_with(root));
    if is_other {
        format!("`ref` takes the id of a step; write template(\"${{{name}}}\")")
    } else {
        String::new()
    }
}
