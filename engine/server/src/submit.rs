//! From a plan to a stored run: the workspace is unpacked from the mirror, and the run gets the id
//! that its cause has, so that a cause that is looked at twice makes one run.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use plue_executor::{Origin, Submission};
use plue_forge::git::{CommitId, Mirror};
use plue_plan::{
    Event, RunId,
    event::EventType,
    inputs::{Given, Missing, typed},
};
use plue_planner::{Evaluated, PlannedWorkflow};
use plue_store::{Reservation, RunRow};
use serde_json::{Map, Value as Json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{error::Error, known::MAX_PACKED_BYTES, server::Server};

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
        let workspace = self.folder("workspaces")?.join(wanted.id.as_str());
        self.unpack(wanted.mirror, wanted.commit, &workspace).await?;
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
        let id = wanted.id.clone();
        match self.parts().engine.submit_as(wanted.id, submission).await {
            // Another engine looked at the same cause at the same time.
            Err(plue_executor::Error::Refused { .. }) if self.store().run(&id).await?.is_some() => {
                Ok(())
            }
            submitted => Ok(submitted.map(drop)?),
        }
    }

    /// Sees to it that the files of a run are on this machine. Those of a run that has begun cannot be
    /// had again: its steps may have changed them.
    ///
    /// # Errors
    /// They are elsewhere.
    pub(crate) async fn place(&self, row: &RunRow) -> Result<(), Error> {
        let Some(source) = self.store().run_source(&row.id).await? else { return Ok(()) };
        let workspace = source.origin.get("workspace").and_then(Json::as_str).map(PathBuf::from);
        let Some(workspace) = workspace.filter(|path| !path.exists()) else { return Ok(()) };
        let elsewhere = || {
            let path = workspace.display();
            Error::NotFound(format!(
                "{path} is not on this machine; engines share a state directory"
            ))
        };
        let attempts = self.store().attempts(&row.id, None).await?;
        let has_begun = attempts.iter().any(|attempt| attempt.started_at.is_some());
        let (Some(repo), Some(sha), false) = (&row.repo, &row.sha, has_begun) else {
            return Err(elsewhere());
        };
        let repo = self.store().repo(repo).await?.ok_or_else(elsewhere)?;
        let (mirror, commit) = self.mirror_with(&repo, sha).await?;
        self.unpack(&mirror, &commit, &workspace).await
    }

    /// The files of a commit in a folder of their own. Another engine may do the same at the same time:
    /// the folder is there as a whole or not at all.
    pub(crate) async fn unpack(
        &self,
        mirror: &Mirror,
        commit: &CommitId,
        target: &Path,
    ) -> Result<(), Error> {
        let beside = format!("{}.{}", target.display(), self.parts().ids.text());
        let (whole, packed) = (PathBuf::from(&beside), PathBuf::from(format!("{beside}.tar")));
        let folder = target.parent().unwrap_or(target);
        let failed = |path: &Path| {
            let path = path.display().to_string();
            move |source| Error::Folder { path, source }
        };
        tokio::fs::create_dir_all(folder).await.map_err(failed(folder))?;
        let packed = match self.known().packed(mirror.folder(), commit) {
            Some(bytes) => Packed::Here(bytes),
            None => self.pack(mirror, commit, packed).await?,
        };
        let unpacked = {
            let whole = whole.clone();
            self.parts().tasks.spawn_blocking(move || packed.unpack(&whole))
        };
        let unpacked = unpacked.await.map_err(|_| Error::Stopped)?;
        unpacked.map_err(failed(&whole))?;
        let placed = tokio::fs::rename(&whole, target).await;
        if placed.is_err() {
            let _is_of_no_use = tokio::fs::remove_dir_all(&whole).await;
        }
        // One that is there is complete, and of this commit: a run has but one.
        if target.exists() { Ok(()) } else { placed.map_err(failed(target)) }
    }

    /// The files of a commit as tar; a small one is remembered.
    async fn pack(
        &self,
        mirror: &Mirror,
        commit: &CommitId,
        path: PathBuf,
    ) -> Result<Packed, Error> {
        let failed = |source| Error::Folder { path: path.display().to_string(), source };
        let mut archive = mirror.archive(commit, None).await?;
        let mut small = Vec::new();
        let read = (&mut archive).take(MAX_PACKED_BYTES).read_to_end(&mut small).await;
        if (read.map_err(failed)? as u64) < MAX_PACKED_BYTES {
            archive.finish().await?;
            self.known().put_packed(mirror.folder(), commit, small.clone());
            return Ok(Packed::Here(small.into()));
        }
        let mut file = tokio::fs::File::create(&path).await.map_err(failed)?;
        file.write_all(&small).await.map_err(failed)?;
        tokio::io::copy(&mut archive, &mut file).await.map_err(failed)?;
        file.flush().await.map_err(failed)?;
        archive.finish().await?;
        Ok(Packed::There(path))
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

/// A tar stream.
enum Packed {
    /// In memory.
    Here(Arc<[u8]>),
    /// In a file of its own, removed when it was unpacked.
    There(PathBuf),
}

// === impl Packed ===

impl Packed {
    fn unpack(self, target: &Path) -> std::io::Result<()> {
        match self {
            Self::Here(bytes) => unpack(&*bytes, target),
            Self::There(path) => {
                let file = std::fs::File::open(&path);
                let done = file.and_then(|file| unpack(std::io::BufReader::new(file), target));
                let _is_of_no_use = std::fs::remove_file(&path);
                done
            }
        }
    }
}

/// Unpacks within a folder: entries that would lie outside, also through links, are errors.
fn unpack(packed: impl std::io::Read, target: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(target)?;
    let mut archive = tar::Archive::new(packed);
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
