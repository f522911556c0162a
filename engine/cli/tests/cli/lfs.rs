//! Contents of Git LFS in the workspaces of a server's runs: from an LFS server that wants the token of the
//! forge, or from a repository of this machine.

use std::sync::Mutex;

use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};

use crate::{
    serve::Served,
    submodules::{Forge, Request, TOKEN},
    support::Bench,
};

/// Git runs with git-lfs in its path, if this machine has it, and without.
const ASKED: &str = "
    sha256sum assets/big.bin; ls -l assets/run.bin | cut -c1-10
    mkdir -p \"$HOME/tools\"
    for tool in /usr/local/bin/git /usr/bin/*; do
        case \"$tool\" in */git-lfs) ;; *) ln -sf \"$tool\" \"$HOME/tools/\" ;; esac
    done
    export GIT_CONFIG_GLOBAL=/dev/null
    echo without; GIT_CONFIG_NOSYSTEM=1 PATH=\"$HOME/tools\" git status --porcelain
    touch assets/*
    echo with; git status --porcelain; echo end
    printf more >> assets/big.bin
    echo changed; git status --porcelain; GIT_CONFIG_NOSYSTEM=1 PATH=\"$HOME/tools\" git diff --stat | cat
";

fn workflow() -> String {
    format!(
        "def workflow():\n    return Plan(name=\"CI\", triggers=[Trigger.on_manual(), \
         Trigger.on_push()], checkout=Checkout(lfs=True), \
         steps=[Step.bash(\"test\", r\"\"\"{ASKED}\"\"\")])\n"
    )
}

fn oid(content: &[u8]) -> String {
    hex::encode(Sha256::digest(content))
}

/// Writes the pointer of a content.
fn pointer(bench: &Bench, path: &str, content: &[u8]) {
    let (oid, size) = (oid(content), content.len());
    let text =
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n");
    bench.write(path, text);
}

fn content() -> Vec<u8> {
    (0..200_000_u32).flat_map(u32::to_le_bytes).collect()
}

/// Two files of Git LFS, one of them a program, and one that only looks like a pointer.
fn files(bench: &Bench) {
    use std::os::unix::fs::PermissionsExt as _;
    bench.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n");
    pointer(bench, "assets/big.bin", &content());
    pointer(bench, "assets/run.bin", b"#!/bin/sh\n");
    pointer(bench, "assets/example.txt", b"no content");
    let program = bench.repo().join("assets/run.bin");
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn holds(log: &str) {
    let first = format!("{}  assets/big.bin", oid(&content()));
    assert!(log.contains(&first) && log.contains("-rwxr-xr-x"), "{log}");
    let between = |from: &str, to: &str| {
        log.split(from).nth(1).and_then(|rest| rest.split(to).next()).unwrap_or("none").to_owned()
    };
    for clean in [between("without", "with"), between("with\n", "end")] {
        assert!(!clean.contains("assets"), "not clean: {log}");
    }
    assert!(log.contains("M assets/big.bin"), "{log}");
}

/// The LFS part of a forge.
struct Objects {
    contents: Vec<Vec<u8>>,
    /// Request targets of the served downloads.
    given: Mutex<Vec<String>>,
    /// Sent instead of a content.
    other: Option<Vec<u8>>,
}

impl Objects {
    fn answer(&self, forge: &Forge, request: &Request) -> Option<Vec<u8>> {
        let reply = |status: &str, body: &[u8]| {
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n", body.len());
            Some([format!("{head}connection: close\r\n\r\n").as_bytes(), body].concat())
        };
        if request.target == "/app.git/info/lfs/objects/batch" {
            if !request.is_known() {
                return reply("401 No", b"{}");
            }
            assert_eq!(request.field("accept"), "application/vnd.git-lfs+json");
            let asked: Json = serde_json::from_slice(&request.body).unwrap();
            assert_eq!(asked["operation"], "download");
            let object = |one: &Json| {
                let found = self.contents.iter().any(|content| one["oid"] == oid(content).as_str());
                let (oid, size) = (one["oid"].as_str().unwrap(), &one["size"]);
                if !found {
                    let error = json!({"code": 404, "message": "Object does not exist"});
                    return json!({"oid": oid, "size": size, "error": error});
                }
                let href = format!("http://{}/moved/{oid}?sig=hidden", forge.address());
                let header = json!({"X-Part": "seven"});
                json!({"oid": oid, "size": size, "authenticated": true,
                       "actions": {"download": {"href": href, "header": header}}})
            };
            let objects: Vec<Json> =
                asked["objects"].as_array().unwrap().iter().map(object).collect();
            let body = json!({"transfer": "basic", "objects": objects}).to_string();
            return reply("200 OK", body.as_bytes());
        }
        if let Some(rest) = request.target.strip_prefix("/moved/") {
            let head = "HTTP/1.1 302 Found\r\ncontent-length: 0\r\nconnection: close\r\n";
            return Some(format!("{head}location: /storage/{rest}\r\n\r\n").into_bytes());
        }
        let oid_of = request.target.strip_prefix("/storage/")?.split('?').next()?;
        self.given.lock().unwrap().push(oid_of.to_owned());
        assert_eq!(request.field("x-part"), "seven");
        assert_eq!(request.field("authorization"), "", "the storage is not the forge's API");
        let found = self.contents.iter().find(|content| oid(content) == oid_of);
        reply("200 OK", self.other.as_ref().or(found)?)
    }
}

#[test]
fn lfs_contents_arrive_without_leaving_the_credential() {
    let forge = Forge::new(&workflow());
    files(&forge.bench);
    forge.publish();
    let server = forge.watched();
    let contents = vec![content(), b"#!/bin/sh\n".to_vec()];
    let objects = Objects { contents, given: Mutex::default(), other: None };
    let output = forge.run(&server, |request| objects.answer(&forge, request)).ends(0);
    holds(&[output.stdout.as_str(), &output.stderr].concat());
    forge.workspaces_hold_no_token();
    assert_eq!(objects.given.lock().unwrap().len(), 2);
    // Stored next to the mirror for the next run.
    forge.run(&server, |request| objects.answer(&forge, request)).ends(0);
    assert_eq!(objects.given.lock().unwrap().len(), 2);
}

#[test]
fn missing_or_wrong_lfs_contents_are_refused() {
    let forge = Forge::new(&workflow());
    files(&forge.bench);
    forge.publish();
    let server = forge.watched();
    let gone = Objects { contents: vec![content()], given: Mutex::default(), other: None };
    let output = forge.run(&server, |request| gone.answer(&forge, request));
    assert_ne!(output.code, 0);
    output.reports(&["assets/run.bin", "Object does not exist (404)", "PLUE-F0022"]);
    let contents = vec![content(), b"#!/bin/sh\n".to_vec()];
    let wrong = Objects { contents, given: Mutex::default(), other: Some(b"#!/bin/no\n".to_vec()) };
    let output = forge.run(&server, |request| wrong.answer(&forge, request));
    assert_ne!(output.code, 0);
    output.reports(&["does not match its pointer", "PLUE-F0022"]);
    let shown = format!("{output:?}");
    assert!(!shown.contains(TOKEN) && !shown.contains("hidden"), "{shown}");
}

#[test]
fn local_lfs_contents_come_from_the_repository() {
    let served = Served::start();
    served.bench.write(".plue.py", workflow());
    files(&served.bench);
    for content in [content(), b"#!/bin/sh\n".to_vec()] {
        let oid = oid(&content);
        let folder = served.bench.home().join("app.git/lfs/objects");
        let folder = folder.join(&oid[..2]).join(&oid[2..4]);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(oid), content).unwrap();
    }
    served.push();
    let run = served.run(1);
    let log = served.log_of(&run, "test");
    assert_eq!(run["status"], "success", "{log}");
    holds(&log);
}
