//! Patterns against names, and against a slow matcher that does it another way.

use proptest::prelude::*;

use super::Patterns;

fn fits(patterns: &[&str], name: &str) -> bool {
    let patterns: Vec<String> = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
    Patterns::new(&patterns).unwrap().fit(name)
}

#[test]
fn patterns_match_as_in_the_table() {
    for (pattern, yes, no) in [
        ("main", &["main"][..], &["Main", "main2", "x/main", ""][..]),
        ("*", &["main", ""], &["a/b", "/"]),
        ("**", &["main", "a/b/c", ""], &[]),
        ("release/*", &["release/1", "release/"], &["release/1/2", "release", "release1"]),
        ("release/**", &["release/1", "release/1/2"], &["release", "xrelease/1"]),
        ("release**", &["release", "release/1/2", "released"], &["prerelease"]),
        ("**/docs/**", &["docs/a", "x/docs/a", "x/y/docs/a/b"], &["docs", "xdocs/a"]),
        ("**/*.md", &["a.md", "x/y/a.md"], &["a.mdx", "a/md"]),
        ("src/**/*.rs", &["src/a.rs", "src/x/y/a.rs"], &["src/a.rsx", "a.rs"]),
        ("**/**/a", &["a", "x/a", "x/y/a"], &["xa", "a/b"]),
        ("{**/docs,x/**/b}", &["docs", "x/docs", "x/b", "x/y/b"], &["xdocs", "xb"]),
        ("a/{**/b,c}", &["a/b", "a/x/b", "a/c"], &["a/xb", "b"]),
        ("a**b", &["ab", "a/x/b", "axb"], &["a", "ba"]),
        ("v[0-9]*", &["v1", "v1.2.3", "v10-rc.1"], &["v", "va1", "v1/2"]),
        ("v?", &["v1", "vé"], &["v", "v12", "v/"]),
        ("[!a]b", &["bb", "éb"], &["ab", "/b", "b"]),
        ("a[+-9]b", &["a.b", "a5b"], &["a/b"]),
        ("{main,next}", &["main", "next"], &["main,next", "mainnext", ""]),
        ("{release/*,hot**}", &["release/1", "hot/1/2"], &["release/1/2"]),
        ("grüße/日本*", &["grüße/日本", "grüße/日本語"], &["grüsse/日本"]),
        ("a.b+c", &["a.b+c"], &["axb+c", "a.bbc"]),
        ("🌱", &["🌱"], &["🌱🌱"]),
        ("x\";$(touch${IFS}pwned);`id`#", &["x\";$(touch$IFSpwned);`id`#"], &["x"]),
    ] {
        for name in yes {
            assert!(fits(&[pattern], name), "{pattern} {name}");
        }
        for name in no {
            assert!(!fits(&[pattern], name), "{pattern} {name}");
        }
    }
}

#[test]
fn the_last_pattern_that_fits_decides() {
    let list = ["release/**", "!release/**-alpha", "release/keep-alpha"];
    assert!(fits(&list, "release/1"));
    assert!(!fits(&list, "release/1-alpha"));
    assert!(fits(&list, "release/keep-alpha"));
    assert!(!fits(&list, "main"));
}

#[test]
fn a_list_of_exceptions_fits_all_else() {
    assert!(fits(&["!main"], "next"));
    assert!(!fits(&["!main"], "main"));
    assert!(fits(&[], "anything"));
}

#[test]
fn malformed_patterns_are_errors() {
    for pattern in ["[", "[z-a]", "{a", "[]"] {
        assert!(Patterns::new(&[pattern.to_owned()]).is_err(), "{pattern}");
    }
}

#[test]
fn a_pattern_of_many_stars_takes_no_time() {
    let pattern = "*a".repeat(60);
    assert!(!fits(&[&pattern], &"a".repeat(59)));
    assert!(fits(&[&pattern], &"a".repeat(60)));
    assert!(fits(&[&pattern], &"a".repeat(10_000)));
    // One that compiles to more than the limit is refused instead.
    assert!(Patterns::new(&["*a".repeat(400)]).is_err());
}

/// `*`, `**` and `?` by trying everything.
fn slow(pattern: &[char], name: &[char], at_start: bool) -> bool {
    match pattern {
        [] => name.is_empty(),
        ['*', '*', '/', rest @ ..] if at_start => {
            let mut ends = name.iter().enumerate().filter(|(_, c)| **c == '/').map(|(at, _)| at);
            slow(rest, name, true) || ends.any(|at| slow(rest, &name[at + 1..], true))
        }
        ['*', '*', rest @ ..] => (0..=name.len()).any(|at| slow(rest, &name[at..], false)),
        ['*', rest @ ..] => (0..=name.len())
            .take_while(|at| !name[..*at].contains(&'/'))
            .any(|at| slow(rest, &name[at..], false)),
        ['?', rest @ ..] => {
            name.split_first().is_some_and(|(c, name)| *c != '/' && slow(rest, name, false))
        }
        [c, rest @ ..] => name
            .split_first()
            .is_some_and(|(found, name)| found == c && slow(rest, name, *c == '/')),
    }
}

proptest! {
    #[test]
    fn the_translation_agrees_with_trying_everything(
        pattern in "([ab/]|\\*|\\*\\*|\\?){0,8}",
        name in "[ab/]{0,8}",
    ) {
        prop_assume!(!pattern.contains("***"));
        let (p, n): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
        prop_assert_eq!(fits(&[&pattern], &name), slow(&p, &n, true), "{} {}", pattern, name);
    }

    #[test]
    fn no_pattern_and_name_panic(pattern in any::<String>(), name in any::<String>()) {
        let read = Patterns::new(&[pattern]);
        prop_assert!(read.is_err() || read.is_ok_and(|read| read.fit(&name) || !read.fit(&name)));
    }
}
