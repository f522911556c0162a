//! `plue audit`: who changed what, in the order of the changes.

use std::collections::VecDeque;

use clap::Args;
use plue_api::records::AuditRecord;
use plue_store::Store;

use crate::{
    app::App,
    args::Format,
    exit::Exit,
    failure::{Failure, Outcome, from_store},
    output,
    records::{SCHEMA_VERSION, server::Audit},
    render::{table, words},
    wiring,
};

/// Rows that are read at once.
const PAGE: u32 = 1_000;

/// `plue audit`
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// Only rows behind this number [default: the last rows]
    #[arg(long, value_name = "SEQ")]
    pub after: Option<u64>,
    /// Rows at most
    #[arg(long, short = 'n', value_name = "N", default_value_t = 50,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,
    /// How the list is printed
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// The rows that a command asked for, kept while pages come.
pub(crate) struct Wanted {
    limit: usize,
    is_tail: bool,
    rows: VecDeque<AuditRecord>,
}

pub(super) fn run(args: &AuditArgs, app: &App) -> Outcome {
    wiring::block_on(async {
        let store = wiring::open_existing(app).await?;
        let rows = wanted(&store, args).await?;
        shown(rows, args, app)
    })
}

async fn wanted(store: &Store, args: &AuditArgs) -> Result<Vec<AuditRecord>, Failure> {
    let mut wanted = Wanted::of(args);
    let mut after = args.after.unwrap_or(0);
    loop {
        let page = store.audit().after(after, PAGE).await.map_err(|error| from_store(&error))?;
        let Some(last) = page.last() else { break };
        after = last.seq;
        if wanted.add(page.into_iter().map(AuditRecord::of)) {
            break;
        }
    }
    Ok(wanted.into_rows())
}

/// Prints the rows to standard output, in the format of `--output`.
pub(crate) fn shown(rows: Vec<AuditRecord>, args: &AuditArgs, app: &App) -> Outcome {
    let document = Audit { schema_version: SCHEMA_VERSION, audit: rows };
    output::list(args.output, &document, &document.audit, || {
        let rows = document.audit.iter().map(|row| {
            let repo = row.repository.as_deref().unwrap_or("-");
            let (seq, at) = (row.seq.to_string(), words::time(row.at));
            let cells = [&seq, &at, &row.principal, &row.action, &row.subject, repo];
            cells.map(table::plain).to_vec()
        });
        let head = ["SEQ", "AT", "WHO", "WHAT", "OF", "REPOSITORY"];
        table::render(&head, &rows.collect::<Vec<_>>(), &app.stdout)
    })?;
    Ok(Exit::Ok)
}

// === impl Wanted ===

impl Wanted {
    pub(crate) fn of(args: &AuditArgs) -> Self {
        let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
        Self { limit, is_tail: args.after.is_none(), rows: VecDeque::new() }
    }

    /// Adds the rows of a page; returns `true` once no further page is needed.
    pub(crate) fn add(&mut self, page: impl Iterator<Item = AuditRecord>) -> bool {
        for row in page {
            if self.rows.len() == self.limit {
                if !self.is_tail {
                    return true;
                }
                self.rows.pop_front();
            }
            self.rows.push_back(row);
        }
        !self.is_tail && self.rows.len() == self.limit
    }

    pub(crate) fn into_rows(self) -> Vec<AuditRecord> {
        self.rows.into()
    }
}
