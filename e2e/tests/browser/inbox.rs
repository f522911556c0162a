//! A decision that is made from the inbox, on the screen of a phone.

use crate::{
    browser::{Browser, NARROW},
    pages::WORKFLOWS,
    site::Site,
};

#[tokio::test]
async fn approvals_are_given_from_the_inbox() {
    let site = Site::start(&[(".plue.py", WORKFLOWS)]);
    let run = site.run_with("Deploy", "waiting");
    let browser = Browser::signed_in(&site).await;
    browser.resize(NARROW).await;
    browser.open(&site, "/approvals").await;
    browser.until_text("Release to production?").await;
    // The browser itself asks for the field that the step requires.
    let is_valid = "return document.querySelector('.ask-form').checkValidity()";
    assert_eq!(browser.eval(is_valid).await, serde_json::json!(false));
    browser
        .eval(
            "document.querySelector('[name=\"field.ticket\"]').value = 'OPS-123'; \
             document.querySelector('button[value=approve]').click()",
        )
        .await;
    browser.until_text("Approved: the run goes on.").await;
    browser.open(&site, &format!("/runs/{run}")).await;
    browser.until("return document.title.includes('Passed')").await;
    browser.is_clean("a decision").await;
    let decided = site.get(&format!("/api/v1/runs/{run}/steps"));
    let steps = decided.as_array().unwrap();
    let release = steps.iter().find(|step| step["step"] == "release").unwrap();
    assert_eq!(release["output"]["ticket"], "OPS-123", "{release}");
}
