//! A pod of the API server in the machine's words.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition, PodStatus};
use plue_plan::RunnerId;

use crate::{
    machine::{PodEnd, PodObstacle, PodPhase, PodUid, PodView},
    pod::{Owner, RUNNER_LABEL},
};

/// Characters of a reason that is kept: it is shown on steps and stored.
const REASON_LIMIT: usize = 300;

/// Reasons of the kubelet for a container that cannot start. `ErrImagePull` is missing: the kubelet
/// tries again, and reports `ImagePullBackOff` if that fails.
const BROKEN: &[&str] = &[
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ImagePullBackOff",
    "InvalidImageName",
    "RunContainerError",
];

/// `None`: it is no pod of a runner.
pub(crate) fn pod(pod: &Pod, owner: &Owner) -> Option<PodView> {
    let meta = &pod.metadata;
    let label = meta.labels.as_ref()?.get(RUNNER_LABEL)?;
    let status = pod.status.clone().unwrap_or_default();
    let owners = meta.owner_references.as_deref().unwrap_or_default();
    Some(PodView {
        name: meta.name.clone()?,
        uid: PodUid(meta.uid.clone()?),
        runner: RunnerId::new(label.clone()),
        owned: owners.iter().any(|one| one.uid == owner.uid),
        created_at: meta.creation_timestamp.as_ref().map_or(Timestamp::MIN, |time| time.0),
        phase: phase(&status),
        deleting: meta.deletion_timestamp.is_some(),
        restarted: containers(&status).any(|one| one.restart_count > 0),
        obstacle: obstacle(&status),
    })
}

fn containers(status: &PodStatus) -> impl Iterator<Item = &ContainerStatus> {
    status.init_container_statuses.iter().chain(&status.container_statuses).flatten()
}

fn conditions(status: &PodStatus) -> impl Iterator<Item = &PodCondition> {
    status.conditions.iter().flatten()
}

fn phase(status: &PodStatus) -> PodPhase {
    match status.phase.as_deref() {
        Some("Succeeded" | "Failed") => PodPhase::Ended(end(status)),
        Some("Running") => PodPhase::Running,
        Some(_) | None => PodPhase::Pending,
    }
}

fn end(status: &PodStatus) -> PodEnd {
    let disruption = conditions(status).find(|one| one.type_ == "DisruptionTarget");
    let cause = disruption.and_then(|one| one.reason.as_deref()).or(status.reason.as_deref());
    let killed = containers(status).any(|one| {
        let ended = one.state.as_ref().and_then(|state| state.terminated.as_ref());
        ended.is_some_and(|ended| ended.reason.as_deref() == Some("OOMKilled"))
    });
    match cause {
        Some("Evicted" | "TerminationByKubelet") => PodEnd::Evicted,
        Some("PreemptionByScheduler" | "EvictionByEvictionAPI" | "Preempting") => PodEnd::Preempted,
        Some("DeletionByTaintManager" | "DeletionByPodGC" | "NodeLost" | "NodeShutdown") => {
            PodEnd::NodeLost
        }
        Some(_) | None if killed => PodEnd::OutOfMemory,
        Some(_) | None => PodEnd::Exited,
    }
}

fn obstacle(status: &PodStatus) -> Option<PodObstacle> {
    let broken = containers(status).find_map(|one| {
        let waiting = one.state.as_ref()?.waiting.as_ref()?;
        let reason = waiting.reason.as_deref().filter(|reason| BROKEN.contains(reason))?;
        Some(readable(reason, waiting.message.as_deref()))
    });
    if let Some(reason) = broken {
        return Some(PodObstacle::Broken(reason));
    }
    let scheduled = conditions(status).find(|one| one.type_ == "PodScheduled")?;
    let unschedulable =
        scheduled.status == "False" && scheduled.reason.as_deref() == Some("Unschedulable");
    unschedulable.then(|| {
        PodObstacle::Unschedulable(readable("Unschedulable", scheduled.message.as_deref()))
    })
}

/// Text of another program for people: bounded, on one line.
pub(crate) fn readable(reason: &str, message: Option<&str>) -> String {
    let text = message.map_or_else(|| reason.to_owned(), |message| format!("{reason}: {message}"));
    let line = text.chars().map(|one| if one.is_control() { ' ' } else { one });
    line.take(REASON_LIMIT).collect()
}
