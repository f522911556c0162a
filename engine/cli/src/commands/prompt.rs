//! `plue prompt`: list, render and test the prompts of a repository and those that come with plue.
//!
//! A prompt is a text with inputs; a model is asked by `plue prompt test --record` and `--live` only.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use plue_plan::Diagnostic;
use plue_planner::{
    CommitView, ViewError, WorkTree,
    texts::{PROMPTS_FOLDER, PinnedText, TextKind, TextLibrary, TextLookup, TextOrigin, Texts},
    view::Content,
};
use plue_prompts::{Partials, PromptFile};

use crate::{
    app::App,
    args::Format,
    exit::Exit,
    failure::{Failure, Outcome, codes},
};

mod list;
mod recorded;
mod render;
mod test;
mod trial;

/// `plue prompt`
#[derive(Debug, Subcommand)]
pub enum PromptCommand {
    /// List prompts: the repository's own and those that come with plue
    List(ListPromptsArgs),
    /// Print the text of a prompt with its inputs
    Render(RenderArgs),
    /// Check prompts against their example cases, answers against recorded ones
    Test(TestArgs),
}

/// `plue prompt list`
#[derive(Debug, Args)]
pub struct ListPromptsArgs {
    /// The repository [default: the one around the current directory]
    #[arg(long, value_name = "DIR")]
    pub repo: Option<PathBuf>,
    /// Output format of the list
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// `plue prompt render`
#[derive(Debug, Args)]
pub struct RenderArgs {
    /// The name of a prompt, or a prompt file
    #[arg(value_name = "NAME|FILE")]
    pub prompt: String,
    /// An input; read as JSON if it is, else as text, and always as text if the schema requires it
    #[arg(long = "input", value_name = "KEY=VALUE")]
    pub inputs: Vec<String>,
    /// Inputs as a JSON object in a file (`-` for standard input); `--input` comes before it
    #[arg(long, value_name = "FILE.json")]
    pub data: Option<PathBuf>,
    /// The repository [default: the one around the current directory]
    #[arg(long, value_name = "DIR")]
    pub repo: Option<PathBuf>,
}

/// `plue prompt test`
#[derive(Debug, Args)]
pub struct TestArgs {
    /// Names or files [default: every prompt that has cases]
    #[arg(value_name = "NAME|FILE")]
    pub prompts: Vec<String>,
    /// Cases that contain the text of their prompt, instead of the cases of prompts
    #[arg(long, value_name = "FILE.json", conflicts_with = "prompts")]
    pub cases: Option<PathBuf>,
    /// Only the case with this id; may be given several times
    #[arg(long = "case", value_name = "ID")]
    pub ids: Vec<String>,
    /// Ask Claude for the answers of the cases, and store them in the folder of the cases
    #[arg(long, conflicts_with = "live")]
    pub record: bool,
    /// Ask Claude for the answers of the cases, without storing them
    #[arg(long)]
    pub live: bool,
    /// Dollars that `--record` or `--live` may spend in all
    #[arg(long, value_name = "USD", default_value_t = 1.0)]
    pub budget: f64,
    /// The repository [default: the one around the current directory]
    #[arg(long, value_name = "DIR")]
    pub repo: Option<PathBuf>,
    /// Output format of the result
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

pub(super) fn run(command: &PromptCommand, app: &App) -> Outcome {
    match command {
        PromptCommand::List(args) => list::run(args, app),
        PromptCommand::Render(args) => render::run(args, app),
        PromptCommand::Test(args) => test::run(args, app),
    }
}

/// The work tree of a repository, with a folder whose files come before its prompts.
#[derive(Debug)]
struct Place {
    repo: PathBuf,
    tree: WorkTree,
    folder: Option<PathBuf>,
}

// === impl Place ===

impl Place {
    fn new(app: &App, repo: Option<&Path>) -> Result<Self, Failure> {
        let repo = app.repository(repo)?;
        Ok(Self { tree: WorkTree::new(&repo), repo, folder: None })
    }

    /// The text that a name or path means. A path wins: a name never has a `/` or an ending.
    fn text(&mut self, named: &str) -> Result<TextLookup, Failure> {
        let path = Path::new(named);
        if named.contains('/') || path.extension().is_some_and(|end| end == "md") {
            return self.file(path);
        }
        let library = TextLibrary::new(&*self);
        match library.find(TextKind::Prompt, named).map_err(|error| unreadable(&error))? {
            Some(found) => Ok(found),
            None => {
                let unknown = library.unknown_prompt(named).map_err(|error| unreadable(&error))?;
                Err(Failure::new(Exit::NotFound, unknown))
            }
        }
    }

    /// A file at any path; its folder has its partials.
    fn file(&mut self, path: &Path) -> Result<TextLookup, Failure> {
        let bytes = std::fs::read(path).map_err(|error| {
            let message = format!("cannot read {}: {error}", path.display());
            Failure::new(Exit::NotFound, Diagnostic::error(codes::UNREADABLE, message))
        })?;
        let shown = path.display().to_string();
        self.folder = path.parent().map(Path::to_owned);
        let text = String::from_utf8(bytes).map_err(|_| {
            let message = format!("{shown} is not UTF-8");
            let problem = Diagnostic::error(plue_prompts::codes::UNREADABLE, message);
            Failure::invalid(vec![problem])
        })?;
        Ok(Ok(PinnedText {
            origin: TextOrigin::Repository,
            file: shown,
            sha256: String::new(),
            text,
        }))
    }

    /// The partials of a prompt; problems in them are the prompt's.
    fn partials(&self, prompt: &PromptFile) -> Result<Partials, Failure> {
        let mut texts = Texts::new();
        let found = TextLibrary::new(self).partials(prompt, &mut texts);
        let (partials, problems) = found.map_err(|error| unreadable(&error))?;
        if problems.is_empty() { Ok(partials) } else { Err(Failure::invalid(problems)) }
    }
}

impl CommitView for Place {
    fn matching(&self, keep: &dyn Fn(&str) -> bool) -> Result<Vec<String>, ViewError> {
        self.tree.matching(keep)
    }

    fn is_there(&self, path: &str) -> Result<bool, ViewError> {
        self.tree.is_there(path)
    }

    fn content(&self, path: &str, cap: usize) -> Result<Content, ViewError> {
        let prompt = path.strip_prefix(PROMPTS_FOLDER).and_then(|name| name.strip_prefix('/'));
        if let (Some(folder), Some(name)) = (&self.folder, prompt)
            && let Ok(bytes) = std::fs::read(folder.join(name))
        {
            let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            let fits = bytes.len() <= cap;
            return Ok(if fits { Content::Bytes(bytes) } else { Content::TooLarge(size) });
        }
        self.tree.content(path, cap)
    }

    fn changed_files(&self) -> Result<Vec<String>, ViewError> {
        self.tree.changed_files()
    }

    fn files_in(&self, folder: &str) -> Result<Vec<String>, ViewError> {
        self.tree.files_in(folder)
    }
}

fn unreadable(error: &ViewError) -> Failure {
    Failure::infrastructure(error)
}
