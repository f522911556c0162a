//! `plue token`: access to the API of a server, on this database or elsewhere.

use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};
use plue_api::{Role, commands::TokenRequest, records::TokenRecord};
use plue_plan::DurationText;
use plue_runtime::Clock;

use crate::{
    app::App,
    args::Format,
    connect::{Purpose, connected},
    exit::Exit,
    failure::{Failure, Outcome},
    output,
    records::{SCHEMA_VERSION, server::Tokens},
    render::table,
};

/// `plue token`
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token and print it, once, on standard output
    Create(CreateTokenArgs),
    /// List tokens, without the tokens
    List(ListTokensArgs),
    /// Remove a token; it is refused from then on
    Rm(RemoveTokenArgs),
}

/// `plue token create`
#[derive(Debug, Args)]
pub struct CreateTokenArgs {
    /// Purpose of the token, shown in lists
    #[arg(long, value_name = "TEXT")]
    pub name: String,
    /// Role of the token: reader, writer, maintainer or admin
    #[arg(long, value_name = "ROLE")]
    pub role: Role,
    /// Good for this repository only
    #[arg(long, value_name = "OWNER/NAME")]
    pub repo: Option<String>,
    /// Lifetime, such as `90d` [default: no expiry]
    #[arg(long, value_name = "DURATION")]
    pub expires_in: Option<String>,
}

/// `plue token list`
#[derive(Debug, Args)]
pub struct ListTokensArgs {
    /// Output format of the list
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// `plue token rm`
#[derive(Debug, Args)]
pub struct RemoveTokenArgs {
    /// Its id, as `plue token list` shows it
    #[arg(value_name = "ID")]
    pub id: String,
}

pub(super) fn run(command: &TokenCommand, app: &App) -> Outcome {
    match command {
        TokenCommand::Create(args) => create(args, app),
        TokenCommand::List(args) => list(args, app),
        TokenCommand::Rm(args) => remove(args, app),
    }
}

fn create(args: &CreateTokenArgs, app: &App) -> Outcome {
    check_name(&args.name)?;
    if let Some(text) = &args.expires_in {
        check_expiry(text, Clock::real().now())?;
    }
    let request = TokenRequest {
        name: args.name.clone(),
        role: args.role,
        repository: args.repo.clone(),
        expires_in_days: None,
        expires_in: args.expires_in.clone(),
    };
    connected(app, Purpose::Write, async |connection| {
        let made = connection.client.tokens().create(&request).await?;
        print_new(&made.token, &made.record, app)?;
        Ok(Exit::Ok)
    })
}

/// Prints a new token, the only time.
fn print_new(token: &str, made: &TokenRecord, app: &App) -> Result<(), Failure> {
    if app.verbosity >= 0 {
        output::report(&format!(
            "token {} ({}): it is not kept and not shown again",
            made.id, made.role
        ));
    }
    output::line(token)
}

/// Checks that a name is one line of text.
fn check_name(name: &str) -> Result<(), Failure> {
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err(Failure::usage("--name is empty or has control characters"));
    }
    Ok(())
}

/// Checks a duration; the API counts it from its own now.
fn check_expiry(text: &str, now: Timestamp) -> Result<(), Failure> {
    let wrong = |why: String| Failure::usage(format!("--expires-in {text}: {why}"));
    let duration = DurationText::new(text).parse().map_err(|error| wrong(error.to_string()))?;
    let span = SignedDuration::try_from(duration).map_err(|error| wrong(error.to_string()))?;
    now.checked_add(span).map(drop).map_err(|error| wrong(error.to_string()))
}

fn list(args: &ListTokensArgs, app: &App) -> Outcome {
    connected(app, Purpose::Write, async |connection| {
        shown(connection.client.tokens().list().await?, args, app)?;
        Ok(Exit::Ok)
    })
}

/// Prints a list of tokens.
fn shown(tokens: Vec<TokenRecord>, args: &ListTokensArgs, app: &App) -> Result<(), Failure> {
    let document = Tokens { schema_version: SCHEMA_VERSION, tokens };
    output::list(args.output, &document, &document.tokens, || {
        let rows = document.tokens.iter().map(|token| {
            let never =
                |at: &Option<Timestamp>| at.map_or_else(|| "never".to_owned(), |at| at.to_string());
            let repo = token.repository.clone().unwrap_or_else(|| "all".to_owned());
            let cells = [&token.id, &token.name, &token.role, &repo];
            let mut cells = cells.map(table::plain).to_vec();
            cells.push(table::plain(never(&token.expires_at)));
            cells.push(table::plain(never(&token.used_at)));
            cells
        });
        let head = ["ID", "NAME", "ROLE", "REPOSITORY", "EXPIRES", "USED"];
        table::render(&head, &rows.collect::<Vec<_>>(), &app.stdout)
    })
}

fn remove(args: &RemoveTokenArgs, app: &App) -> Outcome {
    connected(app, Purpose::Write, async |connection| {
        let removed = connection.client.tokens().remove(&args.id).await;
        let unknown = |error| Failure::from(error).hint_if_not_found("see `plue token list`");
        removed.map_err(unknown)?;
        Ok(Exit::Ok)
    })
}
