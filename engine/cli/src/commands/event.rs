//! `plue event`: messages sent and listed; and `plue event decode`: how a delivery is read, and which
//! triggers fire for it.
//!
//! For the person whose hook does not do what they thought. Must not run, store or send anything.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use plue_forge::{Provider, Refusal, Secret, decode, verify};
use plue_plan::Diagnostic;

use crate::{
    app::App,
    args::Format,
    exit::Exit,
    failure::{Failure, Outcome, codes},
    output,
    records::{SCHEMA_VERSION, event::Decoded},
    render,
};

pub mod emit;
mod headers;
pub mod list;
pub mod retry;
pub mod send;
mod shown;
mod triggers;

/// `plue event`
#[derive(Debug, Subcommand)]
pub enum EventCommand {
    /// Read a saved delivery of a webhook; exit code 2 if it would be refused
    Decode(DecodeArgs),
    /// Send a message to the steps that wait for one on a topic
    Emit(emit::EmitArgs),
    /// Send a message to a repository that a server watches: it starts runs (`on_event`)
    Send(send::SendArgs),
    /// List what came for a repository, and why which plan ran or did not
    List(list::ListArgs),
    /// Work again on what failed or was set aside
    Retry(retry::RetryArgs),
}

/// `plue event decode`
#[derive(Debug, Args)]
pub struct DecodeArgs {
    /// The kind of forge: github, gitlab, gitea or forgejo
    #[arg(long, value_name = "FORGE")]
    pub forge: Provider,
    /// The headers: a JSON object, or lines `Name: value` (`-` for standard input)
    #[arg(long, value_name = "FILE")]
    pub headers: PathBuf,
    /// The body as it was sent, byte for byte (`-` for standard input)
    #[arg(long, value_name = "FILE")]
    pub body: PathBuf,
    /// A workflow file whose triggers are tried
    #[arg(long = "workflow", value_name = "FILE")]
    pub workflows: Vec<String>,
    /// A file that the event changed; without any, path filters let everything through
    #[arg(long = "changed", value_name = "PATH")]
    pub changed: Vec<String>,
    /// Check the signature with the secret in this variable of plue's own environment
    #[arg(long = "secret", value_name = "NAME")]
    pub secrets: Vec<String>,
    /// Output format of the reading
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

pub(super) fn run(command: &EventCommand, app: &App) -> Outcome {
    match command {
        EventCommand::Decode(args) => run_decode(args, app),
        EventCommand::Emit(args) => emit::run(args, app),
        EventCommand::Send(args) => send::run(args, app),
        EventCommand::List(args) => list::run(args, app),
        EventCommand::Retry(args) => retry::run(args, app),
    }
}

fn run_decode(args: &DecodeArgs, app: &App) -> Outcome {
    let given = headers::parse(&read(&args.headers, "headers")?)?;
    let body = read(&args.body, "body")?;
    let delivery = given.delivery_id(args.forge, &body);
    let secrets = secrets(&args.secrets, app)?;
    let checked = match secrets.as_slice() {
        [] => Ok(()),
        // A saved delivery is old; whether it is too old is not what is asked here.
        secrets => verify(args.forge, secrets, &given, &body, headers::signed_at(&given)),
    };
    let read = checked.and_then(|()| decode(args.forge, &given, &body));
    let signature = (!args.secrets.is_empty()).then(|| "valid".to_owned());
    let reading = match read {
        Ok(reading) => reading,
        Err(refusal) => return refused(&refusal, delivery, args.output, app),
    };
    let (ctx_event, ignored) = match reading.event() {
        Ok(event) => (Some(event), None),
        Err(ignored) => (None, Some(ignored.to_string())),
    };
    let tried = triggers::tried(args, &reading, ctx_event.as_ref(), app)?;
    let document = Decoded {
        schema_version: SCHEMA_VERSION,
        http: "2xx".to_owned(),
        error: None,
        delivery,
        signature,
        fires: fires(&tried),
        triggers: tried,
        ctx_event,
        ignored,
        reading: Some(reading),
    };
    print(&document, args.output, app)?;
    Ok(Exit::Ok)
}

/// The delivery would get a 4xx. The document is printed all the same.
fn refused(refusal: &Refusal, delivery: String, format: Format, app: &App) -> Outcome {
    let problem = refusal.diagnostic();
    render::diagnostic::print_all(std::slice::from_ref(&problem), app);
    let document = Decoded {
        schema_version: SCHEMA_VERSION,
        http: refusal.status().to_string(),
        error: Some(problem),
        reading: None,
        delivery,
        signature: None,
        ctx_event: None,
        ignored: None,
        fires: Vec::new(),
        triggers: Vec::new(),
    };
    print(&document, format, app)?;
    Ok(Exit::Usage)
}

fn print(document: &Decoded, format: Format, app: &App) -> Result<(), Failure> {
    match format {
        Format::Json => output::pretty(document),
        Format::Jsonl => output::json(document),
        Format::Table => output::text(&shown::text(document, app)),
    }
}

/// The triggers that fire, each once.
fn fires(tried: &[crate::records::event::TriggerRecord]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for one in tried.iter().filter(|one| one.fires) {
        if !found.contains(&one.trigger) {
            found.push(one.trigger.clone());
        }
    }
    found
}

fn secrets(names: &[String], app: &App) -> Result<Vec<Secret>, Failure> {
    let secret = |name: &String| {
        let value = app.environment.get(name);
        value.map(Secret::new).ok_or_else(|| {
            Failure::usage(format!("there is no variable `{name}`"))
                .hint("put the secret of the hook into a variable and name that")
        })
    };
    names.iter().map(secret).collect()
}

/// A file, or standard input; never much more than a delivery may have.
fn read(path: &Path, what: &str) -> Result<Vec<u8>, Failure> {
    use std::io::Read as _;
    let limit = u64::try_from(plue_forge::limits::MAX_BODY_BYTES).unwrap_or(u64::MAX) + 1;
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    read.map_err(|error| {
        let message = format!("cannot read the {what} {}: {error}", path.display());
        Failure::new(Exit::NotFound, Diagnostic::error(codes::UNREADABLE, message))
    })?;
    Ok(bytes)
}
