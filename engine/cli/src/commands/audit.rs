//! `plue audit`: who changed what, in the order of the changes.

use std::collections::VecDeque;

use clap::Args;
use plue_api::records::AuditRecord;

use crate::{
    app::App,
    args::Format,
    connect::{Purpose, connected},
    exit::Exit,
    failure::Outcome,
    output,
    records::{SCHEMA_VERSION, server::Audit},
    render::{table, words},
};

/// `plue audit`
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// Only rows behind this number [default: the last rows]
    #[arg(long, value_name = "SEQ")]
    pub after: Option<u64>,
    /// Most rows to list
    #[arg(long, short = 'n', value_name = "N", default_value_t = 50,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,
    /// Output format of the list
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// The rows of a command, collected from pages.
struct Rows {
    limit: usize,
    is_tail: bool,
    rows: VecDeque<AuditRecord>,
}

pub(super) fn run(args: &AuditArgs, app: &App) -> Outcome {
    connected(app, Purpose::Read, async |connection| {
        let mut wanted = Rows::of(args);
        let mut cursor = args.after.map(|seq| seq.to_string());
        loop {
            let page = connection.client.lists().audit(cursor).await?;
            cursor = page.next;
            if wanted.add(page.items.into_iter()) || cursor.is_none() {
                break;
            }
        }
        shown(wanted.into_rows(), args, app)
    })
}

/// Prints the rows to standard output, in the format of `--output`.
fn shown(rows: Vec<AuditRecord>, args: &AuditArgs, app: &App) -> Outcome {
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

// === impl Rows ===

impl Rows {
    fn of(args: &AuditArgs) -> Self {
        let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
        Self { limit, is_tail: args.after.is_none(), rows: VecDeque::new() }
    }

    /// Adds the rows of a page; returns `true` once no further page is needed.
    fn add(&mut self, page: impl Iterator<Item = AuditRecord>) -> bool {
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

    fn into_rows(self) -> Vec<AuditRecord> {
        self.rows.into()
    }
}
