//! Commits that are costly for the server that reads them: one kind after the other.

use std::fs;

use anyhow::Context as _;

use super::stand::Clone;

/// Files of one commit that do not evaluate.
const BROKEN_FILES: usize = 40;
/// Levels of the tree bomb, and how often each level lists the one below.
const TREE_LEVELS: usize = 12;
const TREE_ENTRIES: usize = 32;

type Kind = fn(&Clone, usize) -> anyhow::Result<()>;

/// Commits a bomb on the work tree; its commit.
pub(super) fn commit(clone: &Clone, n: usize) -> anyhow::Result<String> {
    const KINDS: &[Kind] =
        &[schema, broken, cel, globs, yaml, prompts, endless, logs, artifacts, sleeping, workspace];
    // The tree bomb is no work tree.
    if n % (KINDS.len() + 1) == KINDS.len() {
        return tree(clone, n);
    }
    KINDS[n % (KINDS.len() + 1)](clone, n)?;
    clone.commit("bomb")
}

fn workflow(clone: &Clone, steps: &str) -> anyhow::Result<()> {
    let text = format!(
        "def workflow():\n    return Plan('CI', triggers=[Trigger.on_pull_request()], steps=[{steps}])\n"
    );
    Ok(fs::write(clone.folder.join(".plue.py"), text)?)
}

/// A recursive schema that branches at each level.
fn schema(clone: &Clone, _: usize) -> anyhow::Result<()> {
    let nested = format!("{}1{}", "[".repeat(60), "]".repeat(60));
    let node = r##"{"anyOf": [{"type": "array", "items": {"$ref": "#"}}, {"type": "array", "items": {"$ref": "#"}}, {"type": "string"}]}"##;
    workflow(
        clone,
        &format!("Step.bash('a', 'echo \\'{{\"x\": {nested}}}\\' > $PLUE_OUTPUT', outputs={node})"),
    )
}

/// Files that do not evaluate, other ones each time.
fn broken(clone: &Clone, n: usize) -> anyhow::Result<()> {
    for file in 0..BROKEN_FILES {
        let text = format!("def workflow():\n    return Plan('x{n}', steps=[oops{file}])\n");
        fs::write(clone.folder.join(format!("broken{file}.plue.py")), text)?;
    }
    Ok(())
}

fn cel(clone: &Clone, _: usize) -> anyhow::Result<()> {
    let list = (0..200).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let nested =
        format!("[{list}].all(a, [{list}].all(b, [{list}].all(c, [{list}].all(d, a+b+c+d >= 0))))");
    workflow(clone, &format!("Step.bash('a', 'true', when='{nested}')"))
}

fn globs(clone: &Clone, _: usize) -> anyhow::Result<()> {
    let glob = "{a,b}".repeat(200);
    let stars = "**/*a".repeat(100);
    workflow(clone, &format!("Step.bash('a', 'true', artifacts=['{glob}', '{stars}'])"))
}

fn yaml(clone: &Clone, _: usize) -> anyhow::Result<()> {
    let mut text = "x-a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n".to_owned();
    for level in 1..20 {
        let below = format!("*a{}", level - 1);
        let items = vec![below; 10].join(", ");
        text.push_str(&format!("x-a{level}: &a{level} [{items}]\n"));
    }
    text.push_str("version: \"1.0\"\nname: bomb\ntasks: *a19\n");
    Ok(fs::write(clone.folder.join("bomb.plue.yaml"), text)?)
}

fn prompts(clone: &Clone, _: usize) -> anyhow::Result<()> {
    let folder = clone.folder.join(".plue/prompts");
    fs::create_dir_all(&folder)?;
    let nested = format!("{}x{}", "{{#each xs}}".repeat(30), "{{/each}}".repeat(30));
    let head = "---\nname: bomb\ninputs:\n  xs: {type: array}\n---\n";
    fs::write(folder.join("bomb.md"), format!("{head}{nested}"))?;
    workflow(clone, "Step.llm('a', Prompt('bomb', xs=list(range(100))))")
}

fn endless(clone: &Clone, n: usize) -> anyhow::Result<()> {
    let text = format!("def workflow():\n    x = {n}\n    while True:\n        x += 1\n");
    Ok(fs::write(clone.folder.join(".plue.py"), text)?)
}

fn logs(clone: &Clone, n: usize) -> anyhow::Result<()> {
    workflow(clone, &format!("Step.bash('a', 'yes {n} | head -c 1000000000')"))
}

fn artifacts(clone: &Clone, n: usize) -> anyhow::Result<()> {
    let script = format!("for i in $(seq 200); do head -c 10000000 /dev/urandom > $i.{n}; done");
    workflow(clone, &format!("Step.bash('a', '{script}', artifacts=['*'])"))
}

fn sleeping(clone: &Clone, _: usize) -> anyhow::Result<()> {
    workflow(clone, "*[Step.bash(f'a{n}', 'sleep 100000') for n in range(50)]")
}

fn workspace(clone: &Clone, _: usize) -> anyhow::Result<()> {
    workflow(clone, "Step.bash('a', 'head -c 4000000000 /dev/zero > big; sleep 100000')")
}

/// Trees that list the one below them many times: few objects, more paths than anybody can read.
fn tree(clone: &Clone, n: usize) -> anyhow::Result<String> {
    let blob = clone.git_with(&["hash-object", "-w", "--stdin"], &n.to_string())?;
    let mut below = format!("100644 blob {}", blob.trim());
    for _ in 0..TREE_LEVELS {
        let entries: String = (0..TREE_ENTRIES).map(|at| format!("{below}\te{at}\n")).collect();
        below = format!("040000 tree {}", clone.git_with(&["mktree"], &entries)?.trim());
    }
    let root = below.rsplit(' ').next().context("a tree")?.to_owned();
    Ok(clone.git(&["commit-tree", "-p", "main", "-m", "bomb", &root])?.trim().to_owned())
}
