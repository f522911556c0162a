//! From an assignment to a process: program, arguments, environment, working directory.
//!
//! Every fault of an assignment is found here, before a process starts. Must not wait.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs, io,
    os::fd::OwnedFd,
    os::unix::{
        ffi::OsStrExt as _, ffi::OsStringExt as _, fs::PermissionsExt as _, net::UnixStream,
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use plue_wire::runner::{Assign, Exit, Program};

use crate::{
    agent, python,
    services::{self, ServicesInput},
    workspace::{AttemptFiles, Workspace},
};

/// Bytes of a command text that still fit into an argument; Linux allows 128 KiB for each.
const MAX_ARGUMENT_BYTES: usize = 120 * 1024;

/// Environment of a process, complete.
pub(crate) type Environment = BTreeMap<OsString, OsString>;

/// The environment and working directory of a process.
#[derive(Debug)]
pub(crate) struct LaunchContext {
    pub(crate) environment: Environment,
    pub(crate) directory: PathBuf,
    /// Names of variables with secrets of the step.
    secrets: Vec<String>,
}

/// A process that was started, with the ends of its output that are to be read.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
    /// The socket to an agent's attendant, and the bytes that precede all orders.
    pub(crate) agent: Option<(UnixStream, Vec<u8>)>,
}

// === impl LaunchContext ===

impl LaunchContext {
    /// Working directory and environment of an assignment.
    ///
    /// # Errors
    /// [`Exit::Refused`] when the step is at fault, [`Exit::Infra`] when the machine is.
    pub(crate) fn of(
        assign: &Assign,
        workspace: &mut Workspace,
        files: &AttemptFiles,
    ) -> Result<Self, Exit> {
        Ok(Self {
            directory: directory(workspace, assign.cwd.as_deref())?,
            environment: environment(assign, workspace, files)?,
            secrets: assign.secrets.iter().map(|(name, _)| name.clone()).collect(),
        })
    }

    /// The context of a process that belongs to no step.
    pub(crate) fn bare(environment: Environment, directory: PathBuf) -> Self {
        Self { environment, directory, secrets: Vec::new() }
    }

    /// Starts a program here, with pipes for its output and nothing to read.
    ///
    /// # Errors
    /// The errors of [`LaunchContext::of`].
    pub(crate) fn start(
        &self,
        launched: &Program,
        files: &mut AttemptFiles,
    ) -> Result<Process, Exit> {
        let (input, (program, arguments)) = match launched {
            Program::WithServices { program, services } => {
                let started = self::program(program, &self.environment, files)?;
                let services_input = ServicesInput::of(services, &self.secrets, files);
                let input = match &**program {
                    Program::Agent => Input::socket(services_input.for_agent().frame()?)?,
                    Program::McpAgent { servers } => {
                        let front = services_input.for_agent().frame()?;
                        let servers = agent::servers_frame(servers, &self.secrets)?;
                        Input::socket([front, servers].concat())?
                    }
                    Program::Shell { .. }
                    | Program::PythonCode { .. }
                    | Program::PythonScript { .. }
                    | Program::WithServices { .. } => Input::file(services_input.file()?),
                };
                (input, services::command(started.0, started.1)?)
            }
            Program::Agent => {
                (Input::socket(Vec::new())?, program(launched, &self.environment, files)?)
            }
            Program::McpAgent { servers } => {
                let prelude = agent::servers_frame(servers, &self.secrets)?;
                (Input::socket(prelude)?, program(launched, &self.environment, files)?)
            }
            Program::Shell { .. } | Program::PythonCode { .. } | Program::PythonScript { .. } => {
                (Input::nothing(), program(launched, &self.environment, files)?)
            }
        };
        let mut command = Command::new(&program);
        command
            .args(&arguments)
            .env_clear()
            .envs(&self.environment)
            .current_dir(&self.directory)
            .process_group(0)
            .stdin(input.stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = command.spawn().map_err(|error| spawn_failure(&program, &error))?;
        let pid = child.id().cast_signed();
        match (child.stdout, child.stderr) {
            (Some(stdout), Some(stderr)) => {
                let (stdout, stderr) = (stdout.into(), stderr.into());
                Ok(Process { pid, stdout, stderr, agent: input.agent })
            }
            // Cannot happen: both were requested.
            (None, _) | (_, None) => Err(Exit::Infra("the process has no pipes".to_owned())),
        }
    }
}

/// Standard input of a process.
struct Input {
    stdin: Stdio,
    agent: Option<(UnixStream, Vec<u8>)>,
}

// === impl Input ===

impl Input {
    fn nothing() -> Self {
        Self { stdin: Stdio::null(), agent: None }
    }

    fn file(file: fs::File) -> Self {
        Self { stdin: file.into(), agent: None }
    }

    /// A socket to an attendant. Unlike a pipe it cannot be opened by others through `/proc`.
    fn socket(prelude: Vec<u8>) -> Result<Self, Exit> {
        let (ours, theirs) = UnixStream::pair()
            .map_err(|error| Exit::Infra(format!("a socket cannot be made: {error}")))?;
        let theirs: OwnedFd = theirs.into();
        Ok(Self { stdin: theirs.into(), agent: Some((ours, prelude)) })
    }
}

/// The exit for a process that did not start: the fault of the step or of the machine.
fn spawn_failure(program: &Path, error: &io::Error) -> Exit {
    let message = format!("{} cannot be started: {error}", program.display());
    match error.raw_os_error() {
        Some(libc::E2BIG) => Exit::Refused(format!(
            "{message}; the environment and arguments are too large, hand big values over in a file"
        )),
        Some(libc::ENOENT | libc::EACCES | libc::ENOTDIR | libc::ENOEXEC | libc::ELOOP) => {
            Exit::Refused(message)
        }
        _ => Exit::Infra(message),
    }
}

fn directory(workspace: &Workspace, cwd: Option<&str>) -> Result<PathBuf, Exit> {
    let Some(cwd) = cwd else {
        return Ok(workspace.root.clone());
    };
    let found = fs::canonicalize(workspace.root.join(cwd))
        .map_err(|error| Exit::Refused(format!("working directory {cwd:?}: {error}")))?;
    if !found.starts_with(&workspace.root) {
        return Err(Exit::Refused(format!("working directory {cwd:?} is outside the workspace")));
    }
    if !found.is_dir() {
        return Err(Exit::Refused(format!("working directory {cwd:?} is not a directory")));
    }
    Ok(found)
}

fn environment(
    assign: &Assign,
    workspace: &mut Workspace,
    files: &AttemptFiles,
) -> Result<Environment, Exit> {
    let mut environment = workspace.inherited.clone();
    for (name, value) in &assign.env {
        set(&mut environment, name, value.as_bytes())?;
    }
    for (name, value) in &assign.secrets {
        set(&mut environment, name, &value.0)?;
    }
    let event = workspace.event(&assign.event_json);
    let event =
        event.map_err(|error| Exit::Infra(format!("the event cannot be written: {error}")))?;
    environment.insert("PLUE_EVENT_PATH".into(), event.into());
    environment.insert("PLUE_OUTPUT".into(), files.output().into());
    environment.insert("PLUE_WORKSPACE".into(), workspace.root.clone().into());
    Ok(environment)
}

fn set(environment: &mut Environment, name: &str, value: &[u8]) -> Result<(), Exit> {
    let bad_name = name.is_empty() || name.contains(['=', '\0']);
    if bad_name || value.contains(&0) {
        return Err(Exit::Refused(format!(
            "environment variable {name:?} cannot be set: a name has no `=`, and neither has a NUL byte"
        )));
    }
    environment.insert(name.into(), OsString::from_vec(value.to_vec()));
    Ok(())
}

fn program(
    program: &Program,
    environment: &Environment,
    files: &mut AttemptFiles,
) -> Result<(PathBuf, Vec<OsString>), Exit> {
    match program {
        Program::Shell { shell, run } => {
            let flags: &[&str] = match shell.as_str() {
                "bash" => &["-euo", "pipefail"],
                "sh" => &["-eu"],
                other => {
                    return Err(Exit::Refused(format!(
                        "shell {other:?} is not known; use \"bash\" or \"sh\""
                    )));
                }
            };
            refuse_nul("the command", run)?;
            let mut arguments: Vec<OsString> = flags.iter().map(OsString::from).collect();
            if run.len() < MAX_ARGUMENT_BYTES {
                arguments.extend(["-c".into(), run.into()]);
            } else {
                arguments.push(source(files, "sh", run)?.into());
            }
            Ok((find(shell, environment)?, arguments))
        }
        Program::PythonCode { code, call, args } => {
            let code = source(files, "py", code)?;
            let returned = files.returned();
            let arguments = python::code_arguments(&code, call.as_deref(), &returned, args);
            Ok((find("python3", environment)?, arguments))
        }
        Program::Agent => {
            files.returned();
            agent::command()
        }
        Program::McpAgent { .. } => {
            files.returned();
            agent::command_with_servers()
        }
        Program::WithServices { .. } => {
            Err(Exit::Refused("services of services are not known".to_owned()))
        }
        Program::PythonScript { script, args } => {
            refuse_nul("the script's path", script)?;
            let mut arguments: Vec<OsString> = vec!["-u".into(), script.into()];
            arguments.extend(args.iter().map(OsString::from));
            Ok((find("python3", environment)?, arguments))
        }
    }
}

fn refuse_nul(what: &str, text: &str) -> Result<(), Exit> {
    if text.contains('\0') {
        return Err(Exit::Refused(format!("{what} has a NUL byte")));
    }
    Ok(())
}

fn source(files: &mut AttemptFiles, extension: &str, text: &str) -> Result<PathBuf, Exit> {
    let written = files.source(extension, text);
    written.map_err(|error| Exit::Infra(format!("the step's source cannot be written: {error}")))
}

/// Looks a program up on the step's own PATH: an absolute path starts fastest, and a missing
/// program is reported by name.
pub(crate) fn find(name: &str, environment: &Environment) -> Result<PathBuf, Exit> {
    let path = environment.get(OsStr::new("PATH")).map(OsString::as_os_str);
    let path = path.unwrap_or(OsStr::new("/usr/local/bin:/usr/bin:/bin"));
    let folders = path.as_bytes().split(|byte| *byte == b':');
    let mut candidates = folders
        .filter(|folder| !folder.is_empty())
        .map(|folder| Path::new(OsStr::from_bytes(folder)).join(name));
    let found = candidates.find(|candidate| {
        fs::metadata(candidate)
            .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    });
    found.ok_or_else(|| {
        Exit::Refused(format!(
            "{name} was not found on PATH ({}); install it on the runner or set PATH in the step's env",
            path.to_string_lossy()
        ))
    })
}
