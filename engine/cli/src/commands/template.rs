//! `plue template`: workflows to begin with, in Python and in YAML; both are the same plan.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand, ValueEnum};
use plue_plan::{Diagnostic, validate::did_you_mean};

use crate::{
    app::App,
    args::Format,
    exit::Exit,
    failure::{Failure, Outcome, codes},
    output,
    records::{
        SCHEMA_VERSION,
        texts::{ParameterRecord, TemplateRecord, Templates},
    },
    render::table,
};

mod pipeline;
mod shipped;

use shipped::{ALL, Template};

/// `plue template`
#[derive(Debug, Subcommand)]
pub enum TemplateCommand {
    /// List the available templates
    List(ListTemplatesArgs),
    /// Print a template, filled in
    Show(ShowArgs),
    /// Write a template into the repository; nothing is ever overwritten
    New(NewArgs),
}

/// `plue template list`
#[derive(Debug, Args)]
pub struct ListTemplatesArgs {
    /// Output format of the list
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// Values for the parameters of a template.
#[derive(Debug, Args)]
pub struct FillArgs {
    /// Name of the template
    #[arg(value_name = "TEMPLATE")]
    pub template: String,
    /// The name of the workflow [default: that of the template]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// A parameter of the template
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// A step of the template `pipeline`, in order; ROLE as `plue agent list` shows it
    #[arg(long = "step", value_name = "ID:ROLE:TASK")]
    pub steps: Vec<String>,
    /// Language of the workflow file
    #[arg(long, value_enum, default_value_t, value_name = "LANGUAGE")]
    pub lang: Language,
}

/// `plue template show`
#[derive(Debug, Args)]
pub struct ShowArgs {
    #[command(flatten)]
    pub fill: FillArgs,
}

/// `plue template new`
#[derive(Debug, Args)]
pub struct NewArgs {
    #[command(flatten)]
    pub fill: FillArgs,
    /// The repository [default: the one around the current directory]
    #[arg(long, value_name = "DIR")]
    pub repo: Option<PathBuf>,
    /// The file, relative to the repository [default: after the workflow's name]
    #[arg(long, value_name = "PATH")]
    pub file: Option<PathBuf>,
}

/// The languages of workflow files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Language {
    /// `.plue.py`
    #[default]
    Python,
    /// `.plue.yaml`
    Yaml,
}

/// A template with every value decided.
struct Filled {
    name: String,
    text: String,
}

pub(super) fn run(command: &TemplateCommand, app: &App) -> Outcome {
    match command {
        TemplateCommand::List(args) => list(args, app),
        TemplateCommand::Show(args) => {
            output::text(&fill(&args.fill)?.text)?;
            Ok(Exit::Ok)
        }
        TemplateCommand::New(args) => new(args, app),
    }
}

fn list(args: &ListTemplatesArgs, app: &App) -> Outcome {
    let templates = ALL.iter().map(|template| TemplateRecord {
        name: template.name.to_owned(),
        description: template.description.to_owned(),
        parameters: template
            .parameters
            .iter()
            .map(|(name, default)| ParameterRecord {
                name: (*name).to_owned(),
                default: (*default).to_owned(),
            })
            .collect(),
    });
    let document = Templates { schema_version: SCHEMA_VERSION, templates: templates.collect() };
    output::list(args.output, &document, &document.templates, || {
        let cells = document.templates.iter().map(|template| {
            let names: Vec<_> =
                template.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
            let names = if names.is_empty() { "-".to_owned() } else { names.join(" ") };
            [template.name.clone(), names, template.description.clone()].map(table::plain).to_vec()
        });
        let head = ["NAME", "PARAMETERS", "DESCRIPTION"];
        table::render(&head, &cells.collect::<Vec<_>>(), &app.stdout)
    })?;
    Ok(Exit::Ok)
}

pub(super) fn new(args: &NewArgs, app: &App) -> Outcome {
    let filled = fill(&args.fill)?;
    let repo = app.repository(args.repo.as_deref())?;
    let file = match &args.file {
        Some(file) => file.clone(),
        None => PathBuf::from(format!("{}{}", slug(&filled.name), args.fill.lang.ending())),
    };
    let outside = file.is_absolute()
        || file.components().any(|part| matches!(part, std::path::Component::ParentDir));
    if outside {
        let file = file.display();
        return Err(Failure::usage(format!("{file} is not a path in the repository")));
    }
    let path = repo.join(&file);
    write(&path, &filled.text)?;
    output::line(&file.display().to_string())?;
    if app.verbosity >= 0 {
        output::report(&format!("look at it: plue plan {0}; run it: plue run {0}", file.display()));
    }
    Ok(Exit::Ok)
}

/// Writes a file that is not there yet.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error: io::Error| {
        let shown = path.display();
        if error.kind() == io::ErrorKind::AlreadyExists {
            return Failure::usage(format!("{shown} is there already; nothing was written"))
                .hint("name another file with --file, or another workflow with --name");
        }
        let message = format!("cannot write {shown}: {error}");
        Failure::new(Exit::NotFound, Diagnostic::error(codes::UNREADABLE, message))
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)
}

fn fill(args: &FillArgs) -> Result<Filled, Failure> {
    let template = find(&args.template)?;
    let name = args.name.clone().unwrap_or_else(|| template.plan_name.to_owned());
    let mut values: Vec<(&str, String)> =
        template.parameters.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    for pair in &args.set {
        let (key, value) = pair
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("--set {pair}: expected KEY=VALUE")))?;
        let Some(known) = values.iter_mut().find(|(name, _)| *name == key) else {
            let names: Vec<_> = template.parameters.iter().map(|(name, _)| *name).collect();
            let failure =
                Failure::usage(format!("the template {} has no parameter `{key}`", template.name));
            return Err(failure.hint(match names.as_slice() {
                [] => "it has none".to_owned(),
                names => format!("its parameters are {}", names.join(", ")),
            }));
        };
        known.1 = value.to_owned();
    }
    let mut text = match template.text(args.lang) {
        Some(_) if !args.steps.is_empty() => {
            return Err(Failure::usage("--step belongs to the template `pipeline`"));
        }
        Some(text) => text.to_owned(),
        None => pipeline::text(args.lang, &args.steps)?,
    };
    values.push(("name", name.clone()));
    for (key, value) in &values {
        let mark = format!("@@{key}@@");
        let quoted = quoted(key, value)?;
        text = text.replace(&mark, &quoted);
    }
    Ok(Filled { name, text })
}

fn find(name: &str) -> Result<&'static Template, Failure> {
    let same = |template: &&Template| template.name == name.replace('_', "-");
    ALL.iter().find(same).ok_or_else(|| {
        let failure = Failure::not_found(format!("there is no template `{name}`"));
        match did_you_mean(name, ALL.iter().map(|template| template.name)) {
            Some(near) => failure.hint(format!("did you mean `{near}`?")),
            None => failure.hint("see `plue template list`"),
        }
    })
}

/// A value between double quotes, which Python and YAML read alike: they are JSON's.
fn quoted(key: &str, value: &str) -> Result<String, Failure> {
    if value.contains("${") || value.contains("@@") {
        return Err(Failure::usage(format!("`{key}` cannot hold `${{` or `@@`")));
    }
    let json = serde_json::to_string(value).map_err(|error| Failure::infrastructure(&error))?;
    Ok(json.get(1..json.len() - 1).unwrap_or_default().to_owned())
}

/// The name of a file: `CI Pipeline` is `ci-pipeline`.
/// A name of a file, from the name of a workflow.
pub(super) fn slug(name: &str) -> String {
    let mut slug = String::new();
    for c in name.chars() {
        if c.is_alphanumeric() {
            slug.extend(c.to_lowercase());
        } else if !slug.ends_with('-') && !slug.is_empty() {
            slug.push('-');
        }
    }
    match slug.trim_end_matches('-') {
        "" => "workflow".to_owned(),
        slug => slug.to_owned(),
    }
}

// === impl Language ===

impl Language {
    fn ending(self) -> &'static str {
        match self {
            Self::Python => ".plue.py",
            Self::Yaml => ".plue.yaml",
        }
    }
}
