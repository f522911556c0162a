//! Services: processes beside the one of a step.
//!
//! A step with services is started behind an attendant, which is this program with another first
//! argument. It starts the services, waits until their ports are open, starts the step's own process,
//! and stops the services when that has ended. All of them are in the attendant's process group and
//! have the attempt's `PLUE_OUTPUT`, so that whoever ends the attempt ends them like everything else
//! that a step started, also when the attendant itself was killed.
//!
//! The order comes on standard input, its length in front: it holds secrets, which arguments and files
//! would show. What follows it there is an agent's. Must not know the engine.

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

mod attendant;
mod lines;

/// The first argument of an attendant.
pub const COMMAND: &str = "beside";

/// What an attendant is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    services: Vec<Wanted>,
    /// Variables of the step that services do not see.
    hidden: Vec<String>,
    /// Where it is written why the step's process was not started.
    refused: PathBuf,
    /// Whether standard input is the program's from here on.
    is_agent: bool,
}

/// Bytes of an order.
const MAX_ORDER_BYTES: usize = 16 * 1024 * 1024;

/// One service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Wanted {
    run: String,
    port: u16,
    env: Vec<(String, String)>,
}

// === impl Order ===

impl Order {
    pub(crate) fn of(services: &[Service], hidden: &[String], files: &mut AttemptFiles) -> Self {
        let wanted = |service: &Service| {
            let secrets = service.secrets.iter();
            let secrets = secrets
                .map(|(name, text)| (name.clone(), String::from_utf8_lossy(&text.0).into_owned()));
            Wanted {
                run: service.run.clone(),
                port: service.port,
                env: service.env.iter().cloned().chain(secrets).collect(),
            }
        };
        Self {
            services: services.iter().map(wanted).collect(),
            hidden: hidden.to_vec(),
            refused: files.refused(),
            is_agent: false,
        }
    }

    /// The same for a program that reads on where the order ends.
    pub(crate) fn for_agent(self) -> Self {
        Self { is_agent: true, ..self }
    }

    /// The order as it goes over standard input.
    pub(crate) fn frame(&self) -> Result<Vec<u8>, Exit> {
        self.bytes().map_err(|error| Exit::Infra(undescribed(&error)))
    }

    fn bytes(&self) -> io::Result<Vec<u8>> {
        let text = serde_json::to_vec(self)?;
        let length = u32::try_from(text.len()).map_err(io::Error::other)?;
        Ok([length.to_le_bytes().as_slice(), &text].concat())
    }

    /// A file in memory that holds it, to be read from its beginning.
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

    /// Reads an order and not one byte more.
    fn read() -> io::Result<Self> {
        let mut input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        let mut length = [0; 4];
        input.read_exact(&mut length)?;
        let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
        if length > MAX_ORDER_BYTES {
            return Err(io::Error::other("the order is too long"));
        }
        let mut text = vec![0; length];
        input.read_exact(&mut text)?;
        serde_json::from_slice(&text).map_err(io::Error::other)
    }
}

fn undescribed(error: &io::Error) -> String {
    format!("the services cannot be described: {error}")
}

/// The command of an attendant of this program.
pub(crate) fn command(
    (program, arguments): (PathBuf, Vec<OsString>),
) -> Result<(PathBuf, Vec<OsString>), Exit> {
    let own = std::env::current_exe()
        .map_err(|error| Exit::Infra(format!("plue-runner does not find itself: {error}")))?;
    let front = [OsString::from(COMMAND), program.into_os_string()];
    Ok((own, front.into_iter().chain(arguments).collect()))
}

/// The attendant. `arguments`: the step's program and its arguments.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let order = Order::read();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let (order, runtime) = match (order, runtime) {
        (Ok(order), Ok(runtime)) => (order, runtime),
        (Err(error), _) | (_, Err(error)) => {
            let _unheard = writeln!(io::stderr(), "plue-runner beside: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = match runtime.block_on(attendant::attend(&order, arguments.collect())) {
        Ok(code) => code,
        Err(why) => {
            let _told_below = std::fs::write(&order.refused, &why);
            let _unheard = writeln!(io::stderr(), "{why}");
            1
        }
    };
    ExitCode::from(code)
}
