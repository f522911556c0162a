//! Context keys: their names, and that the values of their writers have an order or a reducer.
//!
//! Must not look at expressions: reads of keys are judged with all others.

use std::collections::BTreeMap;

use crate::{
    codes,
    context::{Merge, RESERVED_KEYS},
    graph::Ancestry,
    limits,
    plan::Plan,
    validate::{
        SourceMap,
        group::{Group, GroupKind, Groups},
        report::{Quoted, Report, Site},
        text,
    },
};

/// The names of keys.
pub(super) fn keys(report: &mut Report, plan: &Plan, places: &SourceMap) {
    let site = Site::plan(places);
    for name in plan.context.keys() {
        text::identifier(report, site, codes::BAD_NAME, "the context key", name);
        if RESERVED_KEYS.contains(&name.as_str()) {
            let problem = site.error(
                codes::BAD_NAME,
                format_args!("the context key {} has a reserved name", Quoted(name)),
            );
            report.push(problem.hint("workflows in YAML have constants and secrets there"));
        }
    }
}

/// The writers of all keys.
pub(super) fn writers(report: &mut Report, plan: &Plan, groups: &Groups<'_>) {
    let mut of_key: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for group in &groups.groups {
        for (at, (step, occurrence)) in group.into_iter().enumerate() {
            let Some(name) = step.options.writes.as_deref() else { continue };
            let site = Site::step(groups.places, &step.id, occurrence);
            if !plan.context.contains_key(name) {
                let problem = site.error(
                    codes::UNWRITABLE_KEY,
                    format_args!("writes {}, which is no context key of the plan", Quoted(name)),
                );
                let known = plan.context.keys().map(String::as_str);
                report.push_near(problem, name, known, "declare it in `context`");
            } else if group.kind.is_hook() {
                let problem = site.error(
                    codes::UNWRITABLE_KEY,
                    format_args!("writes the context key {}, and is a hook", Quoted(name)),
                );
                report.push(problem.hint("only steps write keys; hooks after them read them"));
            } else {
                of_key.entry(name).or_default().push(at);
            }
        }
    }
    let Some(group) = groups.group(GroupKind::Main) else { return };
    of_key.retain(|name, writers| {
        let merge = plan.context.get(*name).map_or(Merge::Error, |key| key.merge);
        merge == Merge::Error && writers.len() > 1
    });
    // Too many steps are reported by themselves, and would need too many bits here.
    if of_key.is_empty() || group.graph.len() > limits::MAX_STEPS {
        return;
    }
    let depths = group.graph.depths();
    let ancestry = Ancestry::of_some(&group.graph, of_key.values().flatten().copied());
    for (name, mut writers) in of_key {
        // Steps in or behind a cycle have no order; the cycle is reported by itself.
        writers.retain(|at| depths.get(*at).is_some_and(Option::is_some));
        writers.sort_by_key(|at| depths.get(*at).copied().flatten());
        // Writers are in one line if each is before the next.
        for pair in writers.windows(2) {
            if let [first, second] = pair
                && !ancestry.is_above(*first, *second)
            {
                unmerged(report, groups, group, (name, *first, *second));
            }
        }
    }
}

fn unmerged(
    report: &mut Report,
    groups: &Groups<'_>,
    group: &Group<'_>,
    (name, first, second): (&str, usize, usize),
) {
    // The later one of the file is where the other is known.
    let (first, second) = (first.min(second), first.max(second));
    let (Some(site), Some(other)) =
        (group.site(groups.places, second), group.graph.steps().get(first))
    else {
        return;
    };
    let (key, other) = (Quoted(name), Quoted(other.id.as_str()));
    let mut problem = site.error(
        codes::UNMERGED_WRITERS,
        format_args!(
            "writes the context key {key}, as step {other} does, at any time before or after it"
        ),
    );
    let related = group.site(groups.places, first);
    problem.related.extend(related.and_then(|site| site.related("also writes it")));
    report.push(problem.hint(format!(
        "give {key} a reducer, `merge`: `list`, `map` or `last`; or add {other} to `depends_on`"
    )));
}
