//! Services: sidecar processes of a step.
//!
//! A step with services is started by a supervisor, which is this program with another first
//! argument. It starts the services, waits until their ports are open, starts the step's own
//! process, and stops the services when that has ended. All of them are in the supervisor's process
//! group and have the attempt's `PLUE_OUTPUT`, so that the end of the attempt ends them like every
//! other process of the step, also when the supervisor itself was killed.
//!
//! The input comes on standard input after its length: it contains secrets, which arguments and
//! files would expose. The bytes after it belong to an agent. Must not know the engine.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read as _, Seek as _, Write as _},
    os::fd::AsFd as _,
    path::PathBuf,
    process::ExitCode,
};

use plue_wire::runner::{Exit, Service};
use serde::{Deserialize, Serialize};

use crate::workspace::AttemptFiles;

mod lines;
mod supervisor;

/// The first argument of a supervisor.
pub const COMMAND: &str = "services";

/// The input of a supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServicesInput {
    services: Vec<ServiceSpec>,
    /// Variables of the step that services do not see.
    hidden: Vec<String>,
    /// File for the reason for which the step's process was not started.
    refused: PathBuf,
    /// Whether standard input is the program's from here on.
    is_agent: bool,
}

/// Bytes of an input.
const MAX_INPUT_BYTES: usize = 16 * 1024 * 1024;

/// The command, port and environment of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ServiceSpec {
    run: String,
    port: u16,
    env: Vec<(String, String)>,
}

// === impl ServicesInput ===

impl ServicesInput {
    pub(crate) fn of(services: &[Service], hidden: &[String], files: &mut AttemptFiles) -> Self {
        let spec = |service: &Service| {
            let secrets = service.secrets.iter();
            let secrets = secrets
                .map(|(name, text)| (name.clone(), String::from_utf8_lossy(&text.0).into_owned()));
            ServiceSpec {
                run: service.run.clone(),
                port: service.port,
                env: service.env.iter().cloned().chain(secrets).collect(),
            }
        };
        Self {
            services: services.iter().map(spec).collect(),
            hidden: hidden.to_vec(),
            refused: files.refused(),
            is_agent: false,
        }
    }

    /// The same for a program that reads on after the input.
    pub(crate) fn for_agent(self) -> Self {
        Self { is_agent: true, ..self }
    }

    /// The input as it goes over standard input.
    pub(crate) fn frame(&self) -> Result<Vec<u8>, Exit> {
        self.bytes().map_err(|error| Exit::Infra(undescribed(&error)))
    }

    fn bytes(&self) -> io::Result<Vec<u8>> {
        let text = serde_json::to_vec(self)?;
        let length = u32::try_from(text.len()).map_err(io::Error::other)?;
        Ok([length.to_le_bytes().as_slice(), &text].concat())
    }

    /// A file in memory with the input, at its beginning.
    pub(crate) fn file(&self) -> Result<File, Exit> {
        let write = || -> io::Result<File> {
            let flags = rustix::fs::MemfdFlags::CLOEXEC;
            let mut file = File::from(rustix::fs::memfd_create("plue-services", flags)?);
            file.write_all(&self.bytes()?)?;
            file.rewind()?;
            Ok(file)
        };
        write().map_err(|error| Exit::Infra(undescribed(&error)))
    }

    /// Reads an input and not one byte more.
    fn read() -> io::Result<Self> {
        let mut stdin = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        let mut length = [0; 4];
        stdin.read_exact(&mut length)?;
        let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
        if length > MAX_INPUT_BYTES {
            return Err(io::Error::other("the input is too long"));
        }
        let mut text = vec![0; length];
        stdin.read_exact(&mut text)?;
        serde_json::from_slice(&text).map_err(io::Error::other)
    }
}

fn undescribed(error: &io::Error) -> String {
    format!("the services cannot be described: {error}")
}

/// The command of a supervisor of this program.
pub(crate) fn command(
    program: PathBuf,
    arguments: Vec<OsString>,
) -> Result<(PathBuf, Vec<OsString>), Exit> {
    let own = std::env::current_exe()
        .map_err(|error| Exit::Infra(format!("plue-runner does not find itself: {error}")))?;
    let front = [OsString::from(COMMAND), program.into_os_string()];
    Ok((own, front.into_iter().chain(arguments).collect()))
}

/// The supervisor. `arguments`: the step's program and its arguments.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let input = ServicesInput::read();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let (input, runtime) = match (input, runtime) {
        (Ok(input), Ok(runtime)) => (input, runtime),
        (Err(error), _) | (_, Err(error)) => {
            let _closed = writeln!(io::stderr(), "plue-runner services: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = match runtime.block_on(supervisor::run(&input, arguments.collect())) {
        Ok(code) => code,
        Err(why) => {
            let _reported_below = std::fs::write(&input.refused, &why);
            let _closed = writeln!(io::stderr(), "{why}");
            1
        }
    };
    ExitCode::from(code)
}
