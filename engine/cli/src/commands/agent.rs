//! `plue agent list`: the roles that `llm` steps may name.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use plue_planner::{
    WorkTree,
    texts::{TextKind, TextLibrary},
};
use plue_prompts::Role;

use crate::{
    app::App,
    args::Format,
    exit::Exit,
    failure::{Failure, Outcome},
    output,
    records::{
        SCHEMA_VERSION,
        texts::{AgentRecord, Agents, origin},
    },
    render::table,
    terminal::Style,
};

/// `plue agent`
#[derive(Debug, Subcommand)]
pub enum AgentCommand {
    /// List roles: the repository's own and those that come with plue
    List(ListAgentsArgs),
}

/// `plue agent list`
#[derive(Debug, Args)]
pub struct ListAgentsArgs {
    /// The repository [default: the one around the current directory]
    #[arg(long, value_name = "DIR")]
    pub repo: Option<PathBuf>,
    /// Output format of the list
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

pub(super) fn run(command: &AgentCommand, app: &App) -> Outcome {
    let AgentCommand::List(args) = command;
    let tree = WorkTree::new(app.repository(args.repo.as_deref())?);
    let all = TextLibrary::new(&tree).all(TextKind::Role);
    let all = all.map_err(|error| Failure::infrastructure(&error))?;
    let agents = all.into_iter().map(|(name, found)| match found {
        Err(problem) => AgentRecord::broken(name, "repository", vec![problem]),
        Ok(text) => match Role::parse(&text.file, &text.text) {
            Err(problems) => AgentRecord::broken(name, origin(text.origin), problems),
            Ok(role) => AgentRecord::of(name, origin(text.origin), &role),
        },
    });
    let document = Agents { schema_version: SCHEMA_VERSION, agents: agents.collect() };
    output::list(args.output, &document, &document.agents, || shown(&document.agents, app))?;
    Ok(Exit::Ok)
}

fn shown(agents: &[AgentRecord], app: &App) -> String {
    let cells = agents.iter().map(|agent| {
        let name = match agent.aliases.as_slice() {
            [] => agent.name.clone(),
            aliases => format!("{} ({})", agent.name, aliases.join(", ")),
        };
        let what = match agent.diagnostics.first() {
            Some(first) if agent.broken => (first.to_string(), Style::Red),
            Some(_) | None => table::plain(agent.description.as_deref().unwrap_or("-")),
        };
        let tools = agent.tools.as_ref().map_or("-".to_owned(), |tools| tools.join(" "));
        vec![table::plain(name), table::plain(&agent.origin), what, table::plain(tools)]
    });
    let head = ["NAME", "ORIGIN", "DESCRIPTION", "TOOLS"];
    table::render(&head, &cells.collect::<Vec<_>>(), &app.stdout)
}
