//! Runs as lists show them: with their event, the plan of the run before, and money, in two queries.

use std::collections::HashMap;

use plue_flow::RunStatus;
use plue_plan::{PlanHash, RunId};
use serde_json::Value as Json;

use super::{IS_WHOLE, MAX_PAGE, RUN_COLUMNS, RunRow, SOURCE_COLUMN, run_row};
use crate::{
    error::Error,
    handles::RunLists,
    sql::{Arg, Statement, placeholders},
    usage::claude::Spend,
};

/// Characters of an event's text that lists show.
const MAX_TEXT: usize = 200;

/// Filter of a list. Absent fields filter nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunQuery {
    /// Only these states; one, or all that have not ended: others are slow together.
    pub status: Vec<RunStatus>,
    /// Only workflows of this name.
    pub workflow: Option<String>,
    /// Only these repositories; none: all.
    pub repos: Option<Vec<String>>,
    /// Only runs of this branch.
    pub branch: Option<String>,
    /// Only events of this type: `push`.
    pub event: Option<String>,
    /// Only events by this author.
    pub actor: Option<String>,
    /// Only runs with this text in workflow, repository or branch, or at the start of commit or id. The
    /// case of ASCII letters does not count.
    pub text: Option<String>,
    /// At most so many, at most 1,000.
    pub limit: u32,
    /// Only runs older than this one.
    pub before: Option<RunId>,
    /// Only runs newer than this one; the list then begins right behind it.
    pub after: Option<RunId>,
}

/// A run of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedRun {
    /// Row of the table `run`.
    pub run: RunRow,
    /// Texts of its event.
    pub event: EventTexts,
    /// Plan of the run before it of the same workflow and repository.
    pub plan_before: Option<PlanHash>,
    /// Spending on Claude; none: it has asked nothing.
    pub spend: Option<Spend>,
}

/// Texts of an event, in columns of their own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventTexts {
    /// Type: `push`.
    pub kind: Option<String>,
    /// Author, as the forge names one.
    pub actor: Option<String>,
    /// Title of its pull request or issue.
    pub title: Option<String>,
}

/// The plan of the run before, by the index `run_before`.
const PLAN_BEFORE: &str = "(SELECT p.plan_hash FROM run p WHERE p.workflow = run.workflow \
     AND COALESCE(p.repo, '') = COALESCE(run.repo, '') AND p.id < run.id ORDER BY p.id DESC LIMIT 1)";

impl RunLists<'_> {
    /// Runs with their events, newest first.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn list(self, query: &RunQuery) -> Result<Vec<ListedRun>, Error> {
        let rows = self.store.read(query.statement()).await?;
        let mut runs = Vec::with_capacity(rows.len());
        for row in &rows {
            let at = SOURCE_COLUMN;
            let plan_before = row.opt_text(at + 3)?;
            runs.push(ListedRun {
                run: run_row(row)?,
                event: EventTexts {
                    kind: row.opt_text(at)?,
                    actor: row.opt_text(at + 1)?,
                    title: row.opt_text(at + 2)?,
                },
                plan_before: plan_before.and_then(|hash| hash.parse().ok()),
                spend: None,
            });
        }
        if query.after.is_some() {
            runs.reverse();
        }
        let ids: Vec<&RunId> = runs.iter().map(|listed| &listed.run.id).collect();
        let mut spends = self.spend_of_runs(&ids).await?;
        for listed in &mut runs {
            listed.spend = spends.remove(&listed.run.id);
        }
        Ok(runs)
    }

    /// The plan of the run before this one of the same workflow and repository.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn plan_before(self, run: &RunId) -> Result<Option<PlanHash>, Error> {
        let text = format!("SELECT {PLAN_BEFORE} FROM run WHERE id = $1");
        let row = self.store.read_one(Statement::new(text, vec![run.as_str().into()])).await?;
        let hash = row.map(|row| row.opt_text(0)).transpose()?.flatten();
        Ok(hash.and_then(|hash| hash.parse().ok()))
    }

    /// Spending of some runs; those without any are left out.
    ///
    /// # Errors
    /// [`Error`] of the database.
    async fn spend_of_runs(self, runs: &[&RunId]) -> Result<HashMap<RunId, Spend>, Error> {
        if runs.is_empty() {
            return Ok(HashMap::new());
        }
        let text = Spend::by_run(&placeholders(1, runs.len()));
        let args = runs.iter().map(|id| Arg::from(id.as_str())).collect();
        let rows = self.store.read(Statement::new(text, args)).await?;
        rows.iter().map(|row| Ok((RunId::new(row.text(0)?), Spend::of(row, 1)?))).collect()
    }
}

// === impl RunQuery ===

impl RunQuery {
    fn statement(&self) -> Statement {
        let mut args: Vec<Arg> = Vec::new();
        let mut text = format!(
            "SELECT {RUN_COLUMNS}, s.event_type, s.actor, s.title, {PLAN_BEFORE} \
             FROM run JOIN run_source s ON s.run_id = run.id WHERE {IS_WHOLE}"
        );
        let columns = [
            ("workflow = ?", self.workflow.as_deref()),
            ("branch = ?", self.branch.as_deref()),
            ("s.event_type = ?", self.event.as_deref()),
            ("s.actor = ?", self.actor.as_deref()),
            ("id < ?", self.before.as_ref().map(RunId::as_str)),
            ("id > ?", self.after.as_ref().map(RunId::as_str)),
        ];
        for (condition, value) in columns {
            if let Some(value) = value {
                args.push(value.into());
                text.push_str(" AND ");
                text.push_str(&numbered(condition, args.len()));
            }
        }
        if let Some(words) = &self.text {
            let words = escaped(&words.to_ascii_lowercase());
            args.push(format!("%{words}%").into());
            text.push_str(&numbered(LIKE, args.len()));
            args.push(format!("{words}%").into());
            text.push_str(&numbered(LIKE_START, args.len()));
        }
        self.sets(&mut text, &mut args);
        // By the index of the column that is filtered by, in the order of that index.
        let by_event = self.event.is_some() || self.actor.is_some();
        let order = if by_event { "s.run_id" } else { "run.id" };
        let way = if self.after.is_some() { "ASC" } else { "DESC" };
        args.push(self.limit.min(MAX_PAGE).into());
        text.push_str(&format!(" ORDER BY {order} {way} LIMIT ${}", args.len()));
        Statement::new(text, args)
    }

    /// Conditions with several values.
    fn sets(&self, text: &mut String, args: &mut Vec<Arg>) {
        if !self.status.is_empty() {
            let list = placeholders(args.len() + 1, self.status.len());
            args.extend(self.status.iter().map(|status| Arg::from(status.as_str())));
            text.push_str(&match self.status.len() {
                1 => format!(" AND status = {list}"),
                _ => format!(" AND status IN ({list})"),
            });
        }
        match self.repos.as_deref() {
            None => {}
            Some([]) => text.push_str(" AND 1 = 0"),
            Some([only]) => {
                args.push(only.as_str().into());
                text.push_str(&format!(" AND repo = ${}", args.len()));
            }
            // Not by the index of `repo`, which has no order over several values.
            Some(several) => {
                let list = placeholders(args.len() + 1, several.len());
                args.extend(several.iter().map(|repo| Arg::from(repo.as_str())));
                text.push_str(&format!(" AND COALESCE(repo, '') IN ({list})"));
            }
        }
    }
}

const LIKE: &str = " AND (LOWER(workflow) LIKE ? ESCAPE '!' OR LOWER(repo) LIKE ? ESCAPE '!' \
     OR LOWER(branch) LIKE ? ESCAPE '!'";
const LIKE_START: &str = " OR sha LIKE ? ESCAPE '!' OR id LIKE ? ESCAPE '!')";

/// The condition with the number of its argument.
fn numbered(condition: &str, arg: usize) -> String {
    condition.replace('?', &format!("${arg}"))
}

/// A text that `LIKE … ESCAPE '!'` finds as it is.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '!' | '%' | '_') {
            out.push('!');
        }
        out.push(c);
    }
    out
}

// === impl EventTexts ===

impl EventTexts {
    /// The texts of an event.
    #[must_use]
    pub fn of(event: &Json) -> Self {
        let text = |value: Option<&Json>| {
            let text = value?.as_str()?;
            // Postgres has no character 0.
            Some(text.chars().filter(|c| *c != '\0').take(MAX_TEXT).collect())
        };
        let title = event.pointer("/pull_request/title").or_else(|| event.pointer("/issue/title"));
        Self { kind: text(event.get("type")), actor: text(event.get("actor")), title: text(title) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_of_events_are_bounded_and_storable() {
        let event = json!({
            "type": "pull_request",
            "actor": "a\u{0}da",
            "pull_request": {"title": "x".repeat(1_000)},
        });
        let texts = EventTexts::of(&event);
        assert_eq!(texts.actor.as_deref(), Some("ada"));
        assert_eq!(texts.title.map(|title| title.len()), Some(MAX_TEXT));
        assert_eq!(EventTexts::of(&json!({"type": 7})), EventTexts::default());
    }
}
