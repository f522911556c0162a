//! The attendant at work: services up, step, services down.

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

use super::{Order, Wanted, lines};
use crate::codes::{SERVICE, SERVICE_ENDED};

/// How long a service may take until its port is open.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Between two looks at a port.
const LOOK: Duration = Duration::from_millis(20);
/// How long one look may take.
const LOOK_WITHIN: Duration = Duration::from_millis(200);
/// Between TERM and KILL of a service.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);
/// How long the last lines of services are waited for.
const LAST_LINES: Duration = Duration::from_millis(200);
/// Characters of a command that messages show.
const MAX_SHOWN: usize = 60;

/// A service that runs.
struct Running {
    name: String,
    child: Child,
    lines: [JoinHandle<()>; 2],
}

/// Runs the step's program beside the services; gives its exit status.
///
/// # Errors
/// A text for the author: why the program was not started.
pub(super) async fn attend(order: &Order, program: Vec<OsString>) -> Result<u8, String> {
    let (clock, tasks) = (Clock::real(), Tasks::new());
    // What ends the step is sent to all of it; this process must see the others out.
    let mut asked = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    let _outlived = signal(SignalKind::interrupt()).map_err(|error| error.to_string())?;
    let mut running = Vec::new();
    let ended = {
        let up = up(order, &mut running, (clock, &tasks));
        tokio::select! {
            up = up => match up {
                Ok(()) => None,
                Err(why) => Some(Err(why)),
            },
            _ = asked.recv() => Some(Ok(128 + 15)),
        }
    };
    let ended = match ended {
        Some(ended) => ended,
        None => step(program, order, &mut running).await,
    };
    down(&mut running, clock).await;
    ended
}

/// Starts all services, and waits until all are ready.
async fn up(
    order: &Order,
    running: &mut Vec<Running>,
    (clock, tasks): (Clock, &Tasks),
) -> Result<(), String> {
    for wanted in &order.services {
        if is_open(wanted.port, clock).await {
            return Err(format!(
                "{SERVICE}: the service {} cannot have port {}: something else on this machine has it",
                shown(wanted),
                wanted.port
            ));
        }
        running.push(start(wanted, &order.hidden, tasks)?);
    }
    let started = clock.mark();
    for (at, wanted) in order.services.iter().enumerate() {
        loop {
            for (other, service) in order.services.iter().zip(running.iter_mut()) {
                if let Ok(Some(status)) = service.child.try_wait() {
                    return Err(too_early(other, status));
                }
            }
            if is_open(wanted.port, clock).await {
                break;
            }
            if clock.elapsed(started) >= READY_WITHIN {
                return Err(format!(
                    "{SERVICE}: the service {} has not opened its port {} within {} s",
                    shown(wanted),
                    wanted.port,
                    READY_WITHIN.as_secs()
                ));
            }
            clock.sleep(LOOK).await;
        }
        if let Some(service) = running.get(at) {
            tell(&format!("[{}] ready on port {}", service.name, wanted.port));
        }
    }
    Ok(())
}

fn start(wanted: &Wanted, hidden: &[String], tasks: &Tasks) -> Result<Running, String> {
    let mut command = Command::new("bash");
    command
        .args(["-euo", "pipefail", "-c", &wanted.run])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for name in hidden {
        command.env_remove(name);
    }
    command.envs(wanted.env.iter().map(|(name, value)| (name, value)));
    let mut child = command.spawn().map_err(|error| {
        format!("{SERVICE}: the service {} cannot be started: {error}", shown(wanted))
    })?;
    let name = name(wanted);
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err("the service has no pipes".to_owned());
    };
    let lines = [
        tasks.spawn("stdout", lines::copy(name.clone(), stdout)),
        tasks.spawn("stderr", lines::copy(name.clone(), stderr)),
    ];
    Ok(Running { name, child, lines })
}

fn too_early(wanted: &Wanted, status: ExitStatus) -> String {
    let hint = if status.code() == Some(127) {
        "; runners of this machine start no containers: write the command of the service, like \
         Service(\"redis-server --port 6379\", 6379)"
    } else {
        ""
    };
    format!(
        "{SERVICE}: the service {} ended ({status}) before its port {} was open{hint}",
        shown(wanted),
        wanted.port
    )
}

/// The step's own program, until it ends, or a service does.
async fn step(
    program: Vec<OsString>,
    order: &Order,
    running: &mut [Running],
) -> Result<u8, String> {
    let services = &order.services;
    let mut program = program.into_iter();
    let first = program.next().ok_or("there is no program")?;
    let stdin = if order.is_agent { Stdio::inherit() } else { Stdio::null() };
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

fn too_soon(wanted: &Wanted, how: String) -> String {
    format!("{SERVICE_ENDED}: the service {} ended ({how}) while the step ran", shown(wanted))
}

/// Stops the services, the last one first. Whatever they leave behind is the runner's.
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

fn shown(wanted: &Wanted) -> String {
    let mut text: String = wanted.run.chars().take(MAX_SHOWN).collect();
    if text.len() < wanted.run.len() {
        text.push('…');
    }
    format!("{text:?}")
}

/// What stands in front of its lines: its program and its port.
fn name(wanted: &Wanted) -> String {
    let program = wanted.run.split_whitespace().next().unwrap_or("service");
    let program = program.rsplit('/').next().unwrap_or(program);
    format!("{program}:{}", wanted.port)
}

fn tell(line: &str) {
    let _unheard = writeln!(std::io::stderr(), "{line}");
}
