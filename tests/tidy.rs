//! House rules that a compiler does not know: which room may use which, how long a file may be, what
//! must not be left lying about.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms by level; `use` may point down or to a neighbour, never up.
const LEVELS: [&[&str]; 6] = [
    &["wildmat", "clock", "decimal", "limits", "random"],
    &["wire", "article", "binary"],
    &["agent", "access", "accounts", "session", "config", "tls", "sync"],
    &["store", "journal"],
    &["intake", "feed", "net", "transport", "admin", "client", "transfer"],
    &["daemon", "cli", "main", "bin"],
];

/// Arrows that no level forbids, but the design does.
const FORBIDDEN: [(&str, &str); 3] = [("wire", "article"), ("session", "config"), ("agent", "session")];

/// The rooms that may name tokio.
const TOKIO: [&str; 7] = ["feed", "net", "transport", "admin", "daemon", "cli", "main"];

const LINES_MAX: usize = 600;

fn rust_files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, into);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            into.push(path);
        }
    }
}

fn sources(folders: &[&str]) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in folders {
        if root.join(folder).is_dir() {
            rust_files(&root.join(folder), &mut files);
        }
    }
    assert!(files.len() > 20, "the sources are not where they should be");
    files
        .into_iter()
        .map(|file| {
            let text = fs::read_to_string(&file).unwrap();
            (file.strip_prefix(root).unwrap().to_path_buf(), text)
        })
        .collect()
}

/// The room a file of `src` belongs to: its folder, or its own name.
fn room(file: &Path) -> String {
    let first = file.iter().nth(1).unwrap();
    Path::new(first).file_stem().unwrap().to_str().unwrap().to_owned()
}

/// The part of a file that is the program's: unit tests may look wherever they like.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap()
}

/// The rooms a file names as `crate::room` (the binaries: `feedd::room`), comments left out.
fn rooms_used(text: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    let code = without_tests(text).lines().filter(|line| !line.trim_start().starts_with("//"));
    for line in code {
        for prefix in ["crate::", "feedd::"] {
            for (at, _) in line.match_indices(prefix) {
                let rest = &line[at + prefix.len()..];
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
                used.insert(rest[..end].to_owned());
            }
        }
    }
    used
}

fn level(room: &str) -> Option<usize> {
    LEVELS.iter().position(|rooms| rooms.contains(&room))
}

#[test]
fn arrows_between_rooms_point_down() {
    let mut wrong = Vec::new();
    let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (file, text) in sources(&["src"]) {
        let from = room(&file);
        if from == "lib" || file.ends_with("server_tests.rs") {
            continue;
        }
        let Some(from_level) = level(&from) else {
            wrong.push(format!("{}: the room `{from}` stands on no level", file.display()));
            continue;
        };
        for to in rooms_used(&text) {
            let Some(to_level) = level(&to) else { continue };
            if to_level > from_level || FORBIDDEN.contains(&(from.as_str(), to.as_str())) {
                wrong.push(format!("{}: `{from}` must not use `{to}`", file.display()));
            }
            if to != from {
                arrows.entry(from.clone()).or_default().insert(to);
            }
        }
        if !TOKIO.contains(&from.as_str()) && without_tests(&text).contains("tokio::") {
            wrong.push(format!("{}: `{from}` must not know tokio", file.display()));
        }
        if from != "store" && without_tests(&text).contains("sled::") {
            wrong.push(format!("{}: sled is the store's own business", file.display()));
        }
    }
    for (from, to) in arrows.iter().flat_map(|(from, tos)| tos.iter().map(move |to| (from, to))) {
        if arrows.get(to).is_some_and(|back| back.contains(from)) && from < to {
            wrong.push(format!("`{from}` and `{to}` use each other"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_the_clock_reads_time() {
    let wrong: Vec<String> = sources(&["src"])
        .into_iter()
        .filter(|(file, text)| !file.ends_with("clock.rs") && without_tests(text).contains("SystemTime::now"))
        .map(|(file, _)| file.display().to_string())
        .collect();
    assert!(wrong.is_empty(), "the wall clock is read in {}", wrong.join(", "));
}

#[test]
fn files_are_rooms_not_warehouses() {
    let long: Vec<String> = sources(&["src", "tests", "benches"])
        .into_iter()
        .map(|(file, text)| (file, text.lines().count()))
        .filter(|(_, lines)| *lines > LINES_MAX)
        .map(|(file, lines)| format!("{} has {lines} lines, {LINES_MAX} are allowed", file.display()))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn nothing_is_left_lying_about() {
    let leftovers =
        ["FIX".to_owned() + "ME", "TO".to_owned() + "DO", "XX".to_owned() + "X", "dbg".to_owned() + "!("];
    let mut wrong = Vec::new();
    for (file, text) in sources(&["src", "tests", "benches"]) {
        for leftover in &leftovers {
            if text.contains(leftover.as_str()) {
                wrong.push(format!("{}: {leftover}", file.display()));
            }
        }
        if !text.starts_with("//!") {
            wrong.push(format!("{} does not say what it is for", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
