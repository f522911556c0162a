//! `plue token`: who may use the API of a server on this database.

use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};
use plue_api::{
    Role,
    records::TokenRecord,
    token::{self, Wanted},
};
use plue_plan::DurationText;
use plue_runtime::{Clock, Ids};
use serde_json::json;

use crate::{
    app::App,
    args::Format,
    exit::Exit,
    failure::{Failure, Outcome, from_store},
    output, person,
    records::{SCHEMA_VERSION, server::Tokens},
    render::table,
    trail::Change,
    wiring,
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
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    pub name: String,
    /// What it allows: reader, writer, maintainer or admin
    #[arg(long, value_name = "ROLE")]
    pub role: Role,
    /// Good for this repository only
    #[arg(long, value_name = "OWNER/NAME")]
    pub repo: Option<String>,
    /// How long it is good, such as `90d` [default: for ever]
    #[arg(long, value_name = "DURATION")]
    pub expires_in: Option<String>,
}

/// `plue token list`
#[derive(Debug, Args)]
pub struct ListTokensArgs {
    /// How the list is printed
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
    let now = Clock::real().now();
    let wanted = Wanted {
        name: args.name.clone(),
        role: args.role,
        repo: args.repo.clone(),
        expires_at: args.expires_in.as_deref().map(|text| expiry(text, now)).transpose()?,
        by: person::principal(),
    };
    check_name(&wanted.name)?;
    let fresh = token::fresh(&Ids::random(), wanted, now);
    wiring::block_on(async {
        let store = wiring::open_store(app).await?;
        store.tokens().create(&fresh.row).await.map_err(|error| from_store(&error))?;
        let detail = json!({"name": args.name, "role": args.role});
        let change = Change::new("token.create", &fresh.row.id).of_repo(args.repo.clone());
        change.with(detail).note(&store).await?;
        told(&fresh.token, &TokenRecord::of(&fresh.row), app)?;
        Ok(Exit::Ok)
    })
}

/// Prints a token that was made, the only time.
pub(crate) fn told(token: &str, made: &TokenRecord, app: &App) -> Result<(), Failure> {
    if app.verbosity >= 0 {
        output::say(&format!(
            "token {} ({}): it is not kept and not shown again",
            made.id, made.role
        ));
    }
    output::line(token)
}

/// A name is a name.
pub(crate) fn check_name(name: &str) -> Result<(), Failure> {
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err(Failure::usage("--name says what the token is for"));
    }
    Ok(())
}

/// When a token that is made now ends.
pub(crate) fn expiry(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    let wrong = |why: String| Failure::usage(format!("--expires-in {text}: {why}"));
    let duration = DurationText::new(text).parse().map_err(|error| wrong(error.to_string()))?;
    let span = SignedDuration::try_from(duration).map_err(|error| wrong(error.to_string()))?;
    now.checked_add(span).map_err(|error| wrong(error.to_string()))
}

fn list(args: &ListTokensArgs, app: &App) -> Outcome {
    wiring::block_on(async {
        let store = wiring::open_store(app).await?;
        let rows = store.tokens().list().await.map_err(|error| from_store(&error))?;
        shown(rows.iter().map(TokenRecord::of).collect(), args, app)?;
        Ok(Exit::Ok)
    })
}

/// Prints a list of tokens.
pub(crate) fn shown(
    tokens: Vec<TokenRecord>,
    args: &ListTokensArgs,
    app: &App,
) -> Result<(), Failure> {
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
    wiring::block_on(async {
        let store = wiring::open_store(app).await?;
        if store.tokens().remove(&args.id).await.map_err(|error| from_store(&error))? {
            Change::new("token.remove", &args.id).note(&store).await?;
            return Ok(Exit::Ok);
        }
        Err(Failure::not_found(format!("there is no token `{}`", args.id))
            .hint("see `plue token list`"))
    })
}
