//! A transcript: what the site has, who the client is, and the conversation.

use feedd::article::{Field, Head, MessageId};
use feedd::clock::Timestamp;
use feedd::session::Rights;
use feedd::store::GroupStatus;
use feedd::wire::ListFile;

/// One line of the conversation, with its number in the file.
pub enum Line {
    /// The client sends this, and CRLF.
    Client(String),
    /// The server answers a line of this pattern.
    Server(usize, String),
    /// Behind 382: the TLS handshake.
    StartTls,
    /// Behind 206: everything is compressed.
    Compress,
}

/// A newsgroup of the site.
#[derive(Clone)]
pub struct Newsgroup {
    pub name: String,
    pub status: GroupStatus,
    pub description: String,
    pub creator: String,
    /// The number that its next article gets, behind those of the transcript's articles.
    pub next: u64,
}

/// An article that the site has from the beginning, as it is served but for Xref.
#[derive(Default)]
pub struct Article {
    /// Where it is filed, under which numbers.
    pub places: Vec<(String, u64)>,
    pub arrived: Option<Timestamp>,
    /// Its header section.
    pub head: String,
    /// From the empty line to the terminator.
    pub body: String,
}

/// A whole transcript.
pub struct Script {
    pub name: String,
    pub newsgroups: Vec<Newsgroup>,
    pub articles: Vec<Article>,
    pub lists: Vec<(ListFile, String)>,
    pub rights: Rights,
    /// Message-IDs that another connection is bringing.
    pub held: Vec<MessageId>,
    /// The site has a certificate.
    pub certificate: bool,
    /// Names and passwords.
    pub accounts: Vec<(String, String)>,
    /// A rule gives the client these newsgroups to read.
    pub reads: Option<String>,
    /// Passwords are taken without TLS.
    pub clear_logins: bool,
    /// Why it is not run on the bare session, or not over TCP.
    pub not_bare: Option<String>,
    pub not_tcp: Option<String>,
    pub lines: Vec<Line>,
}

/// Where `A:` lines go.
enum Annex {
    Nothing,
    Article,
    List,
}

impl Script {
    pub fn parse(name: &str, text: &str) -> Self {
        let mut script = Self {
            name: name.to_owned(),
            newsgroups: Vec::new(),
            articles: Vec::new(),
            lists: Vec::new(),
            rights: Rights { read: true, post: true, ..Rights::default() },
            held: Vec::new(),
            certificate: false,
            accounts: Vec::new(),
            reads: None,
            clear_logins: false,
            not_bare: None,
            not_tcp: None,
            lines: Vec::new(),
        };
        let mut annex = Annex::Nothing;
        for (index, line) in text.lines().enumerate() {
            let at = index + 1;
            let behind = |mark: &str| {
                line.strip_prefix(mark).map(|rest| rest.strip_prefix(' ').unwrap_or(rest).to_owned())
            };
            if let Some(line) = behind("C:") {
                script.lines.push(Line::Client(line));
            } else if let Some(pattern) = behind("S:") {
                script.lines.push(Line::Server(at, pattern));
            } else if let Some(line) = behind("A:") {
                match annex {
                    Annex::Article => script.articles.last_mut().unwrap().push(&line),
                    Annex::List => script.lists.last_mut().unwrap().1.push_str(&(line + "\n")),
                    Annex::Nothing => panic!("{name}:{at}: A: behind nothing"),
                }
            } else if let Some(note) = line.strip_prefix('#') {
                annex = script.declare(note.trim()).unwrap_or(annex);
            } else {
                assert!(line.is_empty(), "{name}:{at}: none of C: S: A: #");
            }
        }
        for article in &mut script.articles {
            article.body.push_str(if article.body.is_empty() { "\r\n.\r\n" } else { ".\r\n" });
            for (place, number) in &article.places {
                let group = script.newsgroups.iter_mut().find(|group| group.name == *place);
                let group = group.unwrap_or_else(|| panic!("{name}: {place} is not declared"));
                group.next = group.next.max(number + 1);
            }
        }
        script
    }

    /// Takes a `#` line; what `A:` lines behind it belong to, when it says so.
    fn declare(&mut self, note: &str) -> Option<Annex> {
        let (word, rest) = note.split_once(':').unwrap_or((note, ""));
        let mut words = rest.split_whitespace();
        match word {
            // `b!` is moderated, `c-` without posting.
            "newsgroups" => {
                for name in words {
                    let (name, letter) = match name.as_bytes().last() {
                        Some(b'!') => (&name[..name.len() - 1], "m"),
                        Some(b'-') => (&name[..name.len() - 1], "n"),
                        _ => (name, "y"),
                    };
                    self.newsgroup(name, letter, format!("About {name}"), "tester");
                }
            }
            // `name status description`.
            "newsgroup" => {
                let (name, status) = (words.next().unwrap(), words.next().unwrap());
                let description: Vec<&str> = words.collect();
                self.newsgroup(name, status, description.join(" "), "tester");
            }
            "creator" => {
                let name = words.next().unwrap();
                let creator = words.next().unwrap();
                self.named(name).creator = creator.to_owned();
            }
            // `name number`: what it would give next.
            "next number" => {
                let name = words.next().unwrap();
                let next = words.next().unwrap().parse().unwrap();
                self.named(name).next = next;
            }
            // `newsgroup:number ... [arrived=unix seconds]`.
            "article" => {
                let mut article = Article::default();
                for word in words {
                    if let Some(seconds) = word.strip_prefix("arrived=") {
                        article.arrived = Some(Timestamp::from_unix_s(seconds.parse().unwrap()));
                    } else {
                        let (group, number) = word.split_once(':').unwrap();
                        article.places.push((group.to_owned(), number.parse().unwrap()));
                    }
                }
                self.articles.push(article);
                return Some(Annex::Article);
            }
            // One of each number, whatever they say.
            "articles" => {
                for (group, number) in words.filter_map(|word| word.split_once(':')) {
                    let head = format!(
                        "Path: not-for-mail\r\nFrom: a@example.com\r\nNewsgroups: {group}\r\nSubject: s\r\n\
                         Date: 6 Oct 1998 04:38:40 -0500\r\nMessage-ID: <{number}@{group}>\r\n"
                    );
                    let places = vec![(group.to_owned(), number.parse().unwrap())];
                    self.articles.push(Article { places, head, ..Article::default() });
                }
            }
            "list" => {
                let list = ListFile::of_keyword(words.next().unwrap()).unwrap();
                self.lists.push((list, String::new()));
                return Some(Annex::List);
            }
            "client may" => {
                self.rights = Rights::default();
                for word in words {
                    match word {
                        "read" => self.rights.read = true,
                        "post" => self.rights.post = true,
                        "offer" => self.rights.offer = true,
                        "turn" => self.rights.turn = true,
                        "nothing" => {}
                        _ => panic!("{}: {word} is no right", self.name),
                    }
                }
            }
            "held" => self.held.extend(words.map(|id| MessageId::try_from(id).unwrap())),
            "certificate" => self.certificate = true,
            "account" => {
                let account = rest.trim().split_once(' ').unwrap();
                self.accounts.push((account.0.to_owned(), account.1.to_owned()));
            }
            "a rule lets read" => self.reads = Some(rest.trim().to_owned()),
            "clear logins" => self.clear_logins = true,
            "starttls" => self.lines.push(Line::StartTls),
            "compress" => self.lines.push(Line::Compress),
            "not on the bare session" => self.not_bare = Some(rest.to_owned()),
            "not over TCP" => self.not_tcp = Some(rest.to_owned()),
            _ => {}
        }
        None
    }

    fn newsgroup(&mut self, name: &str, status: &str, description: String, creator: &str) {
        let status = GroupStatus::parse(status).unwrap_or_else(|| panic!("{}: {status}", self.name));
        let (name, creator) = (name.to_owned(), creator.to_owned());
        self.newsgroups.push(Newsgroup { name, status, description, creator, next: 1 });
    }

    fn named(&mut self, name: &str) -> &mut Newsgroup {
        self.newsgroups.iter_mut().find(|group| group.name == name).unwrap()
    }
}

impl Article {
    fn push(&mut self, line: &str) {
        let part = if line.is_empty() || !self.body.is_empty() { &mut self.body } else { &mut self.head };
        part.push_str(line);
        part.push_str("\r\n");
    }

    /// Calls `look` with its header.
    pub fn with_head<T>(&self, look: impl FnOnce(&Head<'_>) -> T) -> T {
        let text = format!("{}{}", self.head, self.body);
        look(&Head::parse(text.as_bytes()).unwrap())
    }

    pub fn id(&self) -> MessageId {
        self.with_head(|head| MessageId::try_from(head.value(Field::MessageId).unwrap()).unwrap())
    }

    /// The names in Newsgroups.
    pub fn newsgroups(&self) -> String {
        self.with_head(|head| String::from_utf8(head.value(Field::Newsgroups).unwrap().to_vec()).unwrap())
    }

    /// Lines of its body.
    pub fn lines(&self) -> u64 {
        self.body.matches("\r\n").count() as u64 - 2
    }
}

/// Does `line` match `pattern`, where `*` stands for anything?
pub fn matches(pattern: &str, line: &str) -> bool {
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
