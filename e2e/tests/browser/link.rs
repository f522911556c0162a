//! A fresh install: `plue serve --open` and `plue run --web` lead to the dashboard without a token.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{browser::Browser, live::scripted, site::Site};

/// A program that takes the place of a person's browser: it writes its address to a file.
struct Opener {
    folder: tempfile::TempDir,
    program: PathBuf,
}

// === impl Opener ===

impl Opener {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (program, opened) = (folder.path().join("open"), folder.path().join("opened"));
        let script =
            format!("#!/bin/sh\necho \"$1\" > {0}.new && mv {0}.new {0}\n", opened.display());
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder, program }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The address that was opened, once there is one.
    fn opened(&self) -> String {
        loop {
            if let Ok(url) = fs::read_to_string(self.path().join("opened")) {
                return url.trim().to_owned();
            }
        }
    }
}

#[tokio::test]
async fn a_link_opens_the_dashboard_once() {
    let opener = Opener::new();
    let variables = [("BROWSER", opener.program.to_str().unwrap())];
    let mut site = Site::with(&[(".plue.py", &scripted("Hello", "echo hello"))], &variables);
    site.kill();
    site.serve_with(&["--open"]);
    let url = opener.opened();
    site.run_with("Hello", "success");
    let browser = Browser::chromium().await;
    browser.driver.goto(&url).await.unwrap();
    browser.until_text("Hello").await;
    browser.until("return location.pathname === '/'").await;
    let other = Browser::chromium().await;
    other.driver.goto(&url).await.unwrap();
    other.until_text("This link was used").await;
}

const WAITS: &str = r#"
def workflow(ctx):
    flag = ctx.inputs["flag"]
    return Plan(name="Wait", triggers=[Trigger.on_manual()], inputs={"flag": Input()}, steps=[
        Step.bash("work", f"echo waiting; while ! test -e {flag}; do sleep 0.05; done"),
    ])
"#;

#[tokio::test]
async fn run_web_serves_the_page_of_its_run() {
    let opener = Opener::new();
    let variables = [("BROWSER", opener.program.to_str().unwrap())];
    let mut site = Site::with(&[(".plue.py", WAITS)], &variables);
    site.kill();
    let flag = opener.path().join("go");
    let mut command = site.spawn(&["run", "--web", "--input", &format!("flag={}", flag.display())]);
    let browser = Browser::chromium().await;
    browser.driver.goto(&opener.opened()).await.unwrap();
    browser.until("return document.title.startsWith('Running: Wait')").await;
    browser.until("return location.pathname.startsWith('/runs/')").await;
    fs::write(&flag, "").unwrap();
    browser.until("return document.title.startsWith('Passed: Wait')").await;
    browser.is_clean("the page of a command").await;
    // The pages stay after the end of the run, until Ctrl-C.
    browser.driver.refresh().await.unwrap();
    browser.until("return document.title.startsWith('Passed: Wait')").await;
    assert_eq!(command.try_wait().unwrap(), None);
    kill_process(Pid::from_child(&command), Signal::INT).unwrap();
    assert_eq!(command.wait().unwrap().code(), Some(0));
}
