//! Peers found by their names: SRV records, many addresses, and a DNS that fails. The name server is real,
//! and so are the sites that find each other by it.

#![allow(clippy::unwrap_used, reason = "a failing step of a test is a failing test")]

mod support;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::Duration;

use feedd::random;
use feedd::transport::{Machine, Network, arrange};
use support::articles::{message_id, posted, run_of};
use support::dns::{Mood, NameServer, Record};
use support::process::{free_port, wait_until};
use support::random::Random;
use support::site::{FEEDD, Site};

const NEWSGROUP: &str = "test.a";
const WITHIN: Duration = Duration::from_secs(60);
/// Of loopback, and nobody listens there at any port.
const NOBODY: &str = "127.99.99.99";

fn service(priority: u16, weight: u16, port: u16, target: &str) -> Record {
    Record::Service(priority, weight, port, target.to_owned())
}

/// A site that asks this name server, and is not started.
fn asking(identity: &str, dns: &NameServer) -> Site {
    let site = Site::init(identity, &[NEWSGROUP]);
    edit(&site, "feedd.toml", "dns = []", &format!("dns = [\"{}\"]", dns.address));
    site
}

fn edit(site: &Site, file: &str, from: &str, to: &str) {
    let path = site.dir().join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

/// A running site that takes articles from `a.example`, with a certificate of its own making if `tls`.
fn taking(identity: &str, more: &[&str]) -> Site {
    let mut site = Site::init_with(identity, &[NEWSGROUP], more);
    site.feedd(&["peer", "add"], &["a", "--identity", "a.example", "--accept-from", "loopback"]);
    site.start();
    site
}

/// The peer `b`, by this address and no other word.
fn add_b(site: &Site, address: &str, more: &[&str]) {
    let add = ["b", "--identity", "b.example", "--accept-from", "loopback", "--address", address];
    site.feedd(&["peer", "add"], &[&add[..], more].concat());
}

fn post(site: &Site, number: u64) -> String {
    let id = message_id(&site.identity, number);
    let said = site.client().post(&posted(Some(&id), NEWSGROUP, 1000)).unwrap();
    assert!(said.starts_with("240"), "{said}");
    id
}

#[track_caller]
fn until_there(site: &Site, id: &str) {
    assert!(wait_until(WITHIN, || site.client().has(id)), "{} has no {id}", site.identity);
}

/// Waits for an error of the only feed that has these words.
#[track_caller]
fn until_error(site: &Site, words: &[&str]) {
    let mut last = String::new();
    let told = wait_until(WITHIN, || {
        let status: serde_json::Value =
            serde_json::from_str(&site.feedd(&["status", "--json"], &[])).unwrap();
        last = status["feeds"][0]["last_error"].as_str().unwrap().to_owned();
        words.iter().all(|word| last.contains(word))
    });
    assert!(told, "{last:?} should say {words:?}");
    assert_eq!(last.lines().count(), 1);
}

/// One line of the output has all of these words.
#[track_caller]
fn says(site: &Site, command: &[&str], words: &[&str]) {
    let output = Command::new(FEEDD).args(command).arg("-c").arg(site.config()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = said.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(told, "{command:?} should say {words:?} on a line:\n{said}");
}

#[test]
fn a_peer_is_found_by_its_records_and_followed_when_they_change() {
    let dns = NameServer::start();
    let (mut b, later) = (taking("b.example", &[]), taking("later.example", &[]));
    let name = "_nntp._tcp.b.example";
    dns.set(name, &[service(20, 0, b.port, "b2.example"), service(10, 0, free_port(), "b1.example")]);
    // The first server is dead, and so are the first addresses of the second.
    dns.set_host("b1.example", &["127.0.0.1"]);
    dns.set_host("b2.example", &["::1", NOBODY, "127.0.0.1"]);
    let mut a = asking("a.example", &dns);
    add_b(&a, "b.example", &[]);
    a.start();
    until_there(&b, &post(&a, 1));
    assert!(dns.asked_for_services(name) > 0);
    let how = ["_nntp._tcp.b.example", "b1.example:", "b2.example:", "(priority 20, weight 0)"];
    says(&a, &["doctor", "b"], &how);
    says(
        &a,
        &["check"],
        &["b at b.example (by the SRV records _nntp._tcp.b.example, if there are any) from"],
    );
    says(&a, &["doctor", "b"], &[&format!("b.example (127.0.0.1:{}): answers in clear", b.port)]);

    // By the time that it is dialled again it has moved.
    dns.set(name, &[service(0, 0, later.port, "b2.example")]);
    b.kill9();
    until_there(&later, &post(&a, 2));
}

#[test]
fn a_long_answer_and_an_alias_lead_there_too() {
    let dns = NameServer::start();
    let b = taking("b.example", &[]);
    dns.set("_nntp._tcp.b.example", &[Record::Alias("many.example".to_owned())]);
    dns.set("many.example", &[service(1, 1, b.port, "b1.example")]);
    dns.set_mood("_nntp._tcp.b.example", Mood::Truncates);
    dns.set("b1.example", &[Record::Alias("c1.example".to_owned())]);
    dns.set_host("c1.example", &["127.0.0.1"]);
    // The question that is never answered holds up nothing.
    dns.set_mood("b1.example", Mood::SilentForIpv6);
    let mut a = asking("a.example", &dns);
    add_b(&a, "b.example", &[]);
    a.start();
    until_there(&b, &post(&a, 1));
    assert!(dns.asked_over_tcp("_nntp._tcp.b.example"));
}

#[test]
fn by_tls_the_name_that_was_written_is_verified() {
    let dns = NameServer::start();
    let (port, other_port) = (free_port(), free_port());
    let secure = |identity, port: u16| {
        taking(identity, &["--self-signed", "--listen-tls", &format!("127.0.0.1:{port}")])
    };
    let (b, other) = (secure("b.example", port), secure("other.example", other_port));
    dns.set_host("b1.example", &["127.0.0.1"]);
    dns.set_host("other.example", &["127.0.0.1"]);
    // Both are believed, each for its own name.
    let pem = |site: &Site| fs::read_to_string(site.dir().join("tls/certificate.pem")).unwrap();
    let ca = b.dir().join("authorities.pem");
    fs::write(&ca, pem(&b) + &pem(&other)).unwrap();
    for (tls, name, port, other_port) in [
        ("implicit", "_nntps._tcp.b.example", port, other_port),
        ("starttls", "_nntp._tcp.b.example", b.port, other.port),
    ] {
        dns.set(name, &[service(1, 1, other_port, "other.example")]);
        let mut a = asking(&format!("{tls}.a.example"), &dns);
        add_b(&a, "b.example", &["--tls", tls]);
        let tls_line = format!("tls = \"{tls}\"\naccept_from");
        edit(&a, "peers.toml", &tls_line, &format!("ca = \"{}\"\n{tls_line}", ca.display()));
        a.start();
        let id = post(&a, 1);
        until_error(&a, &["b.example: ", "certificate"]);
        // A server by another name, and its certificate for the one that was written.
        dns.set(name, &[service(1, 1, port, "b1.example")]);
        until_there(&b, &id);
        assert!(!other.client().has(&id));
    }
}

#[test]
fn a_service_that_is_decidedly_not_there_is_not_sought_elsewhere() {
    let dns = NameServer::start();
    dns.set("_nntp._tcp.b.example", &[service(0, 0, 0, ".")]);
    dns.set_host("b.example", &[NOBODY]);
    let mut a = asking("a.example", &dns);
    add_b(&a, "b.example", &[]);
    a.start();
    post(&a, 1);
    until_error(&a, &["there is no such service", "_nntp._tcp.b.example", "\".\""]);
    says(&a, &["doctor", "b"], &["there is no such service", "write that with its port"]);
    assert!(!a.log().contains(NOBODY), "{}", a.log());
}

#[test]
fn a_dns_without_records_leaves_the_host_itself() {
    for (mood, told) in [
        // Neither the name of the service nor anything below it (NXDOMAIN).
        (None, "there are no SRV records"),
        (Some(Mood::Fails), "SERVFAIL"),
        (Some(Mood::Silent), "does not answer"),
    ] {
        let dns = NameServer::start();
        dns.set_host("b.example", &[NOBODY]);
        if let Some(mood) = mood {
            dns.set_mood("_nntp._tcp.b.example", mood);
        }
        let mut a = asking("a.example", &dns);
        add_b(&a, "b.example", &[]);
        a.start();
        post(&a, 1);
        until_error(&a, &["127.99.99.99:119: ", "refused"]);
        says(&a, &["doctor", "b"], &[told, "port 119 of b.example itself"]);
    }
}

#[test]
fn a_dns_that_is_gone_is_told_and_used_when_it_is_back() {
    let dns = NameServer::start();
    let b = taking("b.example", &[]);
    for name in ["b.example", "_nntp._tcp.b.example"] {
        dns.set_mood(name, Mood::Silent);
    }
    let mut a = asking("a.example", &dns);
    add_b(&a, "b.example", &[]);
    a.start();
    let id = post(&a, 1);
    until_error(&a, &["b.example", "cannot be looked up", "does not answer"]);
    dns.set("_nntp._tcp.b.example", &[service(1, 1, b.port, "b1.example")]);
    dns.set_host("b1.example", &["127.0.0.1"]);
    until_there(&b, &id);
    // Another server from now on, which knows nothing: no restart.
    let other = NameServer::start();
    edit(&a, "feedd.toml", &dns.address.to_string(), &other.address.to_string());
    assert!(a.feedd(&["reload"], &[]).contains("in feedd.toml changed: dns"));
    drop(b);
    until_error(&a, &["the name has no address"]);
}

#[test]
fn what_is_not_in_the_dns_is_not_asked_of_it() {
    let dns = NameServer::start();
    let proxy = format!("socks5://127.0.0.1:{}", free_port());
    for (address, more, words) in [
        ("localhost", &[][..], ["127.0.0.1:119", "refused"]),
        (NOBODY, &[], ["127.99.99.99", "refused"]),
        ("hidden.onion", &["--proxy", &proxy], ["the proxy", "refused"]),
        ("b.example", &["--proxy", &proxy], ["the proxy", "refused"]),
    ] {
        let mut a = asking("a.example", &dns);
        let add = ["b", "--identity", "b.example", "--address", address];
        a.feedd(&["peer", "add"], &[&add[..], more].concat());
        a.start();
        post(&a, 1);
        until_error(&a, &words);
    }
    assert!(!dns.asked_below(""), "something was asked for");
}

#[test]
fn who_is_dialled_by_its_records_may_come_from_its_servers() {
    let dns = NameServer::start();
    let mut site = asking("site.example", &dns);
    let peers = "[[peer]]\nname = \"b\"\nidentity = \"b.example\"\naddress = \"b.example\"\n";
    fs::write(site.dir().join("peers.toml"), peers).unwrap();
    dns.set_host("b.example", &[NOBODY]);
    site.start();
    let offers = || site.client().list("CAPABILITIES", "101").contains(&"IHAVE".to_owned());
    assert!(!offers());
    dns.set("_nntp._tcp.b.example", &[service(1, 1, free_port(), "b1.example")]);
    dns.set_host("b1.example", &["127.0.0.1"]);
    site.feedd(&["reload"], &[]);
    assert!(offers());
    // While the DNS cannot say, what was known counts.
    dns.set_mood("_nntp._tcp.b.example", Mood::Fails);
    site.feedd(&["reload"], &[]);
    assert!(offers());
    // With a port it is that host alone.
    dns.set("_nntp._tcp.b.example", &[service(1, 1, free_port(), "b1.example")]);
    edit(&site, "peers.toml", "address = \"b.example\"", "address = \"b.example:119\"");
    site.feedd(&["reload"], &[]);
    assert!(!offers());
}

#[test]
fn articles_are_pulled_from_the_server_that_the_records_name() {
    let dns = NameServer::start();
    let from = Site::start_loaded("from.example", &[NEWSGROUP]);
    from.client()
        .offer_all(run_of("pull", NEWSGROUP, 500), 20, |line| assert!(line.starts_with("239")))
        .unwrap();
    let name = "_nntp._tcp.news.example";
    dns.set(name, &[service(1, 1, from.port, "n1.example"), service(0, 1, free_port(), "n1.example")]);
    dns.set_host("n1.example", &["127.0.0.1"]);
    let site = asking("site.example", &dns);
    let pulled: serde_json::Value =
        serde_json::from_str(&site.feedd(&["pull"], &["news.example", "--json"])).unwrap();
    assert_eq!(pulled["accepted"], 20, "{pulled}");
    // What has been brought is remembered of the server that has these numbers.
    assert!(site.dir().join("data/pull").join(format!("n1.example:{}", from.port)).exists());
}

thread_local! {
    static DICE: RefCell<Random> = RefCell::new(Random::seeded());
}

fn draw(octets: &mut [u8]) {
    DICE.with_borrow_mut(|dice| octets.copy_from_slice(&dice.octets(octets.len())));
}

#[test]
fn weights_are_shares_of_the_dials() {
    let dns = NameServer::start();
    let name = "_nntp._tcp.b.example";
    dns.set(name, &[service(1, 1, 119, "b1.example"), service(1, 3, 119, "b2.example")]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let machine = Machine::asking(&[dns.address]);
    // All of it happens on this thread.
    random::draw_from(Some(draw));
    let mut first: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..1000 {
        let records = runtime.block_on(machine.services(name)).unwrap();
        let arranged = arrange(records);
        *first.entry(arranged[0][0].target.clone()).or_default() += 1;
    }
    // RFC 2782 draws from 0 to the sum of the weights, both included: 2 of 5 and 3 of 5.
    assert!((300..500).contains(&first["b1.example"]), "{first:?}");
    assert_eq!(first.values().sum::<usize>(), 1000);
    assert_eq!(dns.asked_for_services(name), 1000);
}
