//! `plue doctor`: what this machine has of what plue needs.

use crate::{
    app::App,
    args::{DoctorArgs, Format},
    exit::Exit,
    failure::Outcome,
    output,
    records::{Check, Doctor, Level, SCHEMA_VERSION},
    terminal::{Style, sanitize},
    wiring,
};

mod claude;
mod hooks;
mod isolation;
mod jail;
mod state;
mod tools;

pub(super) fn run(args: &DoctorArgs, app: &App) -> Outcome {
    wiring::block_on(async {
        let mut checks = vec![
            state::state_dir(app),
            state::disk(app),
            state::configuration(app),
            state::database(app).await,
            tools::git(),
            tools::bash(),
            tools::python(),
            tools::runner(app),
        ];
        checks.extend(state::objects(app).await);
        checks.extend(jail::evaluator(app));
        checks.extend(isolation::checks(app).await);
        checks.extend(hooks::deliveries(app).await);
        checks.extend(claude::key(app).await);
        let healthy = checks.iter().all(|check| check.level != Level::Fail);
        let document = Doctor { schema_version: SCHEMA_VERSION, healthy, checks };
        output::list(args.output, &document, &document.checks, || shown(&document.checks, app))?;
        if args.output == Format::Table && app.verbosity >= 0 {
            output::report(if healthy { "plue can run here" } else { "plue cannot run here yet" });
        }
        Ok(if healthy { Exit::Ok } else { Exit::Infrastructure })
    })
}

fn shown(checks: &[Check], app: &App) -> String {
    let width = checks.iter().map(|check| check.what.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for check in checks {
        let (word, style) = match check.level {
            Level::Ok => ("ok", Style::Green),
            Level::Warn => ("warn", Style::Yellow),
            Level::Fail => ("fail", Style::Red),
        };
        let word = format!("{word:<4}");
        let found = sanitize(&check.found, false);
        let how = format!("({})", sanitize(&check.how, false));
        let (word, how) = (app.stdout.paint(style, &word), app.stdout.paint(Style::Dim, &how));
        text.push_str(&format!("{word}  {:<width$}  {found} {how}\n", check.what));
        if let Some(fix) = &check.fix {
            text.push_str(&format!("{:6}{:width$}  → {}\n", "", "", sanitize(fix, false)));
        }
    }
    text
}

// === impl Check ===

impl Check {
    fn ok(what: &str, found: impl Into<String>, how: impl Into<String>) -> Self {
        let (what, found, how) = (what.to_owned(), found.into(), how.into());
        Self { what, level: Level::Ok, found, how, fix: None }
    }

    fn fail(what: &str, found: impl Into<String>, how: impl Into<String>, fix: &str) -> Self {
        Self { level: Level::Fail, fix: Some(fix.to_owned()), ..Self::ok(what, found, how) }
    }

    fn warn(what: &str, found: impl Into<String>, how: impl Into<String>, fix: &str) -> Self {
        Self { level: Level::Warn, ..Self::fail(what, found, how, fix) }
    }
}
