//! Runs that wait for runners of other machines, as each engine reports them: pools grow by their sum.

use crate::{
    changes::Shards,
    error::Error,
    handles::Demand,
    op::Op,
    runner,
    sql::{Arg, Statement, Tx},
};

/// Runs of one engine that wait for a runner with the same names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunnerDemand {
    /// Names that the runner must have.
    pub names: Vec<String>,
    /// Number of runs that wait.
    pub waiting: u32,
}

struct Report {
    engine: String,
    demand: Vec<RunnerDemand>,
}

impl Demand<'_> {
    /// Replaces the demand of a registered engine; that of any other is ignored.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn report(self, engine: &str, demand: Vec<RunnerDemand>) -> Result<(), Error> {
        self.store.write(Report { engine: engine.to_owned(), demand }).await
    }

    /// The demand of all registered engines.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn list(self) -> Result<Vec<RunnerDemand>, Error> {
        let text = "SELECT d.names, d.waiting FROM runner_demand d JOIN engine e ON e.id = d.engine \
                    ORDER BY d.engine, d.names";
        let rows = self.store.read(Statement::new(text, Vec::new())).await?;
        let read = |row: &crate::sql::Row| {
            Ok(RunnerDemand { names: runner::labels(&row.text(0)?)?, waiting: row.small(1)? })
        };
        rows.iter().map(read).collect()
    }
}

impl Op for Report {
    type Out = ();

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        let Self { engine, demand } = self;
        // Those of expired engines go too.
        tx.write(Statement::new(
            "DELETE FROM runner_demand WHERE engine = $1 \
             OR NOT EXISTS (SELECT 1 FROM engine e WHERE e.id = runner_demand.engine)",
            vec![engine.as_str().into()],
        ));
        for one in demand {
            tx.write(Statement::new(
                "INSERT INTO runner_demand (engine, names, waiting) VALUES ($1, $2, $3)",
                vec![
                    engine.as_str().into(),
                    Arg::json(&one.names)?,
                    Arg::count(one.waiting.into()),
                ],
            ));
        }
        Ok(())
    }

    fn touched(&self, (): &()) -> Shards {
        Shards::NONE
    }
}
