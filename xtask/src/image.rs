//! `cargo xtask image`: OCI archives of the engine, the runner and the evaluator, without a daemon and
//! without a right of its own. The same programs and packages give the same bytes.
//!
//! Must not build programs: it packs those that `cargo build` has put into the target folder.

mod debian;
mod layer;
mod oci;
mod sbom;

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;

use self::{
    debian::Package,
    layer::Layer,
    oci::{Image, Settings},
};

/// The user of every image; a number, so that Kubernetes can see that it is not root.
const USER: u64 = 10001;
/// Packages without which no program here starts.
const BASE: &[&str] = &["base-files", "bash", "coreutils", "git", "ca-certificates"];

/// Options of `cargo xtask image`.
#[derive(Debug, clap::Args)]
pub(crate) struct ImageArgs {
    /// The profile whose programs are packed: `dist`, `release` or `debug`.
    #[arg(long, value_name = "PROFILE", default_value = "dist")]
    profile: String,
    /// The target folder, relative to the repository.
    #[arg(long, value_name = "DIR", default_value = "target")]
    target: PathBuf,
    /// The folder for archives and their lists of parts [default: images in the target folder].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The images: `engine`, `runner`, `evaluator` [default: all].
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
}

/// The contents of one image.
struct Recipe {
    name: &'static str,
    programs: &'static [&'static str],
    packages: &'static [&'static str],
    entry: &'static str,
}

const RECIPES: &[Recipe] = &[
    Recipe {
        name: "engine",
        programs: &["plue", "plue-runner", "plue-evaluator"],
        packages: &["bubblewrap", "libpython3.11", "python3-minimal"],
        entry: "plue",
    },
    Recipe {
        name: "runner",
        programs: &["plue-runner"],
        packages: &[
            "findutils",
            "grep",
            "gzip",
            "libpython3.11-stdlib",
            "python3-minimal",
            "sed",
            "tar",
        ],
        entry: "plue-runner",
    },
    Recipe {
        name: "evaluator",
        programs: &["plue-evaluator"],
        packages: &["libpython3.11"],
        entry: "plue-evaluator",
    },
];

pub(crate) fn run(root: &Path, arguments: &ImageArgs) -> anyhow::Result<ExitCode> {
    let target = root.join(&arguments.target);
    let out = arguments.out.as_ref().map_or_else(|| target.join("images"), |out| root.join(out));
    fs::create_dir_all(&out).with_context(|| format!("make {}", out.display()))?;
    let lock = fs::read_to_string(root.join("Cargo.lock")).context("read Cargo.lock")?;
    let chosen = |recipe: &&Recipe| {
        arguments.images.is_empty() || arguments.images.iter().any(|name| name == recipe.name)
    };
    let mut stdout = std::io::stdout().lock();
    for recipe in RECIPES.iter().filter(chosen) {
        let names: Vec<&str> = match recipe.name {
            // It opens no shell and fetches nothing.
            "evaluator" => recipe.packages.to_vec(),
            _ => BASE.iter().chain(recipe.packages).copied().collect(),
        };
        let packages = debian::fetch(&names, &target.join("images-cache"))?;
        let settings = Settings { name: recipe.name, entry: recipe.entry, user: USER };
        let sbom = sbom::spdx(recipe.name, &lock, &packages)?;
        let programs = programs_layer(recipe, &target.join(&arguments.profile), &sbom)?;
        let image = Image::new(&settings, &[debian_layer(&packages)?, programs])?;
        let archive = out.join(format!("plue-{}.oci.tar", recipe.name));
        fs::write(&archive, image.archive()?)
            .with_context(|| format!("write {}", archive.display()))?;
        fs::write(out.join(format!("plue-{}.spdx.json", recipe.name)), &sbom)
            .context("write the SBOM")?;
        let sizes = image.sizes();
        writeln!(
            stdout,
            "{} {} {} packages, {} KiB compressed ({} KiB of packages, {} KiB of programs)",
            archive.display(),
            image.digest(),
            packages.len(),
            sizes.iter().sum::<usize>() / 1024,
            sizes.first().unwrap_or(&0) / 1024,
            sizes.get(1).unwrap_or(&0) / 1024,
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The files of Debian packages, and those that their installation would make.
fn debian_layer(packages: &[Package]) -> anyhow::Result<Layer> {
    let mut layer = Layer::default();
    for (link, target) in
        [("bin", "usr/bin"), ("sbin", "usr/sbin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")]
    {
        layer.link(link, target);
    }
    for package in packages {
        debian::unpack(package, &mut layer)?;
    }
    // As `update-ca-certificates` writes it.
    let certificates = layer.concatenated("usr/share/ca-certificates/", ".crt");
    if !certificates.is_empty() {
        layer.file("etc/ssl/certs/ca-certificates.crt", 0o644, certificates);
    }
    if !layer.has("usr/bin/sh") && layer.has("usr/bin/bash") {
        layer.link("usr/bin/sh", "bash");
    }
    Ok(layer)
}

/// Our programs, the user that runs them, folders that it writes, and the list of parts.
fn programs_layer(recipe: &Recipe, programs: &Path, sbom: &[u8]) -> anyhow::Result<Layer> {
    let mut layer = Layer::default();
    for name in recipe.programs {
        let path = programs.join(name);
        let bytes = fs::read(&path).with_context(|| {
            format!("read {}; `cargo build --profile dist` builds it", path.display())
        })?;
        layer.file(&format!("usr/bin/{name}"), 0o755, bytes);
    }
    let passwd = format!(
        "root:x:0:0:root:/root:/usr/sbin/nologin\nplue:x:{USER}:{USER}:plue:/tmp:/bin/bash\n"
    );
    layer.file("etc/passwd", 0o644, passwd.into_bytes());
    layer.file("etc/group", 0o644, format!("root:x:0:\nplue:x:{USER}:\n").into_bytes());
    layer.file(
        "etc/nsswitch.conf",
        0o644,
        b"passwd: files\ngroup: files\nhosts: files dns\n".to_vec(),
    );
    layer.directory("tmp", 0o1777, 0);
    layer.directory("var/lib/plue", 0o755, USER);
    layer.directory("workspace", 0o755, USER);
    layer.file("usr/share/plue/sbom.spdx.json", 0o644, sbom.to_vec());
    Ok(layer)
}
