//! The tools that models are offered and runners execute: names, descriptions, input schemas.
//!
//! The implementation is `plue-runner`'s `agent`; it refuses fields that are not here. Must not execute
//! anything.

use serde_json::{Map, Value, json};

use crate::{format, request::Tool};

/// Description of one tool: name, purpose and input schema.
#[derive(Debug, Clone, Copy)]
pub struct ToolSpec {
    /// Its name, one of `plue_wire::runner::TOOL_NAMES`.
    pub name: &'static str,
    /// Purpose and limits of the tool, as text for the model.
    pub description: &'static str,
    /// True if it changes nothing: not the workspace, and nothing outside of it.
    pub is_read_only: bool,
    schema: fn() -> Map<String, Value>,
}

/// The tool that starts an agent of a role.
pub const DELEGATE: &str = "delegate";
/// The beginning of the tools that start an agent of a prompt file.
pub const PROMPT_PREFIX: &str = "prompt_";
/// The tool by which a model gives its result.
pub const SUBMIT: &str = "submit_output";
/// The field of a submitted result that is no object.
const RESULT: &str = "result";

/// The commands of the tool `git`. Each is also a name in `tools`, such as `git_status`.
pub const GIT_COMMANDS: [&str; 5] = ["status", "diff", "log", "show", "commit"];

/// All tools, in the order in which models are offered them.
pub const TOOLS: [ToolSpec; 8] = [
    ToolSpec {
        name: "bash",
        description: "Runs a command with `bash -c` in the working directory and returns its combined \
                      output. Nothing can be typed in. Processes that the command leaves behind are \
                      killed when it ends. Each call is a new shell.",
        is_read_only: false,
        schema: bash,
    },
    ToolSpec {
        name: "read",
        description: "Reads lines of a text file; each is shown with its number and a tab.",
        is_read_only: true,
        schema: read,
    },
    ToolSpec {
        name: "write",
        description: "Writes a whole file; folders on the way are made, a file that is there is replaced.",
        is_read_only: false,
        schema: write,
    },
    ToolSpec {
        name: "edit",
        description: "Replaces exact text in a file. `old_string` must be there once, unless \
                      `replace_all` is set. It is text of the file, without line numbers.",
        is_read_only: false,
        schema: edit,
    },
    ToolSpec {
        name: "glob",
        description: "Lists files whose path fits a glob, without those that Git ignores.",
        is_read_only: true,
        schema: glob,
    },
    ToolSpec {
        name: "grep",
        description: "Searches files for lines that fit a regular expression (Rust syntax), without \
                      files that Git ignores. Shows `path:line:text`.",
        is_read_only: true,
        schema: grep,
    },
    ToolSpec {
        name: "git",
        description: "Git in the repository of the working directory: status, diff, log, show, commit. \
                      No hooks, filters or remotes.",
        is_read_only: false,
        schema: git,
    },
    ToolSpec {
        name: "fetch",
        description: "Gets an http or https URL of a host that the workflow allows. Redirects are shown, \
                      not followed.",
        is_read_only: false,
        schema: fetch,
    },
];

/// The tool with this name.
#[must_use]
pub fn tool(name: &str) -> Option<&'static ToolSpec> {
    TOOLS.iter().find(|tool| tool.name == name)
}

// === impl ToolSpec ===

impl ToolSpec {
    /// The JSON Schema of its input.
    #[must_use]
    pub fn input_schema(&self) -> Map<String, Value> {
        (self.schema)()
    }

    /// As a request offers it.
    #[must_use]
    pub fn offer(&self) -> Tool {
        Tool {
            name: self.name.to_owned(),
            description: self.description.to_owned(),
            input_schema: self.input_schema(),
            strict: false,
        }
    }
}

/// The tool `git` with some of its commands: the schema of the offer is what [`crate::Agent`] holds calls to.
#[must_use]
pub fn git_offer(commands: &[&str]) -> Option<Tool> {
    let mut offer = tool("git")?.offer();
    let properties = offer.input_schema.get_mut("properties")?;
    *properties.get_mut("command")?.get_mut("enum")? = json!(commands);
    offer.description = format!(
        "Git in the repository of the working directory, only: {}. No hooks, filters or remotes.",
        commands.join(", ")
    );
    Some(offer)
}

/// The tool `fetch` of these hosts, which the runner holds calls to.
#[must_use]
pub fn fetch_offer(hosts: &[String]) -> Option<Tool> {
    let mut offer = tool("fetch")?.offer();
    offer.description = format!(
        "Gets an http or https URL of one of these hosts: {}. Redirects are shown, not followed.",
        hosts.join(", ")
    );
    Some(offer)
}

/// The tool that starts an agent of one of these roles, each with its description.
#[must_use]
pub fn delegate_offer(roles: &[(String, Option<String>)]) -> Tool {
    let mut description = "Gives a task to another agent in the same workspace and returns its result. It \
                           knows nothing of this conversation: write down all it needs. Calls of one \
                           answer run at the same time. Roles:"
        .to_owned();
    for (role, about) in roles {
        description
            .push_str(&format!("\n- {role}: {}", about.as_deref().unwrap_or("no description")));
    }
    let names: Vec<&str> = roles.iter().map(|(role, _)| role.as_str()).collect();
    let input_schema = object(
        &["role", "task"],
        json!({
            "role": {"type": "string", "enum": names},
            "task": text("All of the task, with its context."),
            "budget_usd": {
                "type": "number",
                "description": "The most dollars it may spend; never more than is left here.",
            },
            "max_turns": number("The most answers it may give; never more than its role allows."),
        }),
    );
    Tool { name: DELEGATE.to_owned(), description, input_schema, strict: false }
}

/// The tool by which a model gives a result of this schema, where the API cannot hold its text to one. It is
/// strict if the API takes the schema for that.
#[must_use]
pub fn submit_offer(schema: &Value) -> Tool {
    let accepted = format::accepted(schema);
    let strict = accepted.is_some();
    let schema = accepted.as_ref().unwrap_or(schema);
    let input_schema = match schema.as_object() {
        Some(object) if is_object(schema) => object.clone(),
        _ => wrapped(schema),
    };
    Tool {
        name: SUBMIT.to_owned(),
        description:
            "Gives the result of the whole task and ends it. Call it once, alone, when all else \
                      is done."
                .to_owned(),
        input_schema,
        strict,
    }
}

/// The result of a call of [`submit_offer`]'s tool.
#[must_use]
pub fn submitted(schema: &Value, input: &Map<String, Value>) -> Value {
    if is_object(schema) {
        return Value::Object(input.clone());
    }
    input.get(RESULT).cloned().unwrap_or_default()
}

fn is_object(schema: &Value) -> bool {
    schema.get("type").and_then(Value::as_str) == Some("object")
}

/// Inputs of tools are objects: other results are in a field of one. References stay valid.
fn wrapped(schema: &Value) -> Map<String, Value> {
    let mut inner = schema.clone();
    let mut outer = object(&[RESULT], json!({}));
    if let Some(fields) = inner.as_object_mut() {
        for name in ["$defs", "definitions"] {
            if let Some(parts) = fields.shift_remove(name) {
                outer.insert(name.to_owned(), parts);
            }
        }
    }
    outer.insert("properties".to_owned(), json!({ RESULT: inner }));
    outer
}

fn object(required: &[&str], properties: Value) -> Map<String, Value> {
    Map::from_iter([
        ("type".to_owned(), json!("object")),
        ("properties".to_owned(), properties),
        ("required".to_owned(), json!(required)),
        ("additionalProperties".to_owned(), json!(false)),
    ])
}

fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

fn number(description: &str) -> Value {
    json!({"type": "integer", "minimum": 0, "description": description})
}

fn flag(description: &str) -> Value {
    json!({"type": "boolean", "description": description})
}

fn path(description: &str) -> Value {
    text(&format!("{description}, relative to the working directory, without `..`."))
}

fn bash() -> Map<String, Value> {
    object(
        &["command"],
        json!({
            "command": text("The command."),
            "timeout_ms": number("Longest run in milliseconds; not more than the step allows."),
        }),
    )
}

fn read() -> Map<String, Value> {
    object(
        &["path"],
        json!({
            "path": path("The file"),
            "offset": number("The first line, from 1."),
            "limit": number("How many lines; 2000 unless given."),
        }),
    )
}

fn write() -> Map<String, Value> {
    object(
        &["path", "content"],
        json!({"path": path("The file"), "content": text("All of its text.")}),
    )
}

fn edit() -> Map<String, Value> {
    object(
        &["path", "old_string", "new_string"],
        json!({
            "path": path("The file"),
            "old_string": text("The text that is there."),
            "new_string": text("The text that is to be there instead."),
            "replace_all": flag("Replace each place of it."),
        }),
    )
}

fn glob() -> Map<String, Value> {
    object(
        &["pattern"],
        json!({
            "pattern": text("A glob such as `src/**/*.rs`; `*` stops at a slash."),
            "path": path("The folder that is searched, all of the working directory unless given"),
        }),
    )
}

fn grep() -> Map<String, Value> {
    object(
        &["pattern"],
        json!({
            "pattern": text("The regular expression; it is matched against single lines."),
            "path": path("The folder or file that is searched, all of the working directory unless given"),
            "glob": text("Only files whose path or name fits this glob."),
            "ignore_case": flag("Whether upper and lower case are the same."),
            "context": number("Lines shown before and after each; at most 20."),
        }),
    )
}

fn git() -> Map<String, Value> {
    let paths = path("Only these paths");
    object(
        &["command"],
        json!({
            "command": {"type": "string", "enum": GIT_COMMANDS},
            "revision": text("For diff, log and show: a revision or range such as `HEAD~1` or `main..HEAD`."),
            "paths": {"type": "array", "items": {"type": "string"}, "description": paths["description"]},
            "staged": flag("For diff: what is staged. For commit: only what is staged, not all changes."),
            "max_count": number("For log: how many commits; 20 unless given."),
            "message": text("For commit: its message."),
        }),
    )
}

fn fetch() -> Map<String, Value> {
    object(&["url"], json!({"url": text("The URL.")}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_are_closed_objects() {
        for tool in &TOOLS {
            let schema = tool.input_schema();
            assert_eq!(schema["additionalProperties"], false, "{}", tool.name);
            for required in schema["required"].as_array().unwrap() {
                assert!(schema["properties"].get(required.as_str().unwrap()).is_some());
            }
            for property in schema["properties"].as_object().unwrap().values() {
                assert!(property["type"].is_string(), "{}", tool.name);
            }
            assert_eq!(super::tool(tool.name).unwrap().name, tool.name);
        }
        assert!(tool("submit_output").is_none());
    }

    #[test]
    fn names_are_those_of_the_runner() {
        let names = TOOLS.map(|tool| tool.name);
        assert_eq!(names, ["bash", "read", "write", "edit", "glob", "grep", "git", "fetch"]);
    }
}
