//! The pages for people: every link between them leads to a file and a heading that are there, and every file of the code
//! that they name is there. Read [`Page`] first.

use std::path::{Path, PathBuf};

/// A Markdown file, without its blocks of code.
struct Page {
    path: PathBuf,
    text: String,
}

impl Page {
    fn read(path: PathBuf) -> Self {
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text.split("\n```").step_by(2).collect();
        Self { path, text }
    }

    /// Those of the top directory, of `docs/`, and of the other directories that have one.
    fn all() -> Vec<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let dirs = ["", "docs", "deploy", "scenarios/any-server"]
            .map(|dir| std::fs::read_dir(root.join(dir)).unwrap());
        let files = dirs.into_iter().flatten().map(|entry| entry.unwrap().path());
        files
            .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
            .map(Self::read)
            .collect()
    }

    /// What stands in the round brackets of links and pictures, without those to other hosts.
    fn links(&self) -> impl Iterator<Item = &str> {
        let targets = self.text.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
        targets.filter(|target| !target.contains("://"))
    }

    /// Files and folders of the code that stand in its text as code, with a slash in the middle.
    fn paths(&self) -> impl Iterator<Item = &str> {
        let code = self.text.split('`').skip(1).step_by(2);
        code.filter(|code| !code.starts_with('/') && (code.ends_with(".rs") || code.ends_with('/')))
            .filter(|code| code.trim_end_matches('/').contains('/') && !code.contains([' ', ':', '<', '\n']))
    }

    /// Headings as a forge makes anchors of them.
    fn has_heading(&self, anchor: &str) -> bool {
        let headings = self.text.lines().filter(|line| line.starts_with('#'));
        let anchor_of = |line: &str| {
            let words = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
            words.replace(|c: char| !c.is_alphanumeric() && c != '-' && c != '_', "")
        };
        headings.map(anchor_of).any(|heading| heading == anchor)
    }
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    let pages = Page::all();
    assert!(pages.iter().map(|page| page.links().count()).sum::<usize>() > 50, "few links were found");
    let mut broken = Vec::new();
    for page in &pages {
        for link in page.links() {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let beside = page.path.with_file_name(file);
            let target = if file.is_empty() { Ok(page.path.clone()) } else { beside.canonicalize() };
            let is_there =
                target.is_ok_and(|target| anchor.is_empty() || Page::read(target).has_heading(anchor));
            if !is_there {
                broken.push(format!("{}: {link}", page.path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere: {broken:#?}");
}

/// All files and folders below a directory, the latter with a slash at their end.
fn tree(dir: &Path, found: &mut Vec<String>) {
    for path in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            found.push(format!("{}/", path.display()));
            tree(&path, found);
        } else {
            found.push(path.display().to_string());
        }
    }
}

#[test]
fn every_file_of_the_code_that_a_page_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    ["src", "benches", "tests", "scenarios", "docs", "deploy"]
        .iter()
        .for_each(|dir| tree(&root.join(dir), &mut found));
    // What changed may name what is no more.
    let pages = Page::all().into_iter().filter(|page| !page.path.ends_with("CHANGELOG.md"));
    let named: Vec<(PathBuf, String)> = pages
        .flat_map(|page| page.paths().map(|path| (page.path.clone(), format!("/{path}"))).collect::<Vec<_>>())
        .collect();
    assert!(named.len() > 50, "few paths were found");
    let missing = named.iter().filter(|(_, path)| !found.iter().any(|found| found.ends_with(path.as_str())));
    let missing: Vec<_> = missing.collect();
    assert!(missing.is_empty(), "named, and not there: {missing:#?}");
}
