//! A transcript over TCP, against a whole site of its own.

use super::script::{Article, Line, Script, matches};
use super::wire::Wire;
use feedd::accounts::{self, Password};
use feedd::article::{Field, NewsgroupName, overview};
use feedd::clock;
use feedd::config::Config;
use feedd::daemon::Daemon;
use feedd::store::{NewArticle, Options, Outcome, Settle, Store};
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, mpsc};

/// A peer that the client is, if it may offer.
pub const PEERS: &str =
    "[[peer]]\nname = \"peer.example\"\naccept_from = [\"127.0.0.1\"]\naccept = \"*,!unwanted.*\"\n";

struct Waiter(mpsc::Sender<Outcome>);

impl Settle for Waiter {
    fn settle(&self, _: u64, outcome: Outcome) {
        self.0.send(outcome).unwrap();
    }
    fn wake(&self) {}
}

/// Runs `script` on a site in `folder`.
pub fn run(script: &Script, folder: &Path, runtime: &tokio::runtime::Runtime) {
    let rule = |allowed| if allowed { "[\"loopback\"]" } else { "[]" };
    let read = script.reads.as_ref();
    let rule_text = read.map_or(String::new(), |read| {
        format!("[[access.rule]]\nnetworks = [\"loopback\"]\nread = \"{read}\"\n")
    });
    let text = format!(
        "identity = \"site.example\"\nlisten = [\"127.0.0.1:0\"]\n\
         [access]\nreaders = {}\nposters = {}\nclear_logins = {}\n{rule_text}{}",
        rule(script.rights.read),
        rule(script.rights.post),
        script.clear_logins,
        if script.certificate { "[tls]\ncertificate = \"certificate.pem\"\nkey = \"key.pem\"\n" } else { "" }
    );
    fs::write(folder.join("feedd.toml"), text).unwrap();
    let turn = if script.rights.turn { "turn = true\n" } else { "" };
    let peers = if script.rights.offer { format!("{PEERS}{turn}") } else { String::new() };
    fs::write(folder.join("peers.toml"), peers).unwrap();
    fs::create_dir(folder.join("lists")).unwrap();
    for (list, text) in &script.lists {
        fs::write(folder.join("lists").join(list.keyword().to_lowercase()), text).unwrap();
    }
    if script.certificate {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(folder.join("certificate.pem"), made.cert.pem()).unwrap();
        let mut options = fs::OpenOptions::new();
        let mut key = options.create_new(true).write(true).mode(0o600).open(folder.join("key.pem")).unwrap();
        key.write_all(made.signing_key.serialize_pem().as_bytes()).unwrap();
    }
    for (name, password) in &script.accounts {
        let password = Password::try_from(password.clone()).unwrap();
        accounts::add(&folder.join("users"), name, &[], Some(&password)).unwrap();
    }
    let config = Config::read(&folder.join("feedd.toml"));
    let config = config.unwrap_or_else(|mistakes| panic!("{}: {mistakes:?}", script.name));
    fill(script, &config.site.data);
    let daemon = runtime.block_on(Daemon::start(config, None, &[])).unwrap();
    let port = daemon.addresses()[0].port();
    let held: Vec<Wire> = script.held.iter().map(|id| hold(port, id.as_str())).collect();
    converse(script, port, &folder.join("certificate.pem"));
    drop(held);
    runtime.block_on(daemon.stop());
}

/// Fills the store with what the transcript says the site has.
fn fill(script: &Script, data: &Path) {
    let store = Store::open(Options::new(data, "site.example")).unwrap();
    let name = |name: &str| NewsgroupName::try_from(name).unwrap();
    for group in &script.newsgroups {
        let status = group.status.clone();
        store.set_group(&name(&group.name), status, &group.description, &group.creator).unwrap();
    }
    let (settled, outcome) = mpsc::channel();
    let waiter: Arc<dyn Settle> = Arc::new(Waiter(settled));
    for article in &script.articles {
        for (group, number) in &article.places {
            let marks = store.group(group).unwrap().marks();
            if *number > marks.high + 1 {
                store.number_from(&name(group), *number).unwrap();
            }
        }
        let new = new_article(article, &store);
        let held = store.reserve(&new.id).unwrap();
        store.submit(new, held, &waiter, 0);
        assert!(matches!(outcome.recv().unwrap(), Outcome::Accepted(_)), "{}", article.id());
        for (group, number) in &article.places {
            assert_eq!(store.group(group).unwrap().marks().high, *number, "{}: numbers go up", script.name);
        }
    }
    for group in &script.newsgroups {
        if group.next > store.group(&group.name).unwrap().marks().high + 1 {
            store.number_from(&name(&group.name), group.next).unwrap();
        }
    }
    store.close();
}

fn new_article(article: &Article, store: &Store) -> NewArticle {
    let mut row = Vec::new();
    article.with_head(|head| overview::row(head, &mut row));
    NewArticle {
        id: article.id(),
        head: article.head.clone().into(),
        body: article.body.clone().into(),
        row,
        lines: article.lines(),
        stuffed: 0,
        groups: article.places.iter().map(|(group, _)| store.group(group).unwrap()).collect(),
        newsgroups: article.newsgroups(),
        distribution: String::new(),
        kind: feedd::article::ArticleKind::Text,
        kept: false,
        path: article.with_head(|head| head.value(Field::Path).unwrap().to_vec()),
        date: clock::now(),
        arrived: article.arrived.unwrap_or_else(clock::now),
        source: String::new(),
    }
}

/// Another connection that is bringing an article.
fn hold(port: u16, id: &str) -> Wire {
    let mut other = Wire::new(port);
    other.line("greeting");
    other.send(format!("IHAVE {id}\r\n").as_bytes()).unwrap();
    assert!(other.line(id).starts_with("335"), "{id} is to be held");
    other
}

/// Everything the client sends between two answers goes out in one piece.
fn converse(script: &Script, port: u16, certificate: &Path) {
    let mut wire = Wire::new(port);
    let mut unsent = Vec::new();
    for line in &script.lines {
        match line {
            Line::Client(line) => {
                unsent.extend_from_slice(line.as_bytes());
                unsent.extend_from_slice(b"\r\n");
            }
            Line::StartTls => wire.start_tls(certificate),
            Line::Compress => wire.compress(),
            Line::Server(number, pattern) => {
                wire.send(&unsent).unwrap();
                unsent.clear();
                let at = format!("{}:{number} over TCP", script.name);
                let answer = wire.line(&at);
                let answer = answer.strip_suffix("\r\n").unwrap_or_else(|| panic!("{at}: got {answer:?}"));
                assert!(matches(pattern, answer), "{at}: expected {pattern:?}, got {answer:?}");
            }
        }
    }
    // What the script does not say must not be there: the end comes next, or silence until QUIT.
    let _ = wire.send(&unsent);
    let _ = wire.send(b"QUIT\r\n");
    let rest = wire.line(&script.name);
    assert!(rest.is_empty() || rest.starts_with("205"), "{}: and then it said {rest:?}", script.name);
}
