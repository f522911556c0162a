//! The systemd unit of a registered runner.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::Error;

/// Folder of units of the system.
const SYSTEM: &str = "/etc/systemd/system";
const NAME: &str = "plue-runner.service";

/// Writes the unit for this program and configuration; returns the next command, for people. Only root can.
pub(super) fn install(config: &Path) -> Result<String, Error> {
    let program = std::env::current_exe().map_err(Error::state(PathBuf::from("/proc/self/exe")))?;
    let text = text(&program, config)?;
    let path = Path::new(SYSTEM).join(NAME);
    fs::write(&path, text).map_err(Error::state(&path))?;
    Ok(format!("start it: systemctl enable --now {NAME}"))
}

fn text(program: &Path, config: &Path) -> Result<String, Error> {
    let (program, config) = (quoted(program)?, quoted(config)?);
    Ok(format!(
        "[Unit]\n\
         Description=plue runner\n\
         Documentation=https://example.invalid/plue/how-to/own-runners\n\
         Wants=network-online.target\n\
         After=network-online.target\n\
         \n\
         [Service]\n\
         ExecStart={program} run --config {config}\n\
         Restart=always\n\
         RestartSec=10\n\
         # Sent away by the server: removed, or its credential is wrong.\n\
         RestartPreventExitStatus=4\n\
         KillMode=mixed\n\
         TimeoutStopSec=90\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n"
    ))
}

/// A path as one argument of a unit.
fn quoted(path: &Path) -> Result<String, Error> {
    let text = path.to_str().filter(|text| !text.contains(['"', '\\', '\n', '%', '$']));
    let text = text.ok_or_else(|| {
        Error::Registration(format!("{} cannot stand in a systemd unit", path.display()))
    })?;
    Ok(format!("\"{text}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_start_this_program() {
        let unit = text(Path::new("/opt/my plue/plue-runner"), Path::new("/etc/r.json")).unwrap();
        assert!(
            unit.contains("ExecStart=\"/opt/my plue/plue-runner\" run --config \"/etc/r.json\"\n")
        );
        assert!(text(Path::new("/a\nExecStartPre=x"), Path::new("/c")).is_err());
    }
}
