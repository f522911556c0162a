//! Rules for the plan as a whole: version, texts, limits, inputs, budget.
//!
//! Must not look into steps.

use crate::{
    codes, limits,
    plan::{IR_VERSION, Plan},
    validate::{
        SourceMap, input, option,
        report::{Report, Site},
        step::nul,
        text, value,
    },
    walk,
};

pub(super) fn plan(report: &mut Report, plan: &Plan, places: &SourceMap) {
    let site = Site::plan(places);
    if plan.version != IR_VERSION {
        report.push(
            site.error(codes::WRONG_VERSION, format_args!("the plan has version {}", plan.version))
                .hint(format!("this plue reads version {IR_VERSION}")),
        );
    }
    texts(report, site, plan);
    counts(report, site, plan);
    input::inputs(report, site, &plan.inputs);
    for name in plan.env.keys() {
        text::env_name(report, site, name);
    }
    for (name, source) in &plan.secrets {
        text::secret_name(report, site, name);
        text::secret_source(report, site, name, source);
    }
    for name in plan.outputs.keys() {
        text::identifier(report, site, codes::BAD_NAME, "the output", name);
    }
    option::place(report, site, (plan.runner.as_deref(), plan.image.as_deref()));
    option::positive_duration(report, site, "timeout", plan.timeout.as_ref());
    option::budget(report, site, plan.budget.as_ref());
    if plan.max_parallel == Some(0) {
        report.push(
            site.error(codes::BAD_MAX_PARALLEL, "`max_parallel` is 0")
                .hint("leave it out for no limit"),
        );
    }
    walk::plan_parts(plan, &mut |field, part| value::part(report, site, field, part));
    nul(report, site, &(&plan.name, &plan.description, &plan.goal, &plan.tags));
    nul(report, site, &(&plan.inputs, &plan.env, &plan.concurrency, &plan.outputs, &plan.secrets));
}

fn texts(report: &mut Report, site: Site<'_>, plan: &Plan) {
    text::name(report, site, "the plan's name", &plan.name);
    if let Some(description) = &plan.description {
        text::description(report, site, "the plan's description", description);
    }
    if let Some(goal) = &plan.goal {
        text::description(report, site, "the plan's goal", goal);
    }
    for tag in &plan.tags {
        text::name(report, site, "a tag", tag);
    }
}

fn counts(report: &mut Report, site: Site<'_>, plan: &Plan) {
    if plan.steps.is_empty() {
        report.push(
            site.error(codes::NO_STEPS, "the plan has no steps")
                .hint("a plan does something: `steps=[Step.bash(\"test\", \"…\")]`"),
        );
    }
    let steps = plan.all_steps().count();
    if steps > limits::MAX_STEPS {
        let max = limits::MAX_STEPS;
        report.push(
            site.error(
                codes::TOO_MANY_STEPS,
                format_args!("the plan has {steps} steps, the limit is {max}"),
            )
            .hint("split it: `Step.workflow` starts a child run"),
        );
    }
    let triggers = plan.triggers.len();
    if triggers > limits::MAX_TRIGGERS {
        let max = limits::MAX_TRIGGERS;
        report.push(
            site.error(
                codes::TOO_MANY_TRIGGERS,
                format_args!("the plan has {triggers} triggers, the limit is {max}"),
            )
            .hint("one trigger takes several patterns: `branches=[…]`"),
        );
    }
}
