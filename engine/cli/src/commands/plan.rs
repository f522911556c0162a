//! `plue plan`: the plans of workflow files, shown, compared or derived again.

use plue_picture as picture;
use plue_plan::{
    Plan, capability,
    context::{ContextKey, Merge},
};
use plue_planner::PlannedWorkflow;
use plue_planner::session::{self, Session};

use crate::{
    app::App,
    args::{PlanArgs, PlanFormat},
    exit::Exit,
    failure::{Failure, Outcome},
    output, render, sources,
    terminal::Style,
    wiring,
};

mod compare;
pub mod goal;
mod verify;

pub(super) fn run(args: PlanArgs, app: &App) -> Outcome {
    if let Some(task) = &args.task {
        return super::task::run(task, app);
    }
    if let Some(goal) = &args.goal.goal {
        return goal::run(&args, goal, app);
    }
    if let Some(run) = &args.verify {
        return verify::run(&args, run, app);
    }
    let names = args.workflows.iter().map(String::as_str);
    let place = sources::select(app, args.source.repo.as_deref(), names)?;
    wiring::block_on(async {
        let session = sources::start(app, &place)?;
        if let Some(rev) = &args.diff {
            return compare::run(&args, rev, &session, &place, app).await;
        }
        let (files, context) = tokio::join!(
            session.files(&place.targets),
            session.context(sources::requested(app, &args.source))
        );
        let (files, context) = (files?, context?);
        let session = session.for_event(&place, &context.event);
        let (mut plans, mut invalid) = (Vec::new(), false);
        for file in files {
            match session.plans(&file, &context).await {
                Ok(evaluated) => {
                    report(&evaluated, &session, app)?;
                    plans.extend(
                        evaluated.workflows.iter().map(|plan| (file.clone(), plan.clone())),
                    );
                }
                Err(error) => {
                    let found = session::diagnostics(error, &file, &session.repo)?;
                    render::diagnostic::print_in(&found, app, &session.repo);
                    invalid = true;
                }
            }
        }
        print(&plans, args.output, app)?;
        Ok(if invalid { Exit::PlanInvalid } else { Exit::Ok })
    })
}

/// Reports the warnings of the workflows, and the output of the file.
fn report(
    evaluated: &plue_planner::Evaluated,
    session: &Session,
    app: &App,
) -> Result<(), Failure> {
    for workflow in &*evaluated.workflows {
        let roles = session::missing_roles(workflow, &evaluated.read_set.texts);
        for found in [&workflow.warnings, &roles] {
            render::diagnostic::print_in(found, app, &session.repo);
        }
    }
    if !evaluated.printed.is_empty() {
        output::report(evaluated.printed.trim_end());
    }
    Ok(())
}

fn print(
    plans: &[(String, PlannedWorkflow)],
    format: PlanFormat,
    app: &App,
) -> Result<(), Failure> {
    match (format, plans) {
        // Exactly the bytes that are hashed.
        (PlanFormat::Json, [(_, only)]) => output::bytes(&only.hashed.bytes),
        (PlanFormat::Svg, [_, _, ..]) => {
            let names: Vec<_> = plans.iter().map(|(file, _)| file.as_str()).collect();
            Err(Failure::usage("SVG is one picture; name the workflow")
                .hint(format!("one of {}", names.join(", "))))
        }
        (_, plans) => plans.iter().enumerate().try_for_each(|(at, (file, workflow))| {
            let plan = &workflow.hashed.plan;
            match format {
                PlanFormat::Json => {
                    output::bytes(&workflow.hashed.bytes)?;
                    output::text("\n")
                }
                PlanFormat::Text => {
                    let gap = if at == 0 { "" } else { "\n" };
                    output::text(&format!("{gap}{}", described(file, workflow, app)))
                }
                PlanFormat::Mermaid => output::text(&picture::mermaid(plan)),
                PlanFormat::Dot => output::text(&picture::dot(plan)),
                PlanFormat::Svg => output::text(&picture::svg(plan)),
            }
        }),
    }
}

/// Name, triggers and levels, then what the plan is made from and what it needs.
fn described(file: &str, workflow: &PlannedWorkflow, app: &App) -> String {
    let plan = &workflow.hashed.plan;
    let mut text = picture::text(plan) + "\n";
    let mut field = |name: &str, value: &str| {
        let name = format!("{name:<8}");
        let value = crate::terminal::sanitize(value, false);
        text.push_str(&format!("{}{value}\n", app.stdout.paint(Style::Dim, &name)));
    };
    field("plan", &workflow.hashed.hash.to_string());
    field("file", file);
    for (name, input) in &plan.inputs {
        field("input", &input_words(name, input));
    }
    for (name, key) in &plan.context {
        field("context", &key_words(plan, name, key));
    }
    let secrets = secrets(plan);
    if !secrets.is_empty() {
        field("secrets", &secrets.join(", "));
    }
    text
}

fn secrets(plan: &Plan) -> Vec<String> {
    let all = capability::capabilities(plan).into_iter();
    all.filter_map(|capability| match capability {
        capability::Capability::Secret(name) => Some(name),
        capability::Capability::Runner(_)
        | capability::Capability::Image(_)
        | capability::Capability::Tool(_)
        | capability::Capability::Role(_)
        | capability::Capability::Host(_)
        | capability::Capability::Plugin(_)
        | capability::Capability::Workflow(_)
        | capability::Capability::Budget(_)
        | capability::Capability::Unapproved(_) => None,
    })
    .collect()
}

/// `findings: object, list of lint, audit`.
fn key_words(plan: &Plan, name: &str, key: &ContextKey) -> String {
    let kind = key.schema.as_ref().and_then(|schema| schema.get("type")?.as_str());
    let merge = match key.merge {
        Merge::Error => "",
        Merge::Last => "last of ",
        Merge::List => "list of ",
        Merge::Map => "map of ",
    };
    let writers = plan.steps.iter().filter(|step| step.options.writes.as_deref() == Some(name));
    let writers: Vec<_> = writers.map(|step| step.id.as_str()).collect();
    let writers = if writers.is_empty() { "no step".to_owned() } else { writers.join(", ") };
    format!("{name}: {}, {merge}{writers}", kind.unwrap_or("any"))
}

/// `env: string = "dev" (one of "dev", "prod")`.
fn input_words(name: &str, input: &plue_plan::plan::Input) -> String {
    let kind = serde_json::to_value(input.kind).unwrap_or_default();
    let mut words = format!("{name}: {}", kind.as_str().unwrap_or("string"));
    if let Some(default) = &input.default {
        words.push_str(&format!(" = {default}"));
    } else if input.required {
        words.push_str(", required");
    }
    if !input.choices.is_empty() {
        let choices: Vec<_> = input.choices.iter().map(ToString::to_string).collect();
        words.push_str(&format!(" (one of {})", choices.join(", ")));
    }
    if let Some(description) = &input.description {
        words.push_str(&format!(" – {description}"));
    }
    words
}
