//! The supervisor: starts the services, runs the step, stops the services.

use std::{
    ffi::OsString,
    future::{Future as _, poll_fn},
    io::Write as _,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    os::unix::process::ExitStatusExt as _,
    pin::pin,
    process::{ExitStatus, Stdio},
    task::Poll,
    time::Duration,
};

use plue_runtime::{Clock, Tasks};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
};

use super::{ServiceSpec, ServicesInput, lines};
use crate::codes::{SERVICE, SERVICE_ENDED};

/// Time limit for a service to open its port.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Interval between two checks of a port.
const LOOK: Duration = Duration::from_millis(20);
/// Time limit of one check.
const LOOK_WITHIN: Duration = Duration::from_millis(200);
/// Between TERM and KILL of a service.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);
/// Time limit for the last lines of services.
const LAST_LINES: Duration = Duration::from_millis(200);
/// Characters of a command that messages show.
const MAX_SHOWN: usize = 60;

/// A service that runs.
struct Running {
    name: String,
    child: Child,
    lines: [JoinHandle<()>; 2],
}

/// Runs the step's program with its services; returns its exit status.
///
/// # Errors
/// The reason for which the program was not started, for the author.
pub(super) async fn run(input: &ServicesInput, program: Vec<OsString>) -> Result<u8, String> {
    let (clock, tasks) = (Clock::real(), Tasks::new());
    // Signals go to the whole process group; this process must outlive the others.
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    let _outlived = signal(SignalKind::interrupt()).map_err(|error| error.to_string())?;
    let mut running = Vec::new();
    let ended = {
        let up = up(input, &mut running, clock, &tasks);
        tokio::select! {
            up = up => match up {
                Ok(()) => None,
                Err(why) => Some(Err(why)),
            },
            _ = terminate.recv() => Some(Ok(128 + 15)),
        }
    };
    let ended = match ended {
        Some(ended) => ended,
        None => step(program, input, &mut running).await,
    };
    down(&mut running, clock).await;
    ended
}

/// Starts all services, and waits until all are ready.
async fn up(
    input: &ServicesInput,
    running: &mut Vec<Running>,
    clock: Clock,
    tasks: &Tasks,
) -> Result<(), String> {
    for spec in &input.services {
        if is_open(spec.port, clock).await {
            return Err(format!(
                "{SERVICE}: the service {} cannot have port {}: something else on this machine has it",
                shown(spec),
                spec.port
            ));
        }
        running.push(start(spec, &input.hidden, tasks)?);
    }
    let started = clock.mark();
    for (at, spec) in input.services.iter().enumerate() {
        loop {
            for (other, service) in input.services.iter().zip(running.iter_mut()) {
                if let Ok(Some(status)) = service.child.try_wait() {
                    return Err(too_early(other, status));
                }
            }
            if is_open(spec.port, clock).await {
                break;
            }
            if clock.elapsed(started) >= READY_WITHIN {
                return Err(format!(
                    "{SERVICE}: the service {} has not opened its port {} within {} s",
                    shown(spec),
                    spec.port,
                    READY_WITHIN.as_secs()
                ));
            }
            clock.sleep(LOOK).await;
        }
        if let Some(service) = running.get(at) {
            print(&format!("[{}] ready on port {}", service.name, spec.port));
        }
    }
    Ok(())
}

fn start(spec: &ServiceSpec, hidden: &[String], tasks: &Tasks) -> Result<Running, String> {
    let mut command = Command::new("bash");
    command
        .args(["-euo", "pipefail", "-c", &spec.run])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for name in hidden {
        command.env_remove(name);
    }
    command.envs(spec.env.iter().map(|(name, value)| (name, value)));
    let mut child = command.spawn().map_err(|error| {
        format!("{SERVICE}: the service {} cannot be started: {error}", shown(spec))
    })?;
    let name = name(spec);
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err("the service has no pipes".to_owned());
    };
    let lines = [
        tasks.spawn("stdout", lines::copy(name.clone(), stdout)),
        tasks.spawn("stderr", lines::copy(name.clone(), stderr)),
    ];
    Ok(Running { name, child, lines })
}

fn too_early(spec: &ServiceSpec, status: ExitStatus) -> String {
    let hint = if status.code() == Some(127) {
        "; runners of this machine start no containers: write the command of the service, like \
         Service(\"redis-server --port 6379\", 6379)"
    } else {
        ""
    };
    format!(
        "{SERVICE}: the service {} ended ({status}) before its port {} was open{hint}",
        shown(spec),
        spec.port
    )
}

/// The step's own program, until it ends, or a service does.
async fn step(
    program: Vec<OsString>,
    input: &ServicesInput,
    running: &mut [Running],
) -> Result<u8, String> {
    let services = &input.services;
    let mut program = program.into_iter();
    let first = program.next().ok_or("there is no program")?;
    let stdin = if input.is_agent { Stdio::inherit() } else { Stdio::null() };
    let spawned = Command::new(&first).args(program).stdin(stdin).spawn();
    let mut child =
        spawned.map_err(|error| format!("{} cannot be started: {error}", first.display()))?;
    let status = tokio::select! {
        biased;
        status = child.wait() => status.map_err(|error| error.to_string())?,
        (at, status) = first_end(running) => {
            // The runner ends the processes of this child together with the attempt.
            let _gone = child.start_kill();
            let _reaped = child.wait().await;
            return Err(services.get(at).map_or_else(String::new, |service| too_soon(service, status)));
        }
    };
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    Ok(u8::try_from(code.unwrap_or(1)).unwrap_or(u8::MAX))
}

/// The first service that ends, and how.
async fn first_end(running: &mut [Running]) -> (usize, String) {
    poll_fn(|context| {
        for (at, service) in running.iter_mut().enumerate() {
            if let Poll::Ready(ended) = pin!(service.child.wait()).poll(context) {
                let how = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
                return Poll::Ready((at, how));
            }
        }
        Poll::Pending
    })
    .await
}

fn too_soon(spec: &ServiceSpec, how: String) -> String {
    format!("{SERVICE_ENDED}: the service {} ended ({how}) while the step ran", shown(spec))
}

/// Stops the services, the last one first. The runner kills the orphans that they leave.
async fn down(running: &mut [Running], clock: Clock) {
    let since = clock.mark();
    for service in running.iter_mut().rev() {
        let pid = service.child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        if let Some(pid) = pid {
            let _gone = kill_process(pid, Signal::TERM);
        }
    }
    for service in running.iter_mut().rev() {
        let left = LEAVE_WITHIN.saturating_sub(clock.elapsed(since));
        tokio::select! {
            _ = service.child.wait() => {}
            () = clock.sleep(left) => {
                let _gone = service.child.start_kill();
                let _reaped = service.child.wait().await;
            }
        }
    }
    let since = clock.mark();
    for lines in running.iter_mut().flat_map(|service| &mut service.lines) {
        let left = LAST_LINES.saturating_sub(clock.elapsed(since));
        tokio::select! {
            _ = lines => {}
            () = clock.sleep(left) => {}
        }
    }
}

async fn is_open(port: u16, clock: Clock) -> bool {
    for address in [
        SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
    ] {
        let open = tokio::select! {
            connected = TcpStream::connect(address) => connected.is_ok(),
            () = clock.sleep(LOOK_WITHIN) => false,
        };
        if open {
            return true;
        }
    }
    false
}

fn shown(spec: &ServiceSpec) -> String {
    let mut text: String = spec.run.chars().take(MAX_SHOWN).collect();
    if text.len() < spec.run.len() {
        text.push('…');
    }
    format!("{text:?}")
}

/// The prefix of its lines: its program and its port.
fn name(spec: &ServiceSpec) -> String {
    let program = spec.run.split_whitespace().next().unwrap_or("service");
    let program = program.rsplit('/').next().unwrap_or(program);
    format!("{program}:{}", spec.port)
}

fn print(line: &str) {
    let _closed = writeln!(std::io::stderr(), "{line}");
}
