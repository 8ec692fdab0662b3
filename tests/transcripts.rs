//! Conversations: every file in `tests/transcripts/` is run against a site of its own over TCP.
//!
//! `C:` is what the client sends, `S:` what the server must answer, line by line; in an `S:` line `*`
//! stands for anything. `#` lines are comments; `# newsgroups: a b` creates newsgroups first (`b!` a
//! moderated one, `c-` one without posting). Everything a client sends between two answers goes out in
//! one piece, so pipelining is as easy to write as a dialogue.
#![allow(clippy::unwrap_used, missing_docs)]

use feedd::article::NewsgroupName;
use feedd::config::{Config, Network};
use feedd::daemon::Daemon;
use feedd::store::{GroupStatus, Options, Store};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

/// Does `line` match `pattern`, where `*` stands for anything?
fn matches(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap()) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

fn prepare(folder: &Path, script: &str) {
    let store = Store::open(Options::new(folder, "site.example")).unwrap();
    for line in script.lines() {
        for name in line.strip_prefix("# newsgroups:").unwrap_or_default().split_whitespace() {
            let (name, status) = match name.as_bytes().last().unwrap() {
                b'!' => (&name[..name.len() - 1], GroupStatus::Moderated),
                b'-' => (&name[..name.len() - 1], GroupStatus::NoPosting),
                _ => (name, GroupStatus::Posting),
            };
            let description = format!("About {name}");
            store.set_group(&NewsgroupName::try_from(name).unwrap(), status, &description, "tester").unwrap();
        }
    }
    store.close();
}

fn converse(name: &str, script: &str, port: u16) {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    let mut unsent = Vec::new();
    for (number, line) in script.lines().enumerate() {
        let at = format!("{name}:{}", number + 1);
        if let Some(text) = line.strip_prefix("C:") {
            unsent.extend_from_slice(text.strip_prefix(' ').unwrap_or(text).as_bytes());
            unsent.extend_from_slice(b"\r\n");
        } else if let Some(pattern) = line.strip_prefix("S:") {
            writer.write_all(&unsent).unwrap();
            unsent.clear();
            let mut answer = String::new();
            reader.read_line(&mut answer).unwrap_or_else(|error| panic!("{at}: no answer: {error}"));
            let answer = answer.strip_suffix("\r\n").unwrap_or_else(|| panic!("{at}: got {answer:?}"));
            let pattern = pattern.strip_prefix(' ').unwrap_or(pattern);
            assert!(matches(pattern, answer), "{at}: expected {pattern:?}, got {answer:?}");
        } else {
            assert!(line.is_empty() || line.starts_with('#'), "{at}: neither C: nor S: nor a comment");
        }
    }
    // What the script does not say must not be there: the end comes next, or silence until QUIT.
    writer.write_all(&unsent).unwrap();
    let _ = writer.write_all(b"QUIT\r\n");
    let mut rest = String::new();
    reader.read_line(&mut rest).unwrap();
    assert!(rest.is_empty() || rest.starts_with("205"), "{name}: and then it said {rest:?}");
}

#[test]
fn every_transcript_holds_over_tcp() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let script = fs::read_to_string(&file).unwrap();
        let temp = tempfile::tempdir().unwrap();
        let mut config = Config::built_in();
        config.site.identity = "site.example".try_into().unwrap();
        config.site.listen = vec!["127.0.0.1:0".parse().unwrap()];
        config.site.data = temp.path().join("data");
        config.site.readers = vec![Network { address: "127.0.0.0".parse().unwrap(), prefix: 8 }];
        config.site.posters = config.site.readers.clone();
        fs::write(temp.path().join("peers.toml"), script_peers(&script)).unwrap();
        prepare(&config.site.data, &script);
        if script.contains("# peer") {
            let site = temp.path().join("feedd.toml");
            let data = "identity = \"site.example\"\nlisten = [\"127.0.0.1:0\"]\ndata = \"data\"\n";
            fs::write(&site, data).unwrap();
            config = Config::read(&site).unwrap();
        }
        let daemon = runtime.block_on(Daemon::start(config, None, &[])).unwrap();
        converse(&name, &script, daemon.addresses()[0].port());
        runtime.block_on(daemon.stop());
    }
}

/// A `# peer` line makes the client a peer that may offer.
fn script_peers(script: &str) -> &'static str {
    if script.contains("# peer") {
        "[[peer]]\nname = \"peer.example\"\naccept_from = [\"127.0.0.1\"]\naccept = \"*,!unwanted.*\"\n"
    } else {
        ""
    }
}

#[test]
fn the_pattern_of_an_answer_can_fail() {
    assert!(matches("211 * list", "211 1 2 3 list") && matches("x*", "x") && matches("*", ""));
    assert!(!matches("211 *", "411 x") && !matches("2", "21") && !matches("a*c", "ab"));
}
