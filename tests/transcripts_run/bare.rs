//! A transcript on the bare session: the machine, and a shell that answers it from a [`Site`] in
//! memory.

use super::script::{Line, Script, matches};
use super::site::{Group, IDENTITY, Site, Stored};
use bytes::BytesMut;
use feedd::agent::{Cause, Reason};
use feedd::article::{Head, MessageId, date, overview};
use feedd::clock;
use feedd::limits::ARTICLE_BYTES_MAX;
use feedd::session::ask::{ListKind, Rows};
use feedd::session::reply::{self, Answer};
use feedd::session::{
    Ask, Credentials, Locator, Login, Offers, Received, Rights, Server, Step, Transfer, Via,
};
use feedd::wildmat::{TextPattern, Wildmat};
use feedd::wire::{ListFile, ListFiles, Part, Range};

struct Shell<'a> {
    script: &'a Script,
    site: Site,
    session: Server<usize>,
    input: BytesMut,
    out: Vec<u8>,
    closed: bool,
}

pub fn run(script: &Script) {
    let login = !script.accounts.is_empty();
    let offers = Offers {
        starttls: script.certificate,
        login,
        login_reads: login && !script.rights.read,
        login_posts: login && !script.rights.post,
        login_offers: false,
        tls_offers: false,
        clear_login: script.clear_logins,
        compress: true,
    };
    let mut session = Server::new(script.rights, ARTICLE_BYTES_MAX).on_channel(offers, false);
    let lists = script.lists.iter().map(|(list, _)| *list);
    session.set_lists(lists.fold(ListFiles::default(), ListFiles::with));
    let site = Site::new(script);
    let mut shell = Shell { script, site, session, input: BytesMut::new(), out: Vec::new(), closed: false };
    shell.session.greet(IDENTITY, &mut shell.out);
    shell.closed = shell.out.starts_with(b"502");
    for line in &script.lines {
        match line {
            // What is said is the same, protected or not: there is no transport here.
            Line::StartTls | Line::Compress => {}
            Line::Client(line) => {
                shell.input.extend_from_slice(line.as_bytes());
                shell.input.extend_from_slice(b"\r\n");
            }
            Line::Server(number, pattern) => {
                shell.work();
                let at = format!("{}:{number} on the bare session", script.name);
                let answer = shell.line().unwrap_or_else(|| panic!("{at}: no answer"));
                assert!(matches(pattern, &answer), "{at}: expected {pattern:?}, got {answer:?}");
            }
        }
    }
    shell.work();
    if !shell.closed {
        shell.input.extend_from_slice(b"QUIT\r\n");
        shell.work();
        let last = shell.line();
        assert!(last.as_ref().is_some_and(|l| l.starts_with("205")), "{}: then {last:?}", script.name);
    }
    assert_eq!(shell.line(), None, "{}: said too much", script.name);
}

impl Shell<'_> {
    /// The next line of the answer, without its CRLF.
    fn line(&mut self) -> Option<String> {
        let end = self.out.windows(2).position(|octets| octets == b"\r\n")?;
        let line = String::from_utf8(self.out.drain(..end + 2).collect()).unwrap();
        Some(line.trim_end_matches("\r\n").to_owned())
    }

    fn work(&mut self) {
        while !self.closed {
            match self.session.step(&mut self.input, &mut self.out) {
                Step::Read => return,
                Step::Replied => {}
                Step::Close => self.closed = true,
                Step::StartTls => {
                    self.input.clear();
                    self.session.secured();
                }
                Step::Ask(ask) => self.answer(ask),
                Step::Received(transfer, received) => self.received(&transfer, &received),
            }
        }
    }

    fn say(&mut self, line: &str) {
        self.out.extend_from_slice(line.as_bytes());
        self.out.extend_from_slice(b"\r\n");
    }

    fn block(&mut self, lines: impl IntoIterator<Item = String>) {
        lines.into_iter().for_each(|line| self.say(&line));
        self.say(".");
    }

    fn received(&mut self, transfer: &Transfer, received: &Received) {
        let Received::Article(article) = received else {
            let reason = Reason::BadField { field: "Message-ID", why: "not a message-id" };
            reply::transfer(transfer, &Answer::Rejected(&reason), &mut self.out);
            return;
        };
        let verdict = match (transfer.via, &transfer.id) {
            (Via::Post, _) => self.site.inject(article),
            (_, Some(id)) => self.site.relay(article, id).map(|()| id.clone()),
            (_, None) => unreachable!("no article without its Message-ID"),
        };
        match &verdict {
            Ok(id) => reply::transfer(transfer, &Answer::Kept(id), &mut self.out),
            Err(reason) => reply::transfer(transfer, &Answer::Rejected(reason), &mut self.out),
        };
    }

    /// What is said of an offer.
    fn offer(&self, id: &MessageId) -> Result<(), Result<Reason, Cause>> {
        if self.script.held.contains(id) {
            Err(Err(Cause::Pending))
        } else if self.site.find(id).is_some() {
            Err(Ok(Reason::Duplicate))
        } else {
            Ok(())
        }
    }

    fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::Check(id) => {
                let offer = self.offer(&id);
                let offer = match &offer {
                    Ok(()) => Ok(()),
                    Err(why) => Err(why.as_ref()),
                };
                reply::check(&id, offer, &mut self.out);
            }
            Ask::Ihave(id) => match self.offer(&id) {
                Ok(()) => self.session.answer_ihave_wanted(id, &mut self.out),
                Err(why) => reply::ihave_unwanted(why.as_ref(), &mut self.out),
            },
            Ask::Group(name) => self.select(self.site.group(&name), None),
            Ask::Listgroup(name, range) => {
                let group = name.map_or(self.session.group().copied(), |name| self.site.group(&name));
                self.select(group, Some(range));
            }
            Ask::Article(part, locator) => self.article(part, &locator),
            Ask::Neighbour { from, up } => self.neighbour(from, up),
            Ask::Over(rows) => {
                self.rows(&rows, 224, false, |number, article| Some(format!("{number}\t{}", article.row)))
            }
            Ask::Hdr { field, rows, old, pattern } => {
                if field.starts_with(':') && !is_metadata(&field) {
                    reply::line(503, "No such metadata item", &mut self.out);
                    return;
                }
                let code = if old { 221 } else { 225 };
                self.rows(&rows, code, pattern.is_some(), |number, article| {
                    let value = value(&field, article);
                    let shown = pattern.as_ref().is_none_or(|p: &TextPattern| p.matches(&value));
                    shown.then(|| format!("{number} {value}"))
                });
            }
            Ask::List(kind, wildmat) => {
                reply::line(215, "list", &mut self.out);
                self.list(kind, |group| wildmat.as_ref().is_none_or(|w| w.matches(&group.facts.name)));
            }
            Ask::Xgtitle(wildmat) => self.xgtitle(wildmat.as_ref()),
            Ask::ListFile(list, wildmat) => {
                let text = &self.script.lists.iter().find(|(there, _)| *there == list).unwrap().1;
                let lines = text.lines().filter(|name| {
                    list != ListFile::Subscriptions
                        || (self.site.group(name).is_some()
                            && wildmat.as_ref().is_none_or(|w: &Wildmat| w.matches(name)))
                });
                reply::list_file(list, lines, &mut self.out);
            }
            Ask::Newgroups(since) => {
                reply::line(231, "list", &mut self.out);
                self.list(ListKind::Active, |group| group.created >= since);
            }
            Ask::Newnews(wildmat, since) => {
                reply::line(230, "list", &mut self.out);
                let new = self.site.articles.iter().filter(|article| {
                    article.arrived >= since && wildmat.wants(article.newsgroups.split(','))
                });
                let new: Vec<String> = new.map(|article| article.id.to_string()).collect();
                self.block(new);
            }
            Ask::Login(Credentials { name, password }) => {
                let rights = Rights { read: true, post: true, ..self.script.rights };
                let known = self.script.accounts.contains(&(name, password));
                let login = if known { Login::Accepted(rights) } else { Login::Failed };
                self.session.answer_login(login, &mut self.out);
            }
            Ask::Compress => self.session.answer_compress(true, &mut self.out),
            Ask::SyncCounts(..) | Ask::SyncIds(..) | Ask::SyncOffer(_) => {
                panic!("XSYNC is answered from the log: its transcripts are for TCP")
            }
            Ask::Turn => self.session.answer_turn(true, &mut self.out),
            Ask::Peer => reply::peer_view(None, &mut self.out),
            Ask::Date => drop(reply::line(111, &date::digits(clock::now()), &mut self.out)),
        }
    }

    fn select(&mut self, group: Option<usize>, list: Option<Range>) {
        let Some(at) = group else {
            reply::line(411, "No such newsgroup", &mut self.out);
            return;
        };
        let group = &self.site.groups[at];
        let name = group.facts.name.clone();
        let numbers = group.filed.keys().copied();
        let listed: Option<Vec<String>> =
            list.map(|range| numbers.filter(|n| is_in(*n, range)).map(|number| number.to_string()).collect());
        self.session.answer_group(at, &name, group.marks(), listed.is_some(), &mut self.out);
        listed.into_iter().for_each(|numbers| self.block(numbers));
    }

    /// The articles of the selected newsgroup.
    fn filed(&self, range: Range) -> Vec<(u64, &Stored)> {
        let group = &self.site.groups[*self.session.group().unwrap()];
        let filed = group.filed.iter().filter(|(number, _)| is_in(**number, range));
        filed.map(|(number, at)| (*number, &self.site.articles[*at])).collect()
    }

    fn article(&mut self, part: Part, locator: &Locator) {
        let found = match locator {
            Locator::Id(id) => self.site.find(id),
            Locator::Number { number, .. } => {
                let one = Range { low: *number, high: Some(*number) };
                self.filed(one).first().map(|(_, article)| *article)
            }
        };
        let Some(Stored { id, head, body, .. }) = found else {
            self.session.answer_no_article(locator, &mut self.out);
            return;
        };
        let (id, head, body) = (id.clone(), head.clone(), body.clone());
        self.session.answer_article(part, locator, &id, &mut self.out);
        let text = match part {
            Part::Article => head + &body,
            Part::Head => head + ".\r\n",
            Part::Body => body["\r\n".len()..].to_owned(),
            Part::Stat => String::new(),
        };
        self.out.extend_from_slice(text.as_bytes());
    }

    fn neighbour(&mut self, from: u64, up: bool) {
        let all = self.filed(Range { low: 0, high: None });
        let found = if up {
            all.iter().find(|(number, _)| *number > from)
        } else {
            all.iter().rev().find(|(number, _)| *number < from)
        };
        let found = found.map(|(number, article)| (*number, article.id.clone()));
        match (found, up) {
            (Some((number, id)), _) => self.session.answer_neighbour(number, &id, &mut self.out),
            (None, true) => drop(reply::line(421, "No next article", &mut self.out)),
            (None, false) => drop(reply::line(422, "No previous article", &mut self.out)),
        }
    }

    /// OVER and HDR: a line for each article, unless `line` has none for it.
    fn rows(
        &mut self,
        rows: &Rows,
        code: u16,
        may_be_empty: bool,
        line: impl Fn(u64, &Stored) -> Option<String>,
    ) {
        let articles = match rows {
            Rows::Id(id) => self.site.find(id).map(|article| (0, article)).into_iter().collect(),
            Rows::Range(range) => self.filed(*range),
            Rows::Current(number) => self.filed(Range { low: *number, high: Some(*number) }),
        };
        if articles.is_empty() && !(may_be_empty && matches!(rows, Rows::Range(_))) {
            reply::no_rows(rows, &mut self.out);
            return;
        }
        let lines: Vec<String> =
            articles.into_iter().filter_map(|(number, article)| line(number, article)).collect();
        reply::line(code, "follows", &mut self.out);
        self.block(lines);
    }

    fn xgtitle(&mut self, wildmat: Option<&Wildmat>) {
        reply::line(282, "list", &mut self.out);
        let own = self.session.group().map(|at| self.site.groups[*at].facts.name.clone());
        self.list(ListKind::Newsgroups, |group| match wildmat {
            Some(wildmat) => wildmat.matches(&group.facts.name),
            None => own.as_ref() == Some(&group.facts.name),
        });
    }

    fn list(&mut self, kind: ListKind, shown: impl Fn(&Group) -> bool) {
        let lines: Vec<String> = self
            .site
            .groups
            .iter()
            .filter(|group| shown(group))
            .map(|group| {
                let facts = &group.facts;
                let (low, high, count) = group.marks();
                match kind {
                    ListKind::Active => format!("{} {high} {low} {}", facts.name, facts.status),
                    ListKind::Counts => format!("{} {high} {low} {count} {}", facts.name, facts.status),
                    ListKind::ActiveTimes => {
                        format!("{} {} {}", facts.name, group.created.unix_s(), facts.creator)
                    }
                    ListKind::Newsgroups => format!("{}\t{}", facts.name, facts.description),
                }
            })
            .collect();
        self.block(lines);
    }
}

fn is_in(number: u64, range: Range) -> bool {
    number >= range.low && range.high.is_none_or(|high| number <= high)
}

fn is_metadata(field: &str) -> bool {
    [":bytes", ":lines"].iter().any(|item| field.eq_ignore_ascii_case(item))
}

/// What HDR shows of an article.
fn value(field: &str, article: &Stored) -> String {
    let column = |at: usize| article.row.split('\t').nth(at).unwrap().to_owned();
    match field.to_ascii_lowercase().as_str() {
        ":bytes" => column(5),
        ":lines" => column(6),
        name => {
            let text = format!("{}{}", article.head, article.body);
            let head = Head::parse(text.as_bytes()).unwrap();
            let mut value = Vec::new();
            overview::flatten(head.find(name).unwrap_or_default(), &mut value);
            String::from_utf8(value).unwrap()
        }
    }
}
