//! The result of a workflow file as text: warnings, then the plan, or all problems.

use std::path::Path;

use plue_plan::canonical::HashedPlan;
use plue_spec::workflow::{Format, read};

/// Text of the file `NAME.expected`.
pub(crate) fn rendered(path: &Path) -> std::io::Result<String> {
    let bytes = std::fs::read(path)?;
    let json = path.extension().is_some_and(|end| end == "json");
    let format = if json { Format::Json } else { Format::Yaml };
    let mut lines: Vec<String> = Vec::new();
    // Without the name of the file, which is the reader's argument.
    let line =
        |problem: &plue_plan::Diagnostic| problem.to_string().trim_start_matches(':').to_owned();
    match read("", &bytes, format) {
        Ok(workflow) => {
            lines.extend(workflow.warnings.iter().map(line));
            lines.push(match HashedPlan::new(workflow.plan) {
                Ok(sealed) => String::from_utf8_lossy(&sealed.bytes).into_owned(),
                Err(problem) => line(&problem),
            });
        }
        Err(problems) => lines.extend(problems.iter().map(line)),
    }
    Ok(lines.join("\n") + "\n")
}
