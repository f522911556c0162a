//! The conversation of a Claude step.

use plue_testkit::scripted::Scripted;
use serde_json::json;

use crate::{browser::Browser, site::Site};

const WORKFLOW: &str = r#"
def workflow():
    return Plan(name="Ask", triggers=[Trigger.on_push(branch="main")], steps=[
        Step.llm("ask", prompt="Look around.", tools=["bash"]),
    ])
"#;

#[tokio::test]
async fn conversations_show_calls_and_costs() {
    let claude = Scripted::new(&json!([
        {
            "thinking": "Hm, a file.", "text": "Let me look.",
            "tool_calls": [{ "name": "bash", "input": { "command": "seq 100 130" }, "id": "toolu_A" }],
        },
        { "text": "There are 31 numbers." },
    ]));
    let variables =
        [("ANTHROPIC_API_KEY", "sk-ant-canary"), ("ANTHROPIC_BASE_URL", claude.url.as_str())];
    let site = Site::with(&[(".plue.py", WORKFLOW)], &variables);
    let run = site.run_with("Ask", "success");
    let browser = Browser::signed_in(&site).await;
    let page = site.log_page(&run, "ask").replace("/log", "/agent");
    browser.open(&site, &page).await;
    for text in ["Turn 1", "Turn 2", "Let me look.", "There are 31 numbers.", "Done", "seq 100 130"]
    {
        browser.until_text(text).await;
    }
    let folded =
        browser.eval("return document.querySelectorAll('details.fold[open]').length").await;
    assert_eq!(folded, json!(0));
    browser.click("details.call > summary").await;
    browser.until_text("130").await;
    browser.open(&site, &format!("{page}?q=31+numbers")).await;
    // The answer, and the end with the same text.
    browser.until_text("2 entries").await;
    browser.click(".hits a").await;
    browser.until("return location.hash === '#f4'").await;
    browser.is_clean("a conversation").await;
}
