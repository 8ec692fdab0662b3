//! `docs/protocol.md` tells the truth: every command the parser knows, every LIST keyword and every
//! capability a session can announce stands in it, and every transcript.
#![allow(clippy::unwrap_used, missing_docs)]

use bytes::BytesMut;
use feedd::session::{Offers, Rights, Server};
use feedd::wire::{ListFile, ListFiles};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The rows of the table under a heading of the document: the names in the first column, the
/// transcripts in the last.
fn table(heading: &str) -> Vec<(Vec<String>, Vec<String>)> {
    let text = read("docs/protocol.md");
    let section = text.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let names = cells[0].split('`').skip(1).step_by(2).map(str::to_owned).collect();
        (names, cells.last().unwrap().split_whitespace().map(str::to_owned).collect())
    })
    .collect()
}

fn names(heading: &str) -> BTreeSet<String> {
    table(heading).into_iter().map(|(names, _)| names[0].clone()).collect()
}

/// The keywords that the parser compares with.
fn keywords() -> BTreeSet<String> {
    let source = read("src/wire/command.rs");
    let code = source.split("#[cfg(test)]").next().unwrap();
    let arms = code.lines().filter_map(|line| line.trim().strip_prefix("b\"")?.split_once("\" =>"));
    let keywords: BTreeSet<String> = arms.map(|(keyword, _)| keyword.to_owned()).collect();
    assert!(keywords.len() > 20, "the parser does not look as this test thinks: {keywords:?}");
    keywords
}

/// The capabilities of a session that is offered everything, before and behind STARTTLS.
fn capabilities() -> Vec<Vec<String>> {
    let offers = Offers {
        starttls: true,
        login: true,
        login_reads: true,
        login_posts: true,
        login_offers: true,
        tls_offers: true,
        clear_login: false,
        compress: true,
    };
    let mut lines = Vec::new();
    for tls in [false, true] {
        let rights = Rights { read: true, post: true, offer: true, turn: true };
        let mut session: Server<()> = Server::new(rights, 1000).on_channel(offers, tls);
        session.set_lists(ListFile::ALL.into_iter().fold(ListFiles::default(), ListFiles::with));
        let mut out = Vec::new();
        session.step(&mut BytesMut::from("CAPABILITIES\r\n"), &mut out);
        let text = String::from_utf8(out).unwrap();
        let block = text.lines().skip(1).take_while(|line| *line != ".");
        lines.extend(block.map(|line| line.split(' ').map(str::to_owned).collect()));
    }
    lines
}

#[test]
fn every_command_is_in_the_document() {
    assert_eq!(names("Commands"), keywords());
}

#[test]
fn every_capability_is_in_the_document() {
    let announced: BTreeSet<String> = capabilities().iter().map(|line| line[0].clone()).collect();
    assert_eq!(names("Capabilities"), announced);
    let lists = capabilities().into_iter().find(|line| line[0] == "LIST").unwrap();
    assert_eq!(names("LIST keywords"), lists.into_iter().skip(1).collect());
}

#[test]
fn named_transcripts_are_there_and_say_what_they_are_named_for() {
    for (heading, before) in [("Commands", "\nC: "), ("LIST keywords", "\nC: LIST ")] {
        for (names, transcripts) in table(heading) {
            assert!(!transcripts.is_empty(), "{} has no transcript", names[0]);
            for transcript in &transcripts {
                let text = read(&format!("tests/transcripts/{transcript}.txt")).to_uppercase();
                let said = format!("{before}{}", names[0]);
                assert!(text.contains(&said), "{transcript} does not say {}", names[0]);
            }
        }
    }
    for (names, transcripts) in table("Capabilities") {
        for transcript in &transcripts {
            let text = read(&format!("tests/transcripts/{transcript}.txt"));
            assert!(text.contains(&format!("\nS: {}", names[0])), "{transcript} lacks {}", names[0]);
        }
    }
}

#[test]
fn every_transcript_is_in_the_document() {
    let text = read("docs/protocol.md");
    let words: BTreeSet<&str> =
        text.split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '.')).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(words.contains(name), "{name} is not in docs/protocol.md");
    }
}
