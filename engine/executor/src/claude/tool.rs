//! Names of tools in plans, prompts and roles.

use plue_llm::{
    Tool, codes,
    tools::{self, GIT_COMMANDS, TOOLS},
};

/// The tools of these names, each once, in the order of the table. `git_status` and its like are `git`
/// with those commands only.
///
/// # Errors
/// A name that is none, for the author.
pub(super) fn named(names: &[String]) -> Result<Vec<Tool>, String> {
    let is_known = |name: &String| tools::tool(name).is_some() || git_command(name).is_some();
    if let Some(unknown) = names.iter().find(|name| !is_known(name)) {
        let known: Vec<_> = TOOLS.iter().map(|tool| tool.name).collect();
        let code = codes::UNKNOWN_TOOL;
        return Err(format!(
            "{code}: there is no tool `{unknown}`; there are {}, git_{}",
            known.join(", "),
            GIT_COMMANDS.join(", git_")
        ));
    }
    let mut chosen: Vec<Tool> = Vec::new();
    for tool in &TOOLS {
        if names.iter().any(|name| name == tool.name) {
            chosen.push(tool.offer());
        } else if tool.name == "git" {
            let is_named =
                |command: &&str| names.iter().any(|name| git_command(name) == Some(*command));
            let commands: Vec<&str> = GIT_COMMANDS.into_iter().filter(is_named).collect();
            chosen.extend(tools::git_offer(&commands).filter(|_| !commands.is_empty()));
        }
    }
    Ok(chosen)
}

/// The command that a name such as `git_status` allows.
fn git_command(name: &str) -> Option<&'static str> {
    let command = name.strip_prefix("git_")?;
    GIT_COMMANDS.into_iter().find(|known| *known == command)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn offered(names: &[&str]) -> Result<Vec<Tool>, String> {
        named(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn git_names_allow_their_commands_only() {
        let tools = offered(&["git_diff", "git_status", "read", "git_diff"]).unwrap();
        let names: Vec<_> = tools.iter().map(|tool| tool.name.as_str()).collect();
        assert_eq!(names, ["read", "git"]);
        let command = &tools[1].input_schema["properties"]["command"];
        assert_eq!(command["enum"], json!(["status", "diff"]));
        let whole = offered(&["git_status", "git"]).unwrap();
        assert_eq!(whole, [tools::tool("git").unwrap().offer()]);
        assert_eq!(offered(&[]).unwrap(), []);
    }

    #[test]
    fn unknown_names_are_errors() {
        for name in ["shell", "git_push", "git_", "Git", "bash ", "", "submit_output", "bash_read"]
        {
            let error = offered(&["read", name]).unwrap_err();
            assert!(error.contains("PLUE-L0012"), "{name}: {error}");
        }
    }
}
