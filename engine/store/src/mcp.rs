//! Tools of MCP servers that were accepted for a Claude step.
//!
//! Must not judge them: whether tools are those that were accepted is `plue-llm`'s.

use jiff::Timestamp;
use plue_plan::{RunId, StepId};
use serde_json::Value as Json;

use crate::{
    changes::Shards,
    error::Error,
    handles::Mcp,
    op::Op,
    sql::{Arg, Row, Statement, Tx},
};

/// A server of a step of a workflow of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct McpKey {
    /// The repository; `None`: runs without one.
    pub repo: Option<String>,
    /// The name of the workflow.
    pub workflow: String,
    pub step: StepId,
    /// The name of the server in the step.
    pub server: String,
}

/// Tools that were accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct McpPin {
    /// Hash of the definitions that were offered.
    pub hash: String,
    /// The accepted tools, as `plue-llm` writes them.
    pub toolset: Json,
    /// The run that offered them first.
    pub run: RunId,
    /// The time of that.
    pub at: Timestamp,
}

struct Accept {
    key: McpKey,
    replaces: Option<String>,
    pin: McpPin,
}

impl Mcp<'_> {
    /// The accepted tools of a server, if it was used before.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn pin(self, key: &McpKey) -> Result<Option<McpPin>, Error> {
        let text = "SELECT hash, toolset, run_id, accepted_at FROM mcp_pin \
                    WHERE repo = $1 AND workflow = $2 AND step = $3 AND server = $4";
        let row = self.store.read_one(Statement::new(text, key.args())).await?;
        row.as_ref().map(pin).transpose()
    }

    /// Accepts tools in place of those with the hash `replaces`, or as the first. Returns false if others
    /// were accepted in the meantime, and changes nothing then.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn accept(
        self,
        key: McpKey,
        replaces: Option<String>,
        pin: McpPin,
    ) -> Result<bool, Error> {
        self.store.write(Accept { key, replaces, pin }).await
    }
}

fn pin(row: &Row) -> Result<McpPin, Error> {
    Ok(McpPin {
        hash: row.text(0)?,
        toolset: row.json(1)?,
        run: RunId::new(row.text(2)?),
        at: row.time(3)?,
    })
}

// === impl McpKey ===

impl McpKey {
    fn args(&self) -> Vec<Arg> {
        vec![
            self.repo.as_deref().unwrap_or_default().into(),
            self.workflow.as_str().into(),
            self.step.as_str().into(),
            self.server.as_str().into(),
        ]
    }
}

impl Op for Accept {
    type Out = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool, Error> {
        let mut args = self.key.args();
        args.extend([
            self.pin.hash.as_str().into(),
            Arg::json(&self.pin.toolset)?,
            self.pin.run.as_str().into(),
            self.pin.at.into(),
        ]);
        let text = match &self.replaces {
            None => {
                "INSERT INTO mcp_pin (repo, workflow, step, server, hash, toolset, run_id, accepted_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
                 ON CONFLICT (repo, workflow, step, server) DO NOTHING RETURNING hash"
            }
            Some(replaces) => {
                args.push(replaces.as_str().into());
                "UPDATE mcp_pin SET hash = $5, toolset = $6, run_id = $7, accepted_at = $8 \
                 WHERE repo = $1 AND workflow = $2 AND step = $3 AND server = $4 AND hash = $9 \
                 RETURNING hash"
            }
        };
        Ok(!tx.fetch(Statement::new(text, args)).await?.is_empty())
    }

    fn touched(&self, _: &bool) -> Shards {
        Shards::NONE
    }
}
