//! Pages that are alive: a run that turns green, and a log that goes on, through a restart of the server.

use std::fs;

use serde_json::json;

use crate::{browser::Browser, site::Site};

/// A workflow of one step that runs a script.
pub(crate) fn scripted(name: &str, script: &str) -> String {
    format!(
        "def workflow():\n    return Plan(name={name:?}, triggers=[Trigger.on_push(branch='main'), Trigger.on_manual()], \
         steps=[\n        Step.bash('work', r\"\"\"{script}\"\"\"),\n    ])\n"
    )
}

#[tokio::test]
async fn runs_turn_green_without_reload() {
    let flags = tempfile::tempdir().unwrap();
    let flag = flags.path().join("go");
    let script = format!("echo waiting; while ! test -e {}; do sleep 0.05; done", flag.display());
    let site = Site::start(&[(".plue.py", &scripted("Wait", &script))]);
    let run = site.run_with("Wait", "running");
    let browser = Browser::signed_in(&site).await;
    browser.open(&site, &format!("/runs/{run}")).await;
    browser.until_text("Running").await;
    browser.eval("window.sameDocument = true").await;
    fs::write(&flag, "").unwrap();
    browser.until("return document.title.includes('Passed')").await;
    browser.until("return !document.querySelector('main .mark.is-running')").await;
    assert_eq!(browser.eval("return window.sameDocument").await, json!(true));
    browser.is_clean("a run that ends").await;
}

/// Prints lines with numbers, a batch for each file that appears.
fn batches(folder: &std::path::Path) -> String {
    let folder = folder.display();
    format!(
        "n=0; for batch in 1 2 3; do while ! test -e {folder}/$batch; do sleep 0.02; done; \
         for i in $(seq 1 40); do n=$((n + 1)); echo line $n; done; done"
    )
}

/// The numbers of the lines in the page, and whether each one stands where it belongs.
const LINES: &str = "return [...document.querySelectorAll('#log-box .ln')].every((row, at) => \
    row.id === `L${at + 1}` && row.querySelector('.tx').textContent === `line ${at + 1}`) \
    && document.querySelectorAll('#log-box .ln').length";

#[tokio::test]
async fn logs_continue_after_a_restart() {
    let flags = tempfile::tempdir().unwrap();
    let mut site = Site::start(&[(".plue.py", &scripted("Count", &batches(flags.path())))]);
    let run = site.run_with("Count", "running");
    let browser = Browser::signed_in(&site).await;
    browser.open(&site, &site.log_page(&run, "work")).await;
    browser.eval("window.sameDocument = true").await;
    fs::write(flags.path().join("1"), "").unwrap();
    browser.until(&format!("{LINES} === 40")).await;
    browser.is_clean("a log that goes on").await;
    site.kill();
    browser.until("return !document.getElementById('connection').hidden").await;
    browser.until_text("Connection lost").await;
    site.serve();
    fs::write(flags.path().join("2"), "").unwrap();
    browser.until(&format!("{LINES} === 80")).await;
    browser.until("return document.getElementById('connection').hidden").await;
    fs::write(flags.path().join("3"), "").unwrap();
    browser.until(&format!("{LINES} === 120")).await;
    browser.until("return document.getElementById('log').dataset.ended !== undefined").await;
    assert_eq!(browser.eval(LINES).await, json!(120));
    assert_eq!(browser.eval("return window.sameDocument").await, json!(true));
}

#[tokio::test]
async fn following_stops_when_the_reader_scrolls_up() {
    let flags = tempfile::tempdir().unwrap();
    let site = Site::start(&[(".plue.py", &scripted("Count", &batches(flags.path())))]);
    let run = site.run_with("Count", "running");
    let browser = Browser::signed_in(&site).await;
    browser.open(&site, &site.log_page(&run, "work")).await;
    for batch in ["1", "2"] {
        fs::write(flags.path().join(batch), "").unwrap();
    }
    browser.until(&format!("{LINES} === 80")).await;
    let end = "const box = document.getElementById('log-box'); \
        return box.scrollTop > 0 && box.scrollTop + box.clientHeight >= box.scrollHeight - 2";
    browser.until(end).await;
    browser.eval("document.getElementById('log-box').scrollTop = 100").await;
    browser
        .until(
            "return document.getElementById('log-follow').getAttribute('aria-pressed') === 'false'",
        )
        .await;
    fs::write(flags.path().join("3"), "").unwrap();
    browser.until_text("40 new lines").await;
    assert_eq!(
        browser.eval("return document.getElementById('log-box').scrollTop").await,
        json!(100)
    );
    browser.click("#log-new").await;
    browser.until(end).await;
}
