//! Commands in tutorials and how-to guides, executed as they are printed.
//!
//! A block `console` is run, line by line behind `$ `, by one shell per page in an empty home; shown
//! output is compared. A block with `file=NAME` becomes that file. Commands of blocks `sh` and `text`
//! need a server, a network or a key: their subcommands and options are looked up in the help.
//! Must not reach anything but this machine.

#[cfg(test)]
mod page;
#[cfg(test)]
mod shell;

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{page::Page, shell};

    fn pages(folder: &str) -> Vec<(PathBuf, Page)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(folder);
        let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        let mut files: Vec<_> = files.filter(|file| file.extension().is_some()).collect();
        files.sort();
        let read = |file: PathBuf| {
            let page = Page::parse(&std::fs::read_to_string(&file).unwrap());
            (file, page)
        };
        files.into_iter().map(read).collect()
    }

    fn run_all(folder: &str) -> Vec<String> {
        let run = |(file, page): (PathBuf, Page)| {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let problems = shell::run(&page).into_iter().chain(shell::look_up(&page));
            problems.map(|problem| format!("{folder}/{name}{problem}")).collect::<Vec<_>>()
        };
        pages(folder).into_iter().flat_map(run).collect()
    }

    #[test]
    fn commands_of_tutorials_run_as_written() {
        let problems = run_all("tutorial");
        assert!(problems.is_empty(), "{}", problems.join("\n\n"));
    }

    #[test]
    fn commands_of_guides_run_as_written() {
        let problems = run_all("how-to");
        assert!(problems.is_empty(), "{}", problems.join("\n\n"));
    }
}
