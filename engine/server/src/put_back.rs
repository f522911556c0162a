//! The files of a run, put back before steps run again.

use std::path::Path;

use plue_api::{CommandError, commands::RetryFiles, records::retry::RestoredFiles};
use plue_executor::{
    Engine, Error,
    perform::checkpoint::{OnConflict, Restored},
};
use plue_flow::input::Reopen;
use plue_plan::{Code, Diagnostic, RunId};

/// Files that a retry would put back were changed outside of the run.
const FILES: Code = Code::new("PLUE-C0011");

/// Puts files back to their state before the steps that are reopened; without steps to the state before the
/// run, for another run. Copies of overwritten files are in a new folder below `aside`.
///
/// # Errors
/// As [`Engine::restore`].
pub async fn put_back(
    engine: &Engine,
    run: &RunId,
    from: Option<&Reopen>,
    files: RetryFiles,
    aside: &Path,
) -> Result<RestoredFiles, Error> {
    let on_conflict = match files {
        RetryFiles::Keep => return Ok(RestoredFiles::default()),
        RetryFiles::Restore => OnConflict::Refuse,
        RetryFiles::Force => OnConflict::Force,
    };
    if !engine.keeps_checkpoints() {
        return Ok(RestoredFiles::default());
    }
    let aside = aside.join(format!("{run}-{}", engine.now().as_millisecond()));
    let Restored { files, shared, aside } =
        engine.restore(run, from, (on_conflict, &aside)).await?;
    let aside = aside.map(|folder| folder.display().to_string());
    Ok(RestoredFiles { restored: files, aside, shared })
}

/// A failed restore, as a command reports it.
#[must_use]
pub fn not_restored(error: &Error) -> CommandError {
    match error {
        Error::Conflict { .. } => {
            let problem = Diagnostic::error(FILES, error.to_string()).hint(
                "`--keep-files` goes on with the files as they are; `--force` puts them back and \
                 keeps copies of what it overwrites",
            );
            CommandError::Refused(Box::new(problem))
        }
        Error::UnknownRun(_) => CommandError::NotFound(error.to_string()),
        Error::Store(error) => CommandError::Failed(Box::new(error.diagnostic())),
        Error::MissingPlan { .. }
        | Error::Corrupt { .. }
        | Error::Busy { .. }
        | Error::Superseded { .. }
        | Error::Overtaken { .. }
        | Error::SetAside { .. }
        | Error::Refused { .. }
        | Error::Pool(_)
        | Error::State { .. } => CommandError::Conflict(error.to_string()),
    }
}
