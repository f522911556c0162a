//! `plue validate`: every problem of every workflow file.

mod code;

use plue_plan::{Diagnostic, Severity};
use plue_planner::session::{self, Session, TriggerContext};

use crate::{
    app::App,
    args::ValidateArgs,
    exit::Exit,
    failure::{Failure, Outcome},
    output,
    records::{SCHEMA_VERSION, Validated},
    render, sources, wiring,
};

pub(super) fn run(args: &ValidateArgs, app: &App) -> Outcome {
    let names = args.workflows.iter().map(String::as_str);
    let place = sources::select(app, args.source.repo.as_deref(), names)?;
    wiring::block_on(async {
        let session = sources::start(app, &place)?;
        let (files, context) = tokio::join!(
            session.files(&place.targets),
            session.context(sources::requested(app, &args.source))
        );
        let (files, context) = (files?, context?);
        let session = session.for_event(&place, &context.event);
        let mut diagnostics = Vec::new();
        for file in &files {
            diagnostics.extend(check(&session, file, &context).await?);
        }
        let document = Validated { schema_version: SCHEMA_VERSION, files, diagnostics };
        let found = &document.diagnostics;
        output::list(args.output, &document, found, String::new)?;
        if args.output == crate::args::Format::Table {
            render::diagnostic::print_in(found, app, &session.repo);
            if app.verbosity >= 0 {
                output::report(&summary(&document));
            }
        }
        let errors = found.iter().any(|problem| problem.severity == Severity::Error);
        Ok(if errors { Exit::PlanInvalid } else { Exit::Ok })
    })
}

/// All that is wrong with one file. The code of its steps is also read where the file is invalid, from
/// drafts of its plans.
async fn check(
    session: &Session,
    file: &str,
    context: &TriggerContext,
) -> Result<Vec<Diagnostic>, Failure> {
    let evaluated = match session.plans(file, context).await {
        Ok(evaluated) => evaluated,
        Err(error) => {
            let mut found = session::diagnostics(error, file, &session.repo)?;
            for draft in session.drafts(file, context).await? {
                found.extend(code::problems(&draft.plan, &draft.places, &session.repo));
            }
            found.sort_by_key(|problem| {
                let place = problem.span.as_ref();
                let place = place.map(|span| (span.file.clone(), span.line, span.column));
                (place.is_none(), place)
            });
            return Ok(found);
        }
    };
    let mut found = Vec::new();
    for workflow in &*evaluated.workflows {
        found.extend(workflow.warnings.iter().cloned());
        found.extend(session::missing_roles(workflow, &evaluated.read_set.texts));
        found.extend(code::problems(&workflow.hashed.plan, &workflow.places, &session.repo));
    }
    Ok(found)
}

fn summary(document: &Validated) -> String {
    let of = |severity| {
        document.diagnostics.iter().filter(|problem| problem.severity == severity).count()
    };
    let counted = |count: usize, word: &str| match count {
        1 => format!("1 {word}"),
        count => format!("{count} {word}s"),
    };
    format!(
        "{}: {}, {}",
        counted(document.files.len(), "file"),
        counted(of(Severity::Error), "error"),
        counted(of(Severity::Warning), "warning")
    )
}
