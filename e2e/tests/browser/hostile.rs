//! Content that tries to become a part of the page stays text.

use plue_testkit::scripted::Scripted;
use serde_json::json;

use crate::{browser::Browser, site::Site};

/// Text that acts where it is taken for markup.
const HOSTILE: &str = "<img src=x onerror=window.hacked=1><script>window.hacked=1</script>";

const WORKFLOW: &str = r#"
def workflow():
    return [
        Plan(name="<i>Print</i>", triggers=[Trigger.on_push(branch="main")], steps=[
            Step.bash("work", r"""
                printf '%s\n' '<img src=x onerror=window.hacked=1><script>window.hacked=1</script>'
                printf '\033]0;owned\007\033]8;;javascript:window.hacked=1\007press\033]8;;\007\n'
                printf '\033[2J\033[Hcleared \342\200\256desrever\n'
                head -c 1000000 /dev/zero | tr '\0' w; echo
            """, name="<u>work</u>"),
        ]),
        Plan(name="Ask", triggers=[Trigger.on_push(branch="main")], steps=[
            Step.llm("ask", prompt="<script>window.hacked=1</script>"),
        ]),
    ]
"#;

#[tokio::test]
async fn hostile_content_stays_text() {
    let answer =
        format!("{HOSTILE} ![x](https://evil.example/x.png) [go](javascript:window.hacked=1)");
    let claude = Scripted::new(&json!([{ "text": answer }]));
    let variables =
        [("ANTHROPIC_API_KEY", "sk-ant-canary"), ("ANTHROPIC_BASE_URL", claude.url.as_str())];
    let site = Site::with(&[(".plue.py", WORKFLOW)], &variables);
    let printed = site.run_with("<i>Print</i>", "success");
    let asked = site.run_with("Ask", "success");
    let browser = Browser::signed_in(&site).await;
    let log = site.log_page(&printed, "work");
    let agent = site.log_page(&asked, "ask").replace("/log", "/agent");
    for (path, text) in [
        (log.as_str(), "<img src=x onerror"),
        (agent.as_str(), "![x](https://evil.example/x.png)"),
        (&format!("/runs/{printed}"), "<i>Print</i>"),
        (&format!("/runs/{asked}"), "Ask"),
        ("/runs", "<i>Print</i>"),
    ] {
        browser.open(&site, path).await;
        browser.until_text(text).await;
        browser.settled().await;
        let found = browser
            .eval(
                "return { hacked: window.hacked ?? 0, images: document.querySelectorAll('main img, main i, main u').length, \
                 scripts: document.querySelectorAll('main script').length, \
                 links: [...document.querySelectorAll('a')].filter((link) => /^javascript/.test(link.href)).length, \
                 wide: document.documentElement.scrollWidth > innerWidth }",
            )
            .await;
        let none = json!({"hacked": 0, "images": 0, "scripts": 0, "links": 0, "wide": false});
        assert_eq!(found, none, "{path}");
        browser.is_clean(path).await;
    }
    browser.open(&site, &log).await;
    browser.until_text("\\u{202e}").await;
    let title = browser.eval("return document.title").await;
    assert!(!title.as_str().unwrap().contains("owned"), "{title}");
}
