//! Records of prompts, roles, templates and secrets.
//!
//! Must not hold the text of a secret.

pub use plue_api::records::resources::SecretRecord;
use plue_plan::{
    Diagnostic,
    schema::{Published, of},
};
use plue_planner::texts::TextOrigin;
use plue_prompts::Role;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value as Json;

/// The schemas of these documents.
pub const ALL: [Published; 6] = [
    Published { name: "prompts", schema: of::<Prompts> },
    Published { name: "prompt-test", schema: of::<Tested> },
    Published { name: "transform-test", schema: of::<TransformsTested> },
    Published { name: "agents", schema: of::<Agents> },
    Published { name: "secrets", schema: of::<Secrets> },
    Published { name: "templates", schema: of::<Templates> },
];

/// `plue prompt list`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Prompts {
    /// Always 1.
    pub schema_version: u32,
    /// Sorted by name.
    pub prompts: Vec<PromptRecord>,
}

/// A prompt of the list.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PromptRecord {
    /// The name by which steps refer to it.
    pub name: String,
    /// `repository` or `shipped`.
    pub origin: String,
    /// Path in the repository, or in plue's sources; absent if it cannot be read.
    pub file: Option<String>,
    /// Description from its front matter.
    pub description: Option<String>,
    /// Its inputs: those of the schema, else those that the text reads.
    pub inputs: Vec<String>,
    /// The inputs that it cannot do without.
    pub required: Vec<String>,
    /// The role that it asks for.
    pub role: Option<String>,
    /// Errors and warnings of its file.
    pub diagnostics: Vec<Diagnostic>,
    /// Whether it cannot be used.
    pub broken: bool,
}

/// `plue prompt test`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Tested {
    /// Always 1.
    pub schema_version: u32,
    /// Whether every case passed.
    pub passed: bool,
    /// By prompt, in the order of the files.
    pub cases: Vec<CaseRecord>,
}

/// One case of a prompt.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CaseRecord {
    /// Path of the prompt.
    pub prompt: String,
    /// Id of the case.
    pub case: String,
    /// Whether the prompt meets the expectations of the case.
    pub passed: bool,
    /// Differences from the expectations.
    pub diagnostics: Vec<Diagnostic>,
    /// The model's answer; absent if the case asks for none, or there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<AnswerRecord>,
}

/// The answer of a model to a case.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AnswerRecord {
    /// `recorded` or `live`.
    pub source: String,
    /// Text, or the JSON value that the prompt's `output` asks for.
    pub output: Json,
    /// Answers of the model, with those that called tools.
    pub turns: u32,
    /// Tokens of all of them.
    pub tokens: u64,
    /// Dollars that they cost now; 0 of recorded ones.
    pub cost_usd: f64,
}

/// `plue test transform`
#[derive(Debug, Serialize, JsonSchema)]
pub struct TransformsTested {
    /// Always 1.
    pub schema_version: u32,
    /// Id of the step.
    pub step: String,
    /// Whether every case passed.
    pub passed: bool,
    /// In the order of the file.
    pub cases: Vec<TransformRecord>,
}

/// One case of a step.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TransformRecord {
    /// Name of the case.
    pub case: String,
    /// Whether the step meets the expectations of the case.
    pub passed: bool,
    /// Differences from the expectations.
    pub problems: Vec<String>,
}

/// `plue agent list`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Agents {
    /// Always 1.
    pub schema_version: u32,
    /// Sorted by name.
    pub agents: Vec<AgentRecord>,
}

/// A role that `llm` steps can take.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AgentRecord {
    /// The name by which steps refer to it.
    pub name: String,
    /// Other names of the role.
    pub aliases: Vec<String>,
    /// `repository` or `shipped`.
    pub origin: String,
    /// Path in the repository, or in plue's sources; absent if it cannot be read.
    pub file: Option<String>,
    /// Description from its front matter.
    pub description: Option<String>,
    /// The model; absent: the operator's default.
    pub model: Option<String>,
    /// Tools that it may call; absent: not restricted.
    pub tools: Option<Vec<String>>,
    /// Errors and warnings of its file.
    pub diagnostics: Vec<Diagnostic>,
    /// Whether it cannot be used.
    pub broken: bool,
}

/// `plue secret list`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Secrets {
    /// Always 1.
    pub schema_version: u32,
    /// Those for all repositories first, then by name.
    pub secrets: Vec<SecretRecord>,
}

/// `plue template list`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Templates {
    /// Always 1.
    pub schema_version: u32,
    /// Sorted by name.
    pub templates: Vec<TemplateRecord>,
}

/// A template of the list.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TemplateRecord {
    /// Name of the template.
    pub name: String,
    /// Description of the workflow it creates.
    pub description: String,
    /// Parameters that `--set` can set.
    pub parameters: Vec<ParameterRecord>,
}

/// A parameter of a template.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ParameterRecord {
    /// Name of the parameter.
    pub name: String,
    /// Value without `--set`.
    pub default: String,
}

// === impl AgentRecord ===

impl AgentRecord {
    /// The record of a role.
    pub fn of(name: String, origin: &str, role: &Role) -> Self {
        Self {
            name,
            aliases: role.aliases().to_vec(),
            origin: origin.to_owned(),
            file: Some(role.file().to_owned()),
            description: role.description().map(str::to_owned),
            model: role.settings().model.clone(),
            tools: role.settings().tools.clone(),
            diagnostics: role.warnings().to_vec(),
            broken: false,
        }
    }

    /// The record of a file that is no role.
    pub fn broken(name: String, origin: &str, diagnostics: Vec<Diagnostic>) -> Self {
        Self {
            name,
            aliases: Vec::new(),
            origin: origin.to_owned(),
            file: None,
            description: None,
            model: None,
            tools: None,
            diagnostics,
            broken: true,
        }
    }
}

/// The word for who wrote a text.
#[must_use]
pub fn origin(origin: TextOrigin) -> &'static str {
    match origin {
        TextOrigin::Repository => "repository",
        TextOrigin::Shipped => "shipped",
    }
}
