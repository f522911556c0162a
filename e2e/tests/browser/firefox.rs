//! The main path in Firefox: sign in, follow a run to green, read and search its log.

use std::fs;

use serde_json::json;

use crate::{browser::Browser, live::scripted, site::Site};

#[tokio::test]
async fn firefox_follows_a_run_and_reads_its_log() {
    let flags = tempfile::tempdir().unwrap();
    let flag = flags.path().join("go");
    let script = format!(
        "seq -f 'line %.0f' 1 7000; while ! test -e {}; do sleep 0.05; done; echo the end",
        flag.display()
    );
    let site = Site::start(&[(".plue.py", &scripted("Wait", &script))]);
    let run = site.run_with("Wait", "running");
    let browser = Browser::firefox().await;
    browser.sign_in(&site).await;
    browser.open(&site, &format!("/runs/{run}")).await;
    browser.until_text("Running").await;
    browser.eval("window.sameDocument = true").await;
    fs::write(&flag, "").unwrap();
    browser.until("return document.title.includes('Passed')").await;
    assert_eq!(browser.eval("return window.sameDocument").await, json!(true));
    browser.open(&site, &format!("{}#L6500", site.log_page(&run, "work"))).await;
    browser.until_text("line 6500").await;
    browser.eval("document.getElementById('log-query').focus()").await;
    browser.keys("the end").await;
    browser.until_text("1 of 1").await;
    browser.until("return document.getElementById('L7001')?.textContent.includes('the end')").await;
}
