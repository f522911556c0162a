//! Logs for a viewer: windows of lines, counts of matches, groups and errors, downloads.

use plue_api::Role;
use serde_json::json;

use crate::support::{OTHER, REPO, Server, create, print, started};

const LOG: &str = "/api/v1/runs/r1/attempts/r1-a1/log";

/// A server with one log, and a reader's token.
async fn printed(texts: &[&str]) -> (Server, String) {
    let server = Server::start().await;
    let run = create(&server.store, "r1", REPO).await;
    let claim = started(&server.store, &run).await;
    for (seq, text) in (2..).zip(texts) {
        print(&server.store, &claim, seq, text.as_bytes()).await;
    }
    let token = server.token(Role::Reader, Some(REPO)).await;
    (server, token)
}

#[tokio::test]
async fn windows_carry_lines_and_their_style() {
    let long = format!("\u{1b}[1;31mred\n{}é\nlast", "x".repeat(16 * 1024 - 1));
    let (server, token) = printed(&[&long]).await;
    let found = server.get(&token, &format!("{LOG}/lines?from_line=2")).await.is(200).json();
    assert_eq!(found["style"], "1;31");
    let [cut, last] = &found["lines"].as_array().unwrap()[..] else { panic!("{found}") };
    // The character that the cut goes through is left out.
    assert_eq!((&cut["line"], &cut["length"]), (&json!(2), &json!(16 * 1024 + 1)));
    assert_eq!(cut["text"].as_str().unwrap().len(), 16 * 1024 - 1);
    assert_eq!((&last["line"], &last["text"]), (&json!(3), &json!("last")));
    assert_eq!((&found["log"]["lines"], &found["log"]["ended"]), (&json!(3), &json!(false)));
    for bad in ["from_line=0", "from_line=x", "line=1"] {
        server.get(&token, &format!("{LOG}/lines?{bad}")).await.is(400);
    }
}

#[tokio::test]
async fn windows_have_a_bounded_size() {
    let many = "y\n".repeat(2_500);
    let (server, token) = printed(&[&many]).await;
    let found = server.get(&token, &format!("{LOG}/lines?from_line=11")).await.is(200).json();
    let lines = found["lines"].as_array().unwrap();
    assert_eq!((lines.len(), &lines[999]["line"]), (1_000, &json!(1_010)));
}

#[tokio::test]
async fn matches_are_counted_exactly() {
    let text: String = (0..3_000).map(|n| format!("Line {n}\n")).collect();
    let (server, token) = printed(&[&text]).await;
    let find = async |query: &str| server.get(&token, &format!("{LOG}/find?{query}")).await;
    let found = find("q=line+29&limit=2").await.is(200).json();
    // 29, 290 to 299, 2900 to 2999.
    assert_eq!((&found["count"], found["hits"].as_array().unwrap().len()), (&json!(111), 2));
    assert_eq!((&found["lines"][0], &found["hits"][1]["text"]), (&json!(30), &json!("Line 290")));
    assert_eq!(found.get("next"), None);
    assert_eq!(find("q=line+29&case=true").await.json()["count"], 0);
    assert_eq!(find("q=%5ELine+%5Cd%24&regex=true").await.json()["count"], 10);
    assert_eq!(find("q=Line&from_line=2991").await.json()["lines"][0], 2_991);
    for bad in
        ["q=", "q=(&regex=true", "q=a&limit=1001", "q=a&cursor=x", "q=a&cursor=1&from_line=1"]
    {
        find(bad).await.is(400);
    }
    find("q=(a%7B1000%7D)%7B1000%7D&regex=true").await.is(400);
}

#[tokio::test]
async fn groups_and_errors_are_marked() {
    let (server, token) =
        printed(&["::group::Build\nok\n::endgroup::\nerror: no\n", "test failed\nFAILED one\n"])
            .await;
    let found = server.get(&token, &format!("{LOG}/marks")).await.is(200).json();
    assert_eq!(found["groups"], json!([{"line": 1, "end": 3, "name": "Build"}]));
    assert_eq!((&found["errors"], &found["complete"]), (&json!([4, 6]), &json!(true)));
}

#[tokio::test]
async fn errors_are_found_among_styles() {
    let errors = [
        "\u{1b}[1;31merror[E0308]\u{1b}[0m: mismatched types",
        "\u{1b}[31merror\u{1b}[0m: could not compile",
        "main.c:3: fatal error: no such file",
        "::error file=a.js::no",
        "thread 'main' panicked at src/main.rs",
    ];
    let others = ["no errors", "terror: none", "0 failed", "errors: 0 of them"];
    let text = [errors.join("\n"), others.join("\n")].join("\n");
    let (server, token) = printed(&[&text]).await;
    let found = server.get(&token, &format!("{LOG}/marks")).await.is(200).json();
    assert_eq!(found["errors"], json!([1, 2, 3, 4, 5]));
}

#[tokio::test]
async fn downloads_have_every_byte() {
    let text = "z".repeat(60_000) + "\n";
    let (server, token) = printed(&[text.as_str(); 40]).await;
    let answer = server.get(&token, &format!("{LOG}/download")).await.is(200);
    assert_eq!(answer.headers["content-length"], "2400040");
    assert_eq!(answer.headers["content-type"], "application/octet-stream");
    let name = answer.headers["content-disposition"].to_str().unwrap();
    assert!(name.starts_with("attachment; filename=\"") && name.ends_with("-1.log\""), "{name}");
    assert_eq!(answer.body, text.repeat(40).into_bytes());
}

#[tokio::test]
async fn logs_of_other_repositories_do_not_exist() {
    let (server, _) = printed(&["secret\n"]).await;
    let token = server.token(Role::Reader, Some(OTHER)).await;
    for path in ["lines", "find?q=secret", "marks", "download"] {
        server.get(&token, &format!("{LOG}/{path}")).await.is(404);
    }
}
