//! Logs: a large one by windows, searched, linked to, folded and copied; a line of megabytes; colours.

use serde_json::{Value as Json, json};

use crate::{browser::Browser, live::scripted, site::Site};

/// Lines of the large log.
const LINES: u64 = 60_000;

/// A log in the browser, complete.
async fn opened(script: &str, lines: u64) -> (Site, Browser, String) {
    let site = Site::start(&[(".plue.py", &scripted("Print", script))]);
    let run = site.run_with("Print", "success");
    site.await_lines(&run, "work", lines);
    let browser = Browser::signed_in(&site).await;
    let page = site.log_page(&run, "work");
    browser.open(&site, &page).await;
    (site, browser, page)
}

/// The text of the line at a place of the screen.
fn shown(n: u64) -> String {
    format!(
        "const row = document.getElementById('L{n}'); const box = document.getElementById('log-box').getBoundingClientRect(); \
         if (!row) return ''; const place = row.getBoundingClientRect(); \
         return place.top >= box.top - 1 && place.bottom <= box.bottom + 1 ? row.querySelector('.tx').textContent : ''"
    )
}

#[tokio::test]
async fn large_logs_are_searched_and_linked() {
    let script = format!("seq -f 'line %.0f of a large log' 1 {LINES}");
    let (site, browser, page) = opened(&script, LINES).await;
    browser.until(&format!("{} === 'line 1 of a large log'", shown(1))).await;
    // The end, by key.
    browser.eval("document.getElementById('log-box').focus()").await;
    browser.keys(thirtyfour::Key::End + "").await;
    browser.until(&format!("{} === 'line {LINES} of a large log'", shown(LINES))).await;
    browser.keys(thirtyfour::Key::Home + "").await;
    browser.until(&format!("{} === 'line 1 of a large log'", shown(1))).await;
    // A search counts all lines: 777, 1777, …, 59777, and 7770 to 7779, 17770 to …, 57779, and so on.
    browser.keys("/").await;
    browser.keys("777").await;
    let expected = (1..=LINES).filter(|n| n.to_string().contains("777")).count();
    browser.until_text(&format!("1 of {expected}")).await;
    browser.until(&format!("{} === 'line 777 of a large log'", shown(777))).await;
    browser.keys(thirtyfour::Key::Enter + "").await;
    browser.until_text(&format!("2 of {expected}")).await;
    browser.until(&format!("{} === 'line 1777 of a large log'", shown(1777))).await;
    browser.click("#log-prev").await;
    browser.until(&format!("{} === 'line 777 of a large log'", shown(777))).await;
    let rows = browser.eval("return document.querySelectorAll('#log-box .ln').length").await;
    assert!((1..=500).contains(&rows.as_u64().unwrap()), "{rows} rows");
    // A link to a range.
    browser.open(&site, &format!("{page}#L42000-L42002")).await;
    browser.until(&format!("{} === 'line 42000 of a large log'", shown(42_000))).await;
    let selected =
        "return [...document.querySelectorAll('#log-box .ln.sel')].map((row) => row.id).join()";
    browser
        .until(&format!("{}; ", selected.replace("return ", "return 'L42000,L42001,L42002' === ")))
        .await;
    browser.until_text("Copy 3 lines").await;
    browser.is_clean("a large log").await;
}

#[tokio::test]
async fn regular_expressions_are_checked() {
    let (_site, browser, _) = opened("seq 1 6000", 6_000).await;
    browser.click("#log-query").await;
    browser.eval("document.getElementById('log-regex').click()").await;
    browser.keys("^(1|2)0*$").await;
    browser.until_text("1 of 8").await;
    browser.eval("document.getElementById('log-query').select()").await;
    browser.keys("(").await;
    browser
        .until(
            "return document.getElementById('log-query').getAttribute('aria-invalid') === 'true'",
        )
        .await;
    browser.until_text("unclosed group").await;
}

#[tokio::test]
async fn copies_have_no_line_numbers() {
    let (_site, browser, _) = opened("printf 'one\\ntwo\\nthree\\n'", 3).await;
    let copied = browser
        .eval(
            "const rows = document.querySelectorAll('#log-box .ln'); const range = document.createRange(); \
             range.setStart(rows[0], 0); range.setEnd(rows[2], rows[2].childNodes.length); \
             const selection = getSelection(); selection.removeAllRanges(); selection.addRange(range); \
             const data = new DataTransfer(); const event = new ClipboardEvent('copy', { clipboardData: data, cancelable: true, bubbles: true }); \
             document.dispatchEvent(event); return event.defaultPrevented ? data.getData('text/plain') : selection.toString()",
        )
        .await;
    assert_eq!(copied.as_str().unwrap().trim_end(), "one\ntwo\nthree");
}

#[tokio::test]
async fn lines_of_megabytes_open_in_parts() {
    let script = "echo before; head -c 10000000 /dev/zero | tr '\\0' x; echo; echo after";
    let (_site, browser, _) = opened(script, 3).await;
    browser.until_text("10.0 MB line").await;
    browser.until_text("after").await;
    let length = "return document.querySelector('#L2 .tx').textContent.length";
    let before = browser.eval(length).await.as_u64().unwrap();
    assert!((16_384..20_000).contains(&before), "{before}");
    browser.click("#L2 .cut").await;
    browser.until(&format!("{length} > 80000")).await;
    browser.is_clean("a long line").await;
}

#[tokio::test]
async fn groups_fold_and_errors_are_visited() {
    let script = "echo '::group::Setup'; seq 1 20; echo '::endgroup::'; seq 1 300; echo 'error: first'; \
        seq 1 300; echo 'error: second'; seq 1 50";
    let (_site, browser, _) = opened(script, 674).await;
    browser.until_text("2 errors").await;
    browser.keys("n").await;
    browser.until(&format!("{} === 'error: first'", shown(323))).await;
    browser.keys("n").await;
    browser.until(&format!("{} === 'error: second'", shown(624))).await;
    browser.keys("p").await;
    browser.until(&format!("{} === 'error: first'", shown(323))).await;
    browser.click("#log-fold").await;
    browser
        .until(
            "return document.getElementById('L5').hidden && !document.getElementById('L1').hidden",
        )
        .await;
    browser.click("#L1 .tx").await;
    browser.until("return !document.getElementById('L5').hidden").await;
}

#[tokio::test]
async fn both_renderers_of_terminals_agree() {
    let cases = include_str!("../../../dashboard/tests/ansi.json");
    let (_site, browser, _) = opened("echo one", 1).await;
    // The module of the page, from the folder that its own script came from.
    let script = format!(
        "const done = arguments[0]; const from = document.querySelector('script[src$=\"/log.js\"]').src; \
         import(from.replace('log.js', 'ansi.js')).then(({{ apply, spans, style }}) => done(JSON.stringify( \
         {cases}.filter((one) => {{ const now = style(); if (one.style) apply(now, one.style); \
         return JSON.stringify(spans(now, one.line)) !== JSON.stringify(one.spans); }}).map((one) => one.line))), (error) => done(String(error)));"
    );
    let wrong = browser.driver.execute_async(&script, Vec::new()).await.unwrap();
    assert_eq!(wrong.json(), &json!("[]"));
    let count: Json = serde_json::from_str(cases).unwrap();
    assert!(count.as_array().unwrap().len() > 20);
}
