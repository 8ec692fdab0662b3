//! Libraries that newsreaders are made of, each driven by a script of its own: log in, list, select,
//! overview, read, post.

use std::process::Command;

use super::host::{Door, Host, SUBJECT, is_there};
use crate::support::site::beside_the_project;

/// Runs a script of this folder (the last word of `program`), whose last word is the Message-ID of
/// what it posted.
#[track_caller]
fn reads_and_posts(program: &[&str], door: Door) {
    let host = Host::start(door);
    let (script, program) = program.split_last().unwrap();
    let mut stranger = Command::new(program[0]);
    stranger.args(&program[1..]).arg(beside_the_project("tests/interop").join(script));
    let said = host.entrance.hears(&mut stranger);
    host.got(said.split_whitespace().last().unwrap(), &[SUBJECT]);
}

fn python(door: Door) {
    let package = "Python's nntplib (in Python before 3.13, or standard-nntplib)";
    if is_there("python3 -W ignore -c 'import nntplib'", package) {
        reads_and_posts(&["python3", "-W", "ignore", "reader.py"], door);
    }
}

fn perl(door: Door) {
    let modules = if door == Door::Plain { "" } else { "-MIO::Socket::SSL" };
    let package = "Perl's Net::NNTP (perl, and libio-socket-ssl-perl for TLS)";
    if is_there(&format!("perl -MNet::NNTP {modules} -e 1"), package) {
        reads_and_posts(&["perl", "reader.pl"], door);
    }
}

fn node(door: Door) {
    if is_there("node -e 'require(\"newsie\")'", "newsie (npm)") {
        reads_and_posts(&["node", "reader.js"], door);
    }
}

fn gnus(door: Door) {
    if is_there("emacs --version", "Emacs (emacs-nox)") {
        reads_and_posts(&["emacs", "-Q", "--batch", "-l", "reader.el"], door);
    }
}

#[test]
#[ignore = "needs python3 with nntplib"]
fn pythons_nntplib() {
    python(Door::Plain);
}

#[test]
#[ignore = "needs python3 with nntplib"]
fn pythons_nntplib_over_starttls() {
    python(Door::StartTls);
}

#[test]
#[ignore = "needs python3 with nntplib"]
fn pythons_nntplib_over_tls() {
    python(Door::Tls);
}

#[test]
#[ignore = "needs perl with Net::NNTP"]
fn perls_net_nntp() {
    perl(Door::Plain);
}

#[test]
#[ignore = "needs perl with Net::NNTP and IO::Socket::SSL"]
fn perls_net_nntp_over_starttls() {
    perl(Door::StartTls);
}

#[test]
#[ignore = "needs perl with Net::NNTP and IO::Socket::SSL"]
fn perls_net_nntp_over_tls() {
    perl(Door::Tls);
}

#[test]
#[ignore = "needs node with newsie"]
fn newsie() {
    node(Door::Plain);
}

#[test]
#[ignore = "needs node with newsie"]
fn newsie_over_starttls() {
    node(Door::StartTls);
}

#[test]
#[ignore = "needs node with newsie"]
fn newsie_over_tls() {
    node(Door::Tls);
}

#[test]
#[ignore = "needs emacs"]
fn gnus_in_clear() {
    gnus(Door::Plain);
}

#[test]
#[ignore = "needs emacs"]
fn gnus_over_starttls() {
    gnus(Door::StartTls);
}
