//! Actions by the buttons of a run's page, and the picture that follows them.

use std::fs;

use serde_json::json;

use crate::{browser::Browser, live::scripted, site::Site};

#[tokio::test]
async fn runs_are_cancelled_and_run_again() {
    let flags = tempfile::tempdir().unwrap();
    let flag = flags.path().join("go");
    let script = format!("while ! test -e {}; do sleep 0.05; done", flag.display());
    let site = Site::start(&[(".plue.py", &scripted("Wait", &script))]);
    let run = site.run_with("Wait", "running");
    let browser = Browser::signed_in(&site).await;
    browser.open(&site, &format!("/runs/{run}")).await;
    browser.until("return document.querySelector('a.node.is-running')").await;
    browser.eval("window.confirm = () => true").await;
    browser.click("form[action$='/cancel'] button").await;
    browser.until("return document.title.includes('Cancelled')").await;
    browser.until("return document.querySelector('a.node.is-cancelled')").await;
    fs::write(&flag, "").unwrap();
    browser.click("form[action$='/rerun'] button").await;
    browser.until(&format!("return location.pathname !== '/runs/{run}'")).await;
    browser.until("return document.title.includes('Passed')").await;
    browser.is_clean("a run again").await;
}

#[tokio::test]
async fn steps_are_chosen_without_a_new_document() {
    let site = Site::start(&[(".plue.py", crate::pages::WORKFLOWS)]);
    let run = site.run_with("Matrix", "failed");
    let browser = Browser::signed_in(&site).await;
    browser.open(&site, &format!("/runs/{run}")).await;
    browser.eval("window.sameDocument = true").await;
    browser.until_text("test × 8").await;
    browser.click("a.node.is-failed").await;
    browser.until("return document.querySelectorAll('a.node').length > 8").await;
    browser.until_text("test-7").await;
    browser.click("a[data-step][href*='step=test-4']").await;
    browser
        .until("return document.getElementById('details')?.textContent.includes('test-4')")
        .await;
    browser.click("#details .panel-close").await;
    browser.until("return !document.getElementById('details')").await;
    browser.eval("history.back()").await;
    browser.until("return document.getElementById('details')").await;
    assert_eq!(browser.eval("return window.sameDocument").await, json!(true));
    browser.click("nav.tabs a[href*='view=timeline']").await;
    browser.until("return document.querySelectorAll('#timeline .bars').length > 10").await;
    browser.is_clean("a chosen step").await;
}

#[tokio::test]
async fn ctrl_k_leads_to_a_run() {
    let site = Site::start(&[(".plue.py", &scripted("Nightly", "true"))]);
    let run = site.run_with("Nightly", "success");
    let browser = Browser::signed_in(&site).await;
    browser.open(&site, "/approvals").await;
    browser.open(&site, "/runs").await;
    browser.chord(thirtyfour::Key::Control, 'k').await;
    browser.until("return document.activeElement.getAttribute('role') === 'combobox'").await;
    browser.keys(run.as_str()).await;
    let found =
        format!("return document.querySelector('#palette-list a')?.pathname === '/runs/{run}'");
    browser.until(&found).await;
    browser.keys(thirtyfour::Key::Enter + "").await;
    browser.until(&format!("return location.pathname === '/runs/{run}'")).await;
}

#[tokio::test]
async fn decisions_are_made_on_the_runs_page() {
    let site = Site::start(&[(".plue.py", crate::pages::WORKFLOWS)]);
    let run = site.run_with("Deploy", "waiting");
    let browser = Browser::signed_in(&site).await;
    browser.open(&site, &format!("/runs/{run}")).await;
    browser.until_text("Release to production?").await;
    browser.click("input[name='field.ticket']").await;
    browser.keys("OPS-123").await;
    browser.click("button[name=answer][value=approve]").await;
    browser.until("return document.title.includes('Passed')").await;
    assert_eq!(browser.eval("return location.pathname").await, json!(format!("/runs/{run}")));
    browser.is_clean("a decision").await;
}

#[tokio::test]
async fn filters_are_saved_and_removed() {
    let site = Site::start(&[(".plue.py", &scripted("Nightly", "true"))]);
    site.run_with("Nightly", "success");
    let browser = Browser::signed_in(&site).await;
    browser.open(&site, "/runs?state=success&q=Nightly").await;
    browser.click("details.save-view summary").await;
    browser.click("#view-name").await;
    browser.keys("Green nights").await;
    browser.click("details.save-view button").await;
    browser.until("return document.querySelector('nav.views a[aria-current]')").await;
    browser.open(&site, "/runs").await;
    browser.until_text("Green nights").await;
    browser.click("nav.views a").await;
    browser.until("return location.search.includes('state=success')").await;
    browser.is_clean("a saved view").await;
    browser.click("form[action='/runs/views/remove'] button").await;
    browser
        .until("return location.pathname === '/runs' && !document.querySelector('nav.views')")
        .await;
}
