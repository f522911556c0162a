//! Runs: found, listed, shown, started, changed and followed.

use std::path::PathBuf;

use futures::Stream;
use plue_api::{
    commands::{DecisionRequest, RerunRequest, RetryRequest, RunRequest},
    records::{
        AttemptRecord, FactRecord, Page, RunRecord, StatusRecord, StepRecord,
        artifact::ArtifactRecord,
        retry::RetriedRecord,
        story::ExplainRecord,
        transcript::{AgentRecord, TranscriptRecord},
    },
};
use plue_plan::Plan;
use serde_json::{Value as Json, json};

use crate::{
    client::{Client, MAX_PAGE, Sink, encoded, with_query},
    error::{Error, Result},
};

/// Filters of a list of runs; `None` does not filter.
#[derive(Debug, Clone, Default)]
pub struct RunQuery {
    /// States, separated by commas.
    pub status: Option<String>,
    /// Name of the workflow.
    pub workflow: Option<String>,
    /// `owner/name` of the repository.
    pub repository: Option<String>,
    /// Name of the branch.
    pub branch: Option<String>,
    /// Type of the event.
    pub event: Option<String>,
    /// Earliest time of creation, RFC 3339.
    pub since: Option<String>,
}

/// A run as a person names it.
#[derive(Debug, Clone)]
pub struct RunReference {
    /// An id, the beginning of one, or `last`.
    pub text: String,
    /// Repository around the caller: `last` is its newest run, if it has one.
    pub repository: Option<String>,
    /// Folder around the caller on the machine of the API: `last` is its newest run, if it has one.
    pub folder: Option<PathBuf>,
}

// === impl RunQuery ===

impl RunQuery {
    fn target(&self) -> String {
        with_query(
            "/api/v1/runs",
            &[
                ("status", self.status.clone()),
                ("workflow", self.workflow.clone()),
                ("repository", self.repository.clone()),
                ("branch", self.branch.clone()),
                ("event", self.event.clone()),
                ("since", self.since.clone()),
            ],
        )
    }
}

/// Runs of the API.
#[derive(Debug, Clone, Copy)]
pub struct Runs<'c>(pub(crate) &'c Client);

// === impl Runs ===

impl<'c> Runs<'c> {
    /// The run that a person means.
    ///
    /// # Errors
    /// [`Error::NoRun`], [`Error::SeveralRuns`], or the call.
    pub async fn find(&self, reference: &RunReference) -> Result<RunRecord> {
        let RunReference { text, repository, folder } = reference;
        if text == "last"
            && let Some(repository) = repository
        {
            let path = "/api/v1/runs?limit=1&children=false";
            let target = with_query(path, &[("repository", Some(repository.clone()))]);
            // A repository that the server does not watch has no last run.
            let newest = self.0.get::<Page<RunRecord>>(&target).await.ok();
            if let Some(run) = newest.and_then(|page| page.items.into_iter().next()) {
                return Ok(run);
            }
        }
        let folder = folder.as_ref().filter(|_| text == "last");
        let folder = folder.map(|folder| folder.display().to_string());
        let parameters = [("id", Some(text.clone())), ("folder", folder)];
        let mut found: Vec<RunRecord> =
            self.0.get(&with_query("/api/v1/find/runs", &parameters)).await?;
        match (found.pop(), found.is_empty()) {
            (Some(one), true) => Ok(one),
            (Some(_), false) => Err(Error::SeveralRuns(text.clone())),
            (None, _) => Err(Error::NoRun(text.clone())),
        }
    }

    /// Runs, newest first.
    ///
    /// # Errors
    /// The call.
    pub async fn list(&self, query: &RunQuery, limit: usize) -> Result<Vec<RunRecord>> {
        self.0.pages(&query.target(), limit).await
    }

    /// The newest run of a workflow.
    ///
    /// # Errors
    /// The call.
    pub async fn last_of(&self, workflow: &str) -> Result<Option<RunRecord>> {
        let workflow = Some(workflow.to_owned());
        let query = RunQuery { workflow, ..RunQuery::default() };
        Ok(self.list(&query, 1).await?.into_iter().next())
    }

    /// A run.
    ///
    /// # Errors
    /// The call.
    pub async fn show(&self, run: &str) -> Result<RunRecord> {
        self.0.get(&of_run(run, "")).await
    }

    /// A run with its steps and everything that it waits for.
    ///
    /// # Errors
    /// The call.
    pub async fn status(&self, run: &str) -> Result<StatusRecord> {
        self.0.get(&of_run(run, "/status")).await
    }

    /// The steps of a run.
    ///
    /// # Errors
    /// The call.
    pub async fn steps(&self, run: &str) -> Result<Vec<StepRecord>> {
        self.0.get(&of_run(run, "/steps")).await
    }

    /// The attempts of all steps of a run.
    ///
    /// # Errors
    /// The call.
    pub async fn attempts(&self, run: &str) -> Result<Vec<AttemptRecord>> {
        self.0.get(&of_run(run, "/attempts")).await
    }

    /// The plan of a run.
    ///
    /// # Errors
    /// The call.
    pub async fn plan(&self, run: &str) -> Result<Plan> {
        self.0.get(&of_run(run, "/plan")).await
    }

    /// The reasons of a run and its steps, or of one step; times in words are in this zone.
    ///
    /// # Errors
    /// The call.
    pub async fn explanation(
        &self,
        run: &str,
        step: Option<&str>,
        zone: &str,
    ) -> Result<ExplainRecord> {
        let parameters = [("zone", Some(zone.to_owned())), ("step", step.map(str::to_owned))];
        self.0.get(&with_query(&of_run(run, "/explanation"), &parameters)).await
    }

    /// Facts of a run's journal as they come, until the run ends.
    pub fn events(&self, run: &str) -> impl Stream<Item = Result<FactRecord>> + use<'c> {
        self.0.events(of_run(run, "/events"))
    }

    /// Starts a run; the same key starts one run only.
    ///
    /// # Errors
    /// The call.
    pub async fn submit(&self, request: &RunRequest, key: &str) -> Result<RunRecord> {
        self.0.post_once("/api/v1/runs", request, key).await
    }

    /// Starts a run of the plan and event of another one; the same key starts one run only.
    ///
    /// # Errors
    /// The call.
    pub async fn rerun(&self, run: &str, request: &RerunRequest, key: &str) -> Result<RunRecord> {
        self.0.post_once(&of_run(run, "/rerun"), request, key).await
    }

    /// Reopens an ended run.
    ///
    /// # Errors
    /// The call.
    pub async fn retry(&self, run: &str, request: &RetryRequest) -> Result<RetriedRecord> {
        self.0.post(&of_run(run, "/retry"), request).await
    }

    /// Asks for a run to stop: TERM, grace, KILL; with `kill` without grace.
    ///
    /// # Errors
    /// The call.
    pub async fn cancel(&self, run: &str, kill: bool) -> Result<RunRecord> {
        self.0.post(&of_run(run, "/cancel"), &json!({ "kill": kill })).await
    }

    /// Answers a step that waits for a decision.
    ///
    /// # Errors
    /// The call.
    pub async fn decide(
        &self,
        run: &str,
        step: &str,
        decision: &DecisionRequest,
    ) -> Result<RunRecord> {
        self.0.post(&of_run(run, &format!("/steps/{}/decision", encoded(step))), decision).await
    }

    /// Answers a `call` step by its one-time token; `false`: it was answered before.
    ///
    /// # Errors
    /// The call.
    pub async fn answer_callback(&self, token: &str, output: &Json) -> Result<bool> {
        let answer: Json = self.0.post(&format!("/callbacks/{}", encoded(token)), output).await?;
        Ok(answer["status"] != "duplicate")
    }

    /// The files that the steps of a run stored.
    ///
    /// # Errors
    /// The call.
    pub async fn artifacts(&self, run: &str) -> Result<Vec<ArtifactRecord>> {
        self.0.get(&of_run(run, "/artifacts")).await
    }

    /// Hands over the bytes of an artifact, and checks their SHA-256.
    ///
    /// # Errors
    /// The call, or the sink.
    pub async fn artifact<E: From<Error>>(
        &self,
        run: &str,
        record: &ArtifactRecord,
        write: Sink<'_, E>,
    ) -> std::result::Result<(), E> {
        let (attempt, path) = (encoded(&record.attempt_id), encoded(&record.path));
        let target = of_run(run, &format!("/attempts/{attempt}/artifact?path={path}"));
        self.0.file(&target, &record.sha256, write).await
    }

    /// Hands over the bytes of a run as one file.
    ///
    /// # Errors
    /// The call, or the sink.
    pub async fn archive<E: From<Error>>(
        &self,
        run: &str,
        write: Sink<'_, E>,
    ) -> std::result::Result<(), E> {
        self.0.stream(&of_run(run, "/archive"), write).await.map(drop)
    }

    /// The agents that the agent of an attempt started.
    ///
    /// # Errors
    /// The call.
    pub async fn agents(&self, run: &str, attempt: &str) -> Result<Vec<AgentRecord>> {
        let target = of_run(run, &format!("/attempts/{}/agents", encoded(attempt)));
        let page: Page<AgentRecord> = self.0.get(&target).await?;
        Ok(page.items)
    }

    /// The facts of the transcript of an attempt or agent; with `search` those that contain a text.
    ///
    /// # Errors
    /// The call.
    pub async fn transcript(
        &self,
        run: &str,
        attempt: &str,
        search: Option<&str>,
    ) -> Result<Vec<TranscriptRecord>> {
        let target = of_run(run, &format!("/attempts/{}/transcript", encoded(attempt)));
        let target = with_query(&target, &[("q", search.map(str::to_owned))]);
        self.0.every_page(&target, MAX_PAGE).await
    }
}

/// The target of something about a run.
pub(crate) fn of_run(run: &str, rest: &str) -> String {
    format!("/api/v1/runs/{}{rest}", encoded(run))
}
