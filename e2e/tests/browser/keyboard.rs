//! The way from signing in to an error in a log, without a pointer.

use thirtyfour::Key;

use crate::{browser::Browser, pages::WORKFLOWS, site::Site};

#[tokio::test]
async fn keys_lead_to_an_error_in_a_log() {
    let site = Site::start(&[(".plue.py", WORKFLOWS)]);
    let run = site.run_with("Broken", "failed");
    let browser = Browser::signed_in(&site).await;
    browser.open(&site, &format!("/runs/{run}")).await;
    // To the log of the step, link by link.
    let mut steps = 0;
    while browser.eval("return document.activeElement.getAttribute('href') ?? ''").await.as_str()
        != Some(site.log_page(&run, "compile").as_str())
    {
        browser.keys(Key::Tab + "").await;
        steps += 1;
        assert!(steps < 100, "no link to the log takes the focus");
    }
    browser.keys(Key::Enter + "").await;
    browser
        .until("return document.getElementById('log-error-count')?.textContent === '2 errors'")
        .await;
    browser.keys("n").await;
    browser.until("return document.getElementById('L2').classList.contains('bad-line')").await;
    browser.keys("?").await;
    browser.until_text("Next error").await;
    browser.keys(Key::Escape + "").await;
    browser.until("return !document.querySelector('dialog[open]')").await;
    browser.keys("/").await;
    browser.until("return document.activeElement.id === 'log-query'").await;
    browser.keys("mismatched").await;
    browser.until_text("1 of 1").await;
    browser.keys(Key::Escape + "").await;
    browser.keys("t").await;
    browser.is_clean("the keyboard's way").await;
}
