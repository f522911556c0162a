//! From a plan to a stored run: the workspace is unpacked from the mirror, and the run gets the id
//! that its cause has, so that a cause that is looked at twice makes one run.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use plue_executor::{Origin, Submission};
use plue_forge::git::{CommitId, Mirror};
use plue_plan::{
    Event, RunId,
    event::EventType,
    inputs::{Given, Missing, typed},
};
use plue_planner::{Evaluated, PlannedWorkflow};
use plue_store::Reservation;
use serde_json::{Map, Value as Json};
use tokio::io::AsyncWriteExt as _;

use crate::{error::Error, server::Server};

/// A run to be made.
pub(crate) struct Wanted<'a> {
    pub(crate) id: RunId,
    pub(crate) mirror: &'a Mirror,
    pub(crate) commit: &'a CommitId,
    pub(crate) file: &'a str,
    pub(crate) evaluated: &'a Evaluated,
    pub(crate) workflow: &'a PlannedWorkflow,
    pub(crate) event: Event,
    pub(crate) inputs: Map<String, Json>,
}

impl Server {
    /// The id of the run that a cause makes: always the same.
    pub(crate) async fn id_of(&self, cause: &str, plan: &str) -> Result<RunId, Error> {
        let parts = self.parts();
        let wanted = Reservation { request: plan.to_owned(), subject: parts.ids.run().to_string() };
        let now = parts.clock.now();
        let kept = self.store().reserve("plue", &format!("{cause} {plan}"), wanted, now).await?;
        Ok(RunId::new(kept.subject))
    }

    /// Stores a run, unless it is stored already.
    pub(crate) async fn submit_run(&self, wanted: Wanted<'_>) -> Result<(), Error> {
        if self.store().run(&wanted.id).await?.is_some() {
            return Ok(());
        }
        let inputs = inputs(&wanted)?;
        wanted.mirror.keep(wanted.commit).await?;
        let workspace = self.unpack(wanted.mirror, wanted.commit, &wanted.id).await?;
        let read_set = serde_json::to_value(&*wanted.evaluated.read_set);
        let submission = Submission {
            plan: wanted.workflow.sealed.clone(),
            source: wanted.file.to_owned(),
            event: wanted.event,
            inputs,
            origin: Origin {
                // Child runs by name are planned from the files of this commit.
                repository: workspace.clone(),
                workspace,
                read_set: read_set.unwrap_or_default(),
                max_parallel: None,
                parent: None,
            },
            only: Vec::new(),
        };
        self.parts().engine.submit_as(wanted.id, submission).await?;
        Ok(())
    }

    /// The files of a commit in a folder of their own.
    pub(crate) async fn unpack(
        &self,
        mirror: &Mirror,
        commit: &CommitId,
        run: &RunId,
    ) -> Result<PathBuf, Error> {
        let folder = self.folder("workspaces")?;
        let (target, packed) = (folder.join(run.as_str()), folder.join(format!("{run}.tar")));
        let failed = |path: &Path| {
            let path = path.display().to_string();
            move |source| Error::Folder { path, source }
        };
        // What an earlier try left behind.
        let _absent = tokio::fs::remove_dir_all(&target).await;
        let mut archive = mirror.archive(commit, None).await?;
        let mut file = tokio::fs::File::create(&packed).await.map_err(failed(&packed))?;
        tokio::io::copy(&mut archive, &mut file).await.map_err(failed(&packed))?;
        file.flush().await.map_err(failed(&packed))?;
        archive.finish().await?;
        let unpacked = {
            let (packed, target) = (packed.clone(), target.clone());
            self.parts().tasks.spawn_blocking(move || unpack(&packed, &target))
        };
        let unpacked = unpacked.await.map_err(|_| Error::Stopped)?;
        let _left_for_the_next_try = tokio::fs::remove_file(&packed).await;
        unpacked.map_err(failed(&target))?;
        Ok(target)
    }
}

/// The inputs of the types that the plan declares, defaults filled in. Only who asks for a run by hand
/// can give those that are required.
fn inputs(wanted: &Wanted<'_>) -> Result<BTreeMap<String, Json>, Error> {
    let given = wanted.inputs.iter();
    let given: Vec<_> =
        given.map(|(name, value)| (name.clone(), Given::Value(value.clone()))).collect();
    let by_hand = wanted.event.kind == EventType::Manual;
    let missing = if by_hand {
        Missing::Refused(|name, kind| format!("send it: \"inputs\": {{{name:?}: <{kind}>}}"))
    } else {
        Missing::Allowed
    };
    typed(&given, &wanted.workflow.sealed.plan, missing).map_err(Error::Invalid)
}

/// Unpacks within a folder: entries that would lie outside, also through links, are errors.
fn unpack(packed: &Path, target: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(target)?;
    let file = std::io::BufReader::new(std::fs::File::open(packed)?);
    let mut archive = tar::Archive::new(file);
    archive.set_preserve_mtime(false);
    for entry in archive.entries()? {
        let mut entry = entry?;
        if !entry.unpack_in(target)? {
            let path = entry.path()?.display().to_string();
            return Err(std::io::Error::other(format!("{path:?} leads outside")));
        }
    }
    Ok(())
}
