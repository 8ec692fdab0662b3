//! Conversations: every file in `tests/transcripts/` is run on the bare session, with a site in memory
//! behind it, and over TCP against a whole site.
//!
//! `C:` is what the client sends, `S:` what the server must answer, line by line; in an `S:` line `*`
//! stands for anything. Everything a client sends between two answers goes out in one piece, so
//! pipelining is as easy to write as a dialogue. `#` lines are comments, or declare what the site has
//! before (`A:` lines are the text that belongs to such a line):
//!
//! | line | declares |
//! |---|---|
//! | `# newsgroups: a b! c-` | newsgroups; `b!` is moderated, `c-` without posting |
//! | `# newsgroup: a =b What it is about` | one newsgroup with its status as in LIST ACTIVE |
//! | `# creator: a <b@example.com>` | who created a newsgroup |
//! | `# article: a:7 b:3 arrived=930182400` | an article, as it is served but for Xref |
//! | `# articles: a:1 a:4` | articles of which nothing matters but that they are there |
//! | `# next number: a 12` | the number that a newsgroup gives next |
//! | `# list: motd` | one of the operator's lists |
//! | `# client may: read post offer` | the client's rights; without it `read post` |
//! | `# held: <a@example.com>` | an article that another connection is bringing |
//! | `# certificate`, `# account: fred flintstone`, `# clear logins` | TLS, accounts, and that they need no TLS |
//! | `# a rule lets read: *,!local.*` | the newsgroups that there are for the client, who posts nowhere then |
//! | `# starttls`, `# compress` | in the conversation: from here on TLS, or DEFLATE; over TCP it is done |
//! | `# not on the bare session: why`, `# not over TCP: why` | where it is not run |
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "transcripts_run/bare.rs"]
mod bare;
#[path = "transcripts_run/script.rs"]
mod script;
#[path = "transcripts_run/site.rs"]
mod site;
#[path = "transcripts_run/tcp.rs"]
mod tcp;
#[path = "transcripts_run/wire.rs"]
mod wire;

use script::{Script, matches};
use std::fs;
use std::path::Path;

fn scripts() -> Vec<Script> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 3);
    let name = |file: &Path| file.file_name().unwrap().to_str().unwrap().to_owned();
    files.iter().map(|file| Script::parse(&name(file), &fs::read_to_string(file).unwrap())).collect()
}

#[test]
fn every_transcript_holds_on_the_bare_session() {
    for script in scripts().iter().filter(|script| script.not_bare.is_none()) {
        bare::run(script);
    }
}

#[test]
fn every_transcript_holds_over_tcp() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for script in scripts().iter().filter(|script| script.not_tcp.is_none()) {
        let folder = tempfile::tempdir().unwrap();
        tcp::run(script, folder.path(), &runtime);
    }
}

#[test]
fn where_a_transcript_is_not_run_it_says_why() {
    for script in scripts() {
        let reasons: Vec<&String> = script.not_bare.iter().chain(&script.not_tcp).collect();
        assert!(reasons.len() < 2, "{} is run nowhere", script.name);
        assert!(reasons.iter().all(|why| why.trim().len() > 10), "{}: why?", script.name);
    }
}

#[test]
fn the_pattern_of_an_answer_can_fail() {
    assert!(matches("211 * list", "211 1 2 3 list") && matches("x*", "x") && matches("*", ""));
    assert!(!matches("211 *", "411 x") && !matches("2", "21") && !matches("a*c", "ab"));
}
