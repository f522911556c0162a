//! Deliveries from the store, one after the other: read, fetched, planned, matched, submitted,
//! settled. A delivery is settled last: whatever dies before that is done again and finds what it made.

use plue_forge::git::{ChangedFiles, CommitId, Mirror, Since};
use plue_planner::Trust;
use plue_registry::{Changed, Conclusion, Happening, conclude};
use plue_store::{DeliveryRow, DeliveryState, RepoRow};
use serde_json::Map;

use crate::{
    error::Error,
    occasion::{self, Occasion},
    plans::For,
    server::Server,
    submit::Wanted,
};

/// Deliveries that are read at once.
const BATCH: u32 = 32;
/// Characters of a note.
const MAX_NOTE: usize = 4_000;

impl Server {
    /// Takes in deliveries until the server stops.
    pub(crate) async fn take_in(&self) {
        let mut changes = self.store().changes();
        loop {
            changes.borrow_and_update();
            match self.take_in_once().await {
                Ok(0) => {}
                Ok(_) => continue,
                Err(error) => tracing::warn!(%error, "deliveries wait"),
            }
            if !self.rest(&mut changes).await {
                return;
            }
        }
    }

    /// Works on what is new; how many deliveries were settled.
    ///
    /// # Errors
    /// The database, or a repository that cannot be reached now: its deliveries stay new.
    pub async fn take_in_once(&self) -> Result<usize, Error> {
        let mut settled = 0;
        let mut trouble = None;
        for delivery in self.store().new_deliveries(BATCH).await? {
            match self.settle(&delivery).await {
                Ok(()) => settled += 1,
                // One repository that is away must not hold back the others.
                Err(error) => trouble = Some(error),
            }
        }
        match trouble {
            Some(error) if settled == 0 => Err(error),
            Some(_) | None => Ok(settled),
        }
    }

    async fn settle(&self, delivery: &DeliveryRow) -> Result<(), Error> {
        let (state, note) = match self.work_on(delivery).await {
            Ok(result) => result,
            Err(error) if error.is_passing() => return Err(error),
            Err(error) => (DeliveryState::Failed, error.to_string()),
        };
        let note: String = note.chars().take(MAX_NOTE).collect();
        Ok(self.store().settle_delivery(delivery, state, &note).await?)
    }

    async fn work_on(&self, delivery: &DeliveryRow) -> Result<(DeliveryState, String), Error> {
        let ignored = |why: String| Ok((DeliveryState::Ignored, why));
        let Some(repo) = self.store().repo_by_hook(&delivery.hook).await? else {
            return ignored("the repository is no longer watched".to_owned());
        };
        let occasion = match occasion::read(delivery, &repo) {
            Ok(occasion) => occasion,
            Err(why) => return ignored(why),
        };
        if occasion.deleted {
            return ignored("the ref is gone".to_owned());
        }
        let mirror = self.fetched(&repo, &occasion.refs).await?;
        let Some(commit) = self.commit_of(&mirror, &repo, &occasion).await? else {
            return ignored("the commit is not in the repository any more".to_owned());
        };
        let runs = self.runs_of(delivery, &repo, &occasion, (&mirror, &commit)).await?;
        Ok((DeliveryState::Done, runs.join("\n")))
    }

    /// The commit whose workflow files count: the event's, else the head of the default branch.
    async fn commit_of(
        &self,
        mirror: &Mirror,
        repo: &RepoRow,
        occasion: &Occasion,
    ) -> Result<Option<CommitId>, Error> {
        match &occasion.event.sha {
            Some(sha) => {
                let id = CommitId::new(sha)?;
                Ok(mirror.has(&id).await?.then_some(id))
            }
            None => Ok(mirror.resolve(&format!("refs/heads/{}", repo.default_branch)).await?),
        }
    }

    /// Plans every workflow file and submits what fires; a line for each plan.
    async fn runs_of(
        &self,
        delivery: &DeliveryRow,
        repo: &RepoRow,
        occasion: &Occasion,
        (mirror, commit): (&Mirror, &CommitId),
    ) -> Result<Vec<String>, Error> {
        let event = &occasion.event;
        let changed = changed(mirror, repo, occasion, commit).await?;
        let view = self.view(mirror.folder(), commit, event.before.as_deref()).await?;
        let files = self.workflow_files(&view).await?;
        if event.branch.as_deref() == Some(&repo.default_branch) && event.pull_request.is_none() {
            self.register(&repo.name, commit, (&view, &files)).await?;
        }
        let message = match &occasion.message {
            Some(message) => Some(message.clone()),
            None => mirror.message(commit).await.ok(),
        };
        let trust = if occasion.is_stranger { Trust::Untrusted } else { Trust::Own };
        let whom = For { repo: &repo.name, event: Some(event), inputs: Map::new(), trust };
        let mut lines = Vec::new();
        for file in &files {
            let planned = self.plan_file(&view, &file.path, &whom).await?;
            let evaluated = match planned.plans {
                Ok(evaluated) => evaluated,
                Err(problems) => {
                    lines.push(format!("{}: {}", file.path, Error::Invalid(problems)));
                    continue;
                }
            };
            for workflow in &*evaluated.workflows {
                let plan = &workflow.sealed.plan;
                let name = format!("{} ({})", plan.name, file.path);
                let happening = Happening {
                    event,
                    changed: match &changed {
                        ChangedFiles::Unknown => Changed::Unknown,
                        ChangedFiles::Known(files) => Changed::Files(files),
                    },
                    message: message.as_deref(),
                    deleted: false,
                };
                if let Conclusion::Skipped { reason, .. } = conclude(&plan.triggers, &happening) {
                    lines.push(format!("{name}: skipped, {reason}"));
                    continue;
                }
                if occasion.is_stranger {
                    // This server has no pool whose runners a stranger may have.
                    lines.push(format!("{name}: planned, not run: the change is from a fork"));
                    continue;
                }
                let cause = format!("{} {} {}", delivery.forge, delivery.hook, delivery.id);
                let id = self.id_of(&cause, &name).await?;
                self.submit_run(Wanted {
                    id: id.clone(),
                    mirror,
                    commit,
                    file: &file.path,
                    evaluated: &evaluated,
                    workflow,
                    event: event.clone(),
                    inputs: Map::new(),
                })
                .await?;
                lines.push(format!("{name}: run {id}"));
            }
        }
        Ok(lines)
    }

    /// Waits for something new; `false`: the server stops.
    pub(crate) async fn rest(&self, changes: &mut tokio::sync::watch::Receiver<u64>) -> bool {
        let parts = self.parts();
        tokio::select! {
            () = parts.stop.reached(plue_runtime::Phase::Draining) => false,
            Ok(()) = changes.changed() => true,
            () = parts.clock.sleep(parts.options.poll) => true,
        }
    }
}

async fn changed(
    mirror: &Mirror,
    repo: &RepoRow,
    occasion: &Occasion,
    commit: &CommitId,
) -> Result<ChangedFiles, Error> {
    let default = format!("refs/heads/{}", repo.default_branch);
    let event = &occasion.event;
    if let Some(pr) = &event.pull_request {
        let base = CommitId::new(&pr.base.sha).ok();
        let base = match base {
            Some(base) => Some(base),
            None => mirror.resolve(&format!("refs/heads/{}", pr.base.git_ref)).await?,
        };
        let Some(base) = base else { return Ok(ChangedFiles::Unknown) };
        return Ok(mirror.changed_files(Since::PullRequest { base: &base }, commit).await?);
    }
    let before = event.before.as_deref().and_then(|before| CommitId::new(before).ok());
    // The default branch is what others are compared with, not itself.
    let is_default = event.branch.as_deref() == Some(repo.default_branch.as_str());
    let default_branch = (!is_default).then_some(default.as_str());
    let since = Since::Push { before: before.as_ref(), default_branch };
    Ok(mirror.changed_files(since, commit).await?)
}
