//! A transcript over TCP, against a whole site of its own.

use super::script::{Article, Line, Script, matches};
use feedd::article::{Field, NewsgroupName, overview};
use feedd::clock;
use feedd::config::Config;
use feedd::daemon::Daemon;
use feedd::store::{NewArticle, Options, Outcome, Settle, Store};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

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
    let text = format!(
        "identity = \"site.example\"\nlisten = [\"127.0.0.1:0\"]\n[access]\nreaders = {}\nposters = {}\n",
        rule(script.rights.read),
        rule(script.rights.post)
    );
    fs::write(folder.join("feedd.toml"), text).unwrap();
    fs::write(folder.join("peers.toml"), if script.rights.offer { PEERS } else { "" }).unwrap();
    fs::create_dir(folder.join("lists")).unwrap();
    for (list, text) in &script.lists {
        fs::write(folder.join("lists").join(list.keyword().to_lowercase()), text).unwrap();
    }
    let config = Config::read(&folder.join("feedd.toml"));
    let config = config.unwrap_or_else(|mistakes| panic!("{}: {mistakes:?}", script.name));
    fill(script, &config.site.data);
    let daemon = runtime.block_on(Daemon::start(config, None, &[])).unwrap();
    let port = daemon.addresses()[0].port();
    let held: Vec<Wire> = script.held.iter().map(|id| hold(port, id.as_str())).collect();
    converse(script, port);
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
        path: article.with_head(|head| head.value(Field::Path).unwrap().to_vec()),
        date: clock::now(),
        arrived: article.arrived.unwrap_or_else(clock::now),
        source: String::new(),
    }
}

struct Wire {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

impl Wire {
    fn new(port: u16) -> Self {
        let writer = TcpStream::connect(("127.0.0.1", port)).unwrap();
        writer.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { reader: BufReader::new(writer.try_clone().unwrap()), writer }
    }

    fn line(&mut self, at: &str) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap_or_else(|error| panic!("{at}: no answer: {error}"));
        line
    }
}

/// Another connection that is bringing an article.
fn hold(port: u16, id: &str) -> Wire {
    let mut other = Wire::new(port);
    other.line("greeting");
    other.writer.write_all(format!("IHAVE {id}\r\n").as_bytes()).unwrap();
    assert!(other.line(id).starts_with("335"), "{id} is to be held");
    other
}

/// Everything the client sends between two answers goes out in one piece.
fn converse(script: &Script, port: u16) {
    let mut wire = Wire::new(port);
    let mut unsent = Vec::new();
    for line in &script.lines {
        match line {
            Line::Client(line) => {
                unsent.extend_from_slice(line.as_bytes());
                unsent.extend_from_slice(b"\r\n");
            }
            Line::Server(number, pattern) => {
                wire.writer.write_all(&unsent).unwrap();
                unsent.clear();
                let at = format!("{}:{number} over TCP", script.name);
                let answer = wire.line(&at);
                let answer = answer.strip_suffix("\r\n").unwrap_or_else(|| panic!("{at}: got {answer:?}"));
                assert!(matches(pattern, answer), "{at}: expected {pattern:?}, got {answer:?}");
            }
        }
    }
    // What the script does not say must not be there: the end comes next, or silence until QUIT.
    let _ = wire.writer.write_all(&unsent);
    let _ = wire.writer.write_all(b"QUIT\r\n");
    let rest = wire.line(&script.name);
    assert!(rest.is_empty() || rest.starts_with("205"), "{}: and then it said {rest:?}", script.name);
}
