//! Newsreaders for terminals in modes that need no hand: tin saves and posts in batch, slrn runs a
//! script, slrnpull and suck fetch and post what others show.

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;

use super::host::{BODY, Door, Host, NEWSGROUP, PASSWORD, SUBJECT, USER, is_there, stuffed};
use crate::support::site::beside_the_project;

/// An article in the form of a file, from `site`.
fn article(id: &str, body: &str) -> String {
    format!(
        "From: A Poster <poster@terminal.example>\nNewsgroups: {NEWSGROUP}\nSubject: {SUBJECT}\n\
         Message-ID: {id}\n\n{body}"
    )
}

/// Does a saved article have the body that the host's has?
#[track_caller]
fn is_whole(saved: &Path) {
    let text = fs::read_to_string(saved).unwrap_or_else(|e| panic!("{}: {e}", saved.display()));
    assert!(text.ends_with(&format!("\n\n{BODY}")), "{text}");
    assert!(text.contains(&format!("Subject: {SUBJECT}")), "{text}");
}

fn tin(door: Door) {
    if !is_there("tin -V && command -v script", "tin") {
        return;
    }
    let host = Host::start(door);
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    fs::create_dir(home.join(".tin")).unwrap();
    let charset = "mm_charset=UTF-8\nmm_network_charset=UTF-8\npost_mime_encoding=8bit\n";
    fs::write(home.join(".tin/tinrc"), charset).unwrap();
    fs::write(home.join(".newsrc"), format!("{NEWSGROUP}: \n")).unwrap();
    let mut login = fs::OpenOptions::new();
    login.write(true).create(true).mode(0o600);
    let login = login.open(home.join(".newsauth")).unwrap();
    std::io::Write::write_all(&mut &login, format!("127.0.0.1 \"{PASSWORD}\" {USER}\n").as_bytes()).unwrap();
    let id = "<posted@tin.example>";
    let postponed = format!("From A Poster\n{}\n", article(id, BODY));
    fs::write(home.join(".tin/postponed.articles"), postponed).unwrap();

    let port = host.entrance.port();
    // Its certificate is nobody's, and tin knows no way to trust it: -k.
    let how = if door == Door::Tls { "-T -k -A" } else { "" };
    let tin = format!("tin {how} -r -g 127.0.0.1 -p {port}");
    let shell = |command: &str| {
        let mut sh = Command::new("sh");
        sh.args(["-c", command]).env("HOME", home).env("TERM", "vt100").current_dir(home);
        sh
    };
    let unread = host.entrance.runs(&mut shell(&format!("{tin} -Z -q -d")));
    assert_eq!(unread.status.code(), Some(2), "there is unread news: {unread:?}");
    host.entrance.hears(&mut shell(&format!("{tin} -S -v -q -d -s {}/News", home.display())));
    is_whole(&home.join("News/test/a/1"));
    // Posting wants a terminal, be it one that nobody looks at.
    host.entrance.hears(&mut shell(&format!("script -qefc '{tin} -o -Q' /dev/null")));
    host.got(id, &["=?UTF-8?B?R3LDvMOfZQ==?= aus =?UTF-8?B?S8O2bG4=?="]);
}

fn slrnpull(door: Door) {
    if !is_there("slrnpull --version", "slrnpull") {
        return;
    }
    let host = Host::start(door);
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path();
    fs::create_dir(spool.join("out.going")).unwrap();
    fs::write(spool.join("slrnpull.conf"), format!("{NEWSGROUP} 100 0\n")).unwrap();
    let id = "<posted@slrn.example>";
    // What slrn leaves for slrnpull is stuffed already.
    fs::write(spool.join("out.going/X1"), article(id, &stuffed().replace('\r', ""))).unwrap();
    let scheme = if door == Door::Tls { "snews://" } else { "" };
    if door == Door::Tls {
        fs::write(spool.join("authinfo"), format!("{USER}\n{PASSWORD}\n")).unwrap();
    }
    let mut pull = Command::new("slrnpull");
    pull.arg("-d").arg(spool).arg("-h").arg(format!("{scheme}127.0.0.1:{}", host.entrance.port()));
    host.entrance.hears(pull.env("HOME", spool));
    host.got(id, &[SUBJECT]);
    is_whole(&spool.join("news/test/a/1"));
    let overview = fs::read_to_string(spool.join("news/test/a/.overview")).unwrap();
    assert!(overview.contains(SUBJECT), "{overview}");
}

/// slrn at a terminal that nobody looks at, led by `reader.sl`.
fn slrn(door: Door) {
    if !is_there("slrn --version && command -v script", "slrn") {
        return;
    }
    let host = Host::start(door);
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let id = "<posted@slrn.example>";
    fs::write(home.join("body"), BODY).unwrap();
    // What it calls an editor.
    let editor =
        format!("#!/bin/sh\n{{ echo 'Message-ID: {id}'; cat \"$1\" body; }} >new && cat new >\"$1\"\n");
    fs::write(home.join("editor"), editor).unwrap();
    let scheme = if door == Door::Tls { "snews://" } else { "" };
    let address = format!("{scheme}127.0.0.1:{}", host.entrance.port());
    let login = if door == Door::Tls {
        format!("nnrpaccess \"{address}\" \"{USER}\" \"{PASSWORD}\"\n")
    } else {
        String::new()
    };
    let settings = format!(
        "charset display utf-8\ncharset outgoing utf-8\nset generate_message_id 0\nset confirm_actions 0\n\
         set username \"poster\"\nset hostname \"slrn.example\"\nset signature \"\"\n\
         set editor_command \"sh editor '%s'\"\n{login}interpret \"{}\"\n",
        beside_the_project("tests/interop/reader.sl").display()
    );
    fs::write(home.join("settings"), settings).unwrap();
    fs::write(home.join("newsrc"), format!("{NEWSGROUP}:\n")).unwrap();
    let slrn = format!("slrn --nntp -n -h {address} -f newsrc -i settings");
    let saved = home.join("saved");
    let mut script = Command::new("script");
    script.args(["-qefc", &slrn, "/dev/null"]).current_dir(home);
    host.entrance.hears(script.env("HOME", home).env("TERM", "vt100").env("INTEROP_SAVED", &saved));
    is_whole(&saved);
    host.got(id, &["=?UTF-8?Q?Gr=C3=BC=C3=9Fe?= aus =?UTF-8?Q?K=C3=B6ln?="]);
}

/// suck fetches by XHDR and ARTICLE, its companion rpost posts.
#[test]
#[ignore = "needs the Debian package suck"]
fn suck_and_rpost() {
    if !is_there("command -v suck && command -v rpost", "suck") {
        return;
    }
    let host = Host::start(Door::Plain);
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let got = dir.join("got");
    fs::create_dir(&got).unwrap();
    fs::write(dir.join("sucknewsrc"), format!("{NEWSGROUP} 0\n")).unwrap();
    let port = host.entrance.port().to_string();
    let mut suck = Command::new("suck");
    suck.args(["127.0.0.1", "-N", &port, "-m", "-hl", "localhost", "-H", "-c", "-q", "-dt", ".", "-dd", "."]);
    host.entrance.hears(suck.arg("-dm").arg(&got).current_dir(dir));
    let saved: Vec<_> = fs::read_dir(&got).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(saved.len(), 1, "{saved:?}");
    is_whole(&saved[0]);
    let id = "<posted@suck.example>";
    fs::write(dir.join("article"), article(id, BODY)).unwrap();
    let mut sh = Command::new("sh");
    sh.args(["-c", &format!("rpost 127.0.0.1 -N {port} -M <article")]);
    host.entrance.hears(sh.current_dir(dir));
    host.got(id, &[SUBJECT]);
}

#[test]
#[ignore = "needs the Debian package tin"]
fn tin_in_clear() {
    tin(Door::Plain);
}

#[test]
#[ignore = "needs the Debian package tin"]
fn tin_over_tls() {
    tin(Door::Tls);
}

#[test]
#[ignore = "needs the Debian package slrn"]
fn slrn_in_clear() {
    slrn(Door::Plain);
}

#[test]
#[ignore = "needs the Debian package slrn"]
fn slrn_over_tls() {
    slrn(Door::Tls);
}

#[test]
#[ignore = "needs the Debian package slrnpull"]
fn slrnpull_in_clear() {
    slrnpull(Door::Plain);
}

#[test]
#[ignore = "needs the Debian package slrnpull"]
fn slrnpull_over_tls() {
    slrnpull(Door::Tls);
}
