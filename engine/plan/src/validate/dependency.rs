//! Structure of the steps: ids, dependencies, cycles, and loops.
//!
//! Must not look into a step beyond `id`, `depends_on` and its `Goto`s.

use std::collections::{HashMap, HashSet};

use crate::{
    codes,
    diagnostic::{Diagnostic, Severity},
    graph::Ancestry,
    id::StepId,
    limits,
    policy::{Goto, OnFailure},
    shown::shown,
    step::Step,
    validate::{
        group::{Group, GroupKind, Groups},
        report::{Quoted, Report, Site},
    },
};

/// Ids of a cycle that its message shows; the rest is counted.
const SHOWN_OF_CYCLE: usize = 20;

pub(super) fn dependencies(report: &mut Report, groups: &Groups<'_>) {
    duplicate_ids(report, groups);
    for group in &groups.groups {
        for (step, site) in members(group, groups) {
            of_step(report, groups, group, (step, site));
        }
        cycles(report, groups, group);
        gotos(report, groups, group);
    }
}

fn members<'a>(
    group: &Group<'a>,
    groups: &Groups<'a>,
) -> impl Iterator<Item = (&'a Step, Site<'a>)> {
    let places = groups.places;
    group
        .into_iter()
        .map(move |(step, occurrence)| (step, Site::step(places, &step.id, occurrence)))
}

fn duplicate_ids(report: &mut Report, groups: &Groups<'_>) {
    let mut first: HashMap<&StepId, Site<'_>> = HashMap::new();
    for (step, site) in groups.members() {
        let Some(original) = first.get(&step.id) else {
            first.insert(&step.id, site);
            continue;
        };
        let id = Quoted(step.id.as_str());
        let mut problem = site
            .error(codes::DUPLICATE_ID, format_args!("the id {id} is taken by an earlier step"));
        problem.related.extend(original.related("first used here"));
        report.push(problem.hint("ids are unique in the whole plan, hooks included"));
    }
}

fn of_step(
    report: &mut Report,
    groups: &Groups<'_>,
    group: &Group<'_>,
    (step, site): (&Step, Site<'_>),
) {
    let count = step.depends_on.len();
    if count > limits::MAX_DEPENDENCIES {
        let max = limits::MAX_DEPENDENCIES;
        report.push(
            site.error(
                codes::TOO_MANY_DEPENDENCIES,
                format_args!("{count} dependencies, the limit is {max}"),
            )
            .hint("put a step between that gathers some of them"),
        );
    }
    if step.options.required && !group.kind.is_hook() {
        let problem = site.error(codes::REQUIRED_STEP, "`required` is for hooks");
        report.push(Diagnostic {
            severity: Severity::Warning,
            ..problem.hint("the failure of a step fails the run anyway; see `on_failure`")
        });
    }
    let mut seen = HashSet::with_capacity(count);
    for id in &step.depends_on {
        let name = Quoted(id.as_str());
        if !seen.insert(id) {
            report.push(
                site.error(codes::DUPLICATE_DEPENDENCY, format_args!("depends on {name} twice"))
                    .hint("name it once"),
            );
        } else if *id == step.id {
            report.push(
                site.error(codes::SELF_DEPENDENCY, "depends on itself")
                    .hint("remove it; `Goto` is the way to run a step again"),
            );
        } else if group.graph.index(id.as_str()).is_none() {
            foreign(report, groups, (group.kind, site), id);
        }
    }
}

/// A dependency that is not in the step's own list.
fn foreign(report: &mut Report, groups: &Groups<'_>, from: (GroupKind, Site<'_>), id: &StepId) {
    let (kind, site) = from;
    let name = Quoted(id.as_str());
    match groups.home(id.as_str()) {
        Some(_) if kind.is_hook() => report.push(
            site.error(
                codes::HOOK_DEPENDENCY,
                format_args!(
                    "a hook of `{}` depends on {name}, which is not in that list",
                    kind.name()
                ),
            )
            .hint("the list as a whole decides when its hooks start; remove the dependency"),
        ),
        Some(home) => report.push(
            site.error(
                codes::DEPENDS_ON_HOOK,
                format_args!("depends on {name}, a hook of `{}`", home.name()),
            )
            .hint("hooks run before or after all steps; remove the dependency"),
        ),
        None => report.push_near(
            site.error(
                codes::UNKNOWN_DEPENDENCY,
                format_args!("depends on {name}, which does not exist"),
            ),
            id.as_str(),
            groups.ids(),
            "add the step or remove the dependency",
        ),
    }
}

fn cycles(report: &mut Report, groups: &Groups<'_>, group: &Group<'_>) {
    // A circle of one step is a self-dependency, which has its own code.
    for cycle in group.graph.cycles().into_iter().filter(|path| path.len() > 2) {
        let Some(site) = cycle
            .first()
            .and_then(|id| group.graph.index(id.as_str()))
            .and_then(|at| group.site(groups.places, at))
        else {
            continue;
        };
        let mut path: Vec<String> = cycle
            .iter()
            .take(SHOWN_OF_CYCLE)
            .map(|id| shown(id.as_str(), limits::MAX_ID_LEN))
            .collect();
        if let (Some(hidden @ 1..), Some(last)) =
            (cycle.len().checked_sub(SHOWN_OF_CYCLE + 1), cycle.last())
        {
            path.push(format!("({hidden} more)"));
            path.push(shown(last.as_str(), limits::MAX_ID_LEN));
        }
        let path = path.join(" → ");
        let mut problem =
            site.error(codes::CYCLE, format_args!("depends on itself in a circle: {path}"));
        let others = cycle.iter().skip(1).take(SHOWN_OF_CYCLE);
        let others = others.take(cycle.len() - 2);
        for id in others {
            let at = group.graph.index(id.as_str());
            let site = at.and_then(|at| group.site(groups.places, at));
            let part = site.and_then(|site| site.related("also in the circle"));
            problem.related.extend(part);
        }
        report.push(problem.hint("remove one of these dependencies; `Goto` is the way to loop"));
    }
}

/// The ways back of one step, with the fields in which they stand.
fn ways_back(step: &Step) -> impl Iterator<Item = (&'static str, &Goto)> {
    let failure = match &step.options.on_failure {
        OnFailure::Goto(goto) => Some(("on_failure", goto)),
        OnFailure::Fail | OnFailure::Skip | OnFailure::Continue => None,
    };
    let success = step.options.on_success.as_ref();
    failure.into_iter().chain(success.map(|goto| ("on_success", goto)))
}

fn gotos(report: &mut Report, groups: &Groups<'_>, group: &Group<'_>) {
    let graph = &group.graph;
    // Too many steps are reported by themselves, and would need too many bits here.
    let ancestry = (graph.len() <= limits::MAX_STEPS).then(|| {
        let targets = graph.steps().iter().flat_map(ways_back);
        let targets = targets.filter_map(|(_, goto)| graph.index(goto.goto.as_str()));
        Ancestry::of_some(graph, targets)
    });
    for (at, (step, site)) in members(group, groups).enumerate() {
        for (field, goto) in ways_back(step) {
            bounds(report, site, field, goto);
            let Some(target) = graph.index(goto.goto.as_str()) else {
                unknown_target(report, groups, (site, field), &goto.goto);
                continue;
            };
            let reached = |ancestry: &Ancestry| ancestry.is_above(target, at);
            if goto.goto != step.id && !ancestry.as_ref().is_none_or(reached) {
                let name = Quoted(goto.goto.as_str());
                report.push(
                    site.error(
                        codes::UNREACHABLE_GOTO,
                        format_args!("`{field}` goes to {name}, which is not upstream"),
                    )
                    .hint("a Goto leads back to the step itself or to a step it depends on, directly or through others"),
                );
            }
        }
    }
}

fn unknown_target(
    report: &mut Report,
    groups: &Groups<'_>,
    (site, field): (Site<'_>, &str),
    target: &StepId,
) {
    let name = Quoted(target.as_str());
    if let Some(home) = groups.home(target.as_str()) {
        report.push(
            site.error(
                codes::UNREACHABLE_GOTO,
                format_args!("`{field}` goes to {name}, which is in `{}`", home.name()),
            )
            .hint("a Goto stays in its own list of steps"),
        );
    } else {
        report.push_near(
            site.error(
                codes::UNKNOWN_GOTO,
                format_args!("`{field}` goes to {name}, which does not exist"),
            ),
            target.as_str(),
            groups.ids(),
            "",
        );
    }
}

fn bounds(report: &mut Report, site: Site<'_>, field: &str, goto: &Goto) {
    let max = limits::MAX_VISITS;
    match goto.max_visits {
        None => report.push(
            site.error(
                codes::MISSING_MAX_VISITS,
                format_args!("the Goto of `{field}` has no `max_visits`"),
            )
            .hint("every loop is bounded: `max_visits=3`"),
        ),
        Some(visits) if visits == 0 || visits > max => report.push(site.error(
            codes::MAX_VISITS_RANGE,
            format_args!("the Goto of `{field}` has `max_visits` {visits}; it is 1 to {max}"),
        )),
        Some(_) => {}
    }
}
