//! The machine alone: framing, state, rights, and that chunking changes nothing.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::random::xorshift;
use crate::session::{Ask, Login, Offers};
use crate::wire::ListFile;

const ALL: Rights = Rights { read: true, post: true, offer: true, turn: true };

/// A shell that knows one newsgroup (articles 3 and 5) and wants every article.
struct Shell {
    session: Server<&'static str>,
    input: BytesMut,
    out: Vec<u8>,
    /// What was asked or received, in order.
    log: Vec<String>,
}

impl Shell {
    fn new(rights: Rights, article_bytes_max: usize) -> Self {
        Self {
            session: Server::new(rights, article_bytes_max),
            input: BytesMut::new(),
            out: Vec::new(),
            log: Vec::new(),
        }
    }

    /// Feeds octets in pieces of `size` and runs the machine as far as it goes.
    fn feed(&mut self, bytes: &[u8], size: usize) -> &mut Self {
        for piece in bytes.chunks(size) {
            self.input.extend_from_slice(piece);
            loop {
                match self.session.step(&mut self.input, &mut self.out) {
                    Step::Read => break,
                    Step::Close => {
                        self.log.push("close".to_owned());
                        break;
                    }
                    Step::Replied => {}
                    Step::StartTls => {
                        self.log.push("handshake".to_owned());
                        self.session.secured();
                        break;
                    }
                    Step::Ask(ask) => self.answer(ask),
                    Step::Received(transfer, Received::Article(article)) => {
                        self.log.push(format!("{:?} {:?} {}", transfer.via, transfer.id, article.len()));
                    }
                    Step::Received(transfer, received) => {
                        self.log.push(format!("{:?} {received:?}", transfer.via));
                    }
                }
            }
        }
        self
    }

    fn answer(&mut self, ask: Ask) {
        self.log.push(format!("{ask:?}"));
        match ask {
            Ask::Group(name) if name == "a.b" => {
                self.session.answer_group("a.b", "a.b", (3, 5, 2), false, &mut self.out);
            }
            Ask::Group(_) => drop(reply::line(411, "No such newsgroup", &mut self.out)),
            Ask::Ihave(id) => self.session.answer_ihave_wanted(id, &mut self.out),
            Ask::Article(part, locator) => {
                let id = MessageId::try_from("<x@y.example>").unwrap();
                match locator {
                    Locator::Number { number: 3 | 5, .. } => {
                        self.session.answer_article(part, &locator, &id, &mut self.out);
                    }
                    _ => self.session.answer_no_article(&locator, &mut self.out),
                }
            }
            Ask::Login(credentials) => {
                let right = credentials.name == "fred" && credentials.password == "flint stone";
                let login = if right { Login::Accepted(ALL) } else { Login::Failed };
                self.session.answer_login(login, &mut self.out);
            }
            Ask::Compress => self.session.answer_compress(true, &mut self.out),
            Ask::Turn => self.session.answer_turn(self.session.group().is_none(), &mut self.out),
            Ask::Neighbour { from, up } => {
                let id = MessageId::try_from("<x@y.example>").unwrap();
                match (from, up) {
                    (3, true) => self.session.answer_neighbour(5, &id, &mut self.out),
                    (5, false) => self.session.answer_neighbour(3, &id, &mut self.out),
                    _ => drop(reply::line(421, "none", &mut self.out)),
                }
            }
            _ => {}
        }
    }

    fn codes(&self) -> Vec<&str> {
        let text = std::str::from_utf8(&self.out).unwrap();
        text.lines().filter(|line| line.as_bytes()[0].is_ascii_digit()).map(|line| &line[..3]).collect()
    }
}

fn codes(rights: Rights, commands: &str) -> Vec<String> {
    let mut shell = Shell::new(rights, 1000);
    shell.feed(commands.as_bytes(), usize::MAX);
    shell.codes().into_iter().map(str::to_owned).collect()
}

#[test]
fn the_state_of_a_session_follows_the_commands() {
    for (commands, expected) in [
        ("ARTICLE\r\nNEXT\r\nSTAT 1\r\nOVER\r\nLISTGROUP\r\n", "412 412 412 412 412"),
        ("GROUP no.such\r\nSTAT\r\n", "411 412"),
        ("GROUP a.b\r\nGROUP no.such\r\nSTAT\r\n", "211 411 223"),
        ("group a.b\r\nSTAT\r\nNEXT\r\nSTAT\r\nNEXT\r\nLAST\r\n", "211 223 223 223 421 223"),
        ("GROUP a.b\r\nSTAT 5\r\nNEXT\r\nSTAT 4\r\nLAST\r\n", "211 223 421 423 223"),
        ("STAT <no@such.example>\r\n", "430"),
        ("MODE READER\r\nMODE STREAM\r\nMODE X\r\n", "200 203 501"),
        ("NOSUCH\r\n\r\nDATE now\r\n", "500 500 501"),
        ("LIST NOSUCH\r\nLIST ACTIVE [x\r\n", "501 501"),
        ("LIST MOTD\r\nLIST MOTD x\r\nLIST SUBSCRIPTIONS [x\r\n", "503 501 503"),
        ("XGTITLE\r\nXPAT Subject 1- *\r\nXPAT Subject 1 [\r\nXGTITLE [\r\n", "412 412 501 501"),
    ] {
        assert_eq!(codes(ALL, commands).join(" "), expected, "{commands:?}");
    }
}

#[test]
fn rights_decide_and_capabilities_tell_the_truth() {
    let reader = Rights { read: true, ..Rights::default() };
    assert_eq!(codes(reader, "POST\r\nIHAVE <a@b>\r\nCHECK <a@b>\r\n"), ["440", "502", "502"]);
    assert_eq!(codes(reader, "MODE READER\r\n"), ["201"]);
    // What follows a TAKETHIS is an article, never commands.
    let refused = "TAKETHIS <a@b>\r\nQUIT\r\n.\r\nTAKETHIS bad\r\n.\r\nMODE READER\r\n";
    assert_eq!(codes(reader, refused), ["502", "502", "201"]);
    let peer = Rights { offer: true, ..Rights::default() };
    // RFC 3977 s.5.3.2: the server closes.
    assert_eq!(codes(peer, "MODE READER\r\nDATE\r\n"), ["502"]);
    assert_eq!(codes(peer, "GROUP a.b\r\nPOST\r\nDATE\r\nMODE READER\r\n"), ["502", "440", "502"]);
    for (rights, has, lacks) in [
        (reader, "READER", "STREAMING"),
        (peer, "STREAMING", "READER"),
        (Rights { post: true, ..reader }, "POST", "IHAVE"),
        (Rights { turn: true, ..peer }, "XTURN", "READER"),
        (peer, "IHAVE", "XTURN"),
    ] {
        let mut shell = Shell::new(rights, 10);
        shell.feed(b"CAPABILITIES\r\n", 7);
        let labels: Vec<&str> =
            std::str::from_utf8(&shell.out).unwrap().lines().filter_map(|l| l.split(' ').next()).collect();
        assert!(labels.contains(&has) && !labels.contains(&lacks), "{labels:?}");
    }
}

/// Behind 290 the client is the server: nothing that it says is a command.
#[test]
fn places_are_changed_once() {
    assert_eq!(codes(ALL, "XTURN\r\nQUIT\r\n"), ["290"]);
    assert_eq!(codes(ALL, "GROUP a.b\r\nXTURN\r\nQUIT\r\n"), ["211", "403", "205"], "no feed for it");
    assert_eq!(codes(Rights { turn: false, ..ALL }, "XTURN\r\nQUIT\r\n"), ["502", "205"]);
}

/// Who is no peer is told how to become one: a login, TLS, or neither.
#[test]
fn a_peer_is_told_what_it_lacks() {
    const OFFER: &[&str] = &["IHAVE <a@b>", "CHECK <a@b>", "TAKETHIS <a@b>\r\n.", "MODE STREAM", "XTURN"];
    let peers = Offers { login_reads: false, login_posts: false, login_offers: true, ..OFFERS };
    assert_eq!(dialogue(peers, false, OFFER).0, "483 483 483 483 483");
    assert_eq!(dialogue(peers, true, OFFER).0, "480 480 480 480 480");
    assert_eq!(dialogue(Offers { clear_login: true, ..peers }, false, OFFER).0, "480 480 480 480 480");
    let keyed = Offers { login: false, login_offers: false, tls_offers: true, ..peers };
    assert_eq!(dialogue(keyed, false, OFFER).0, "483 483 483 483 483");
    assert_eq!(dialogue(keyed, true, OFFER).0, "502 502 502 502 502");
    let mut greeting = Vec::new();
    let server: Server<()> = Server::new(Rights::default(), 1000).on_channel(keyed, false);
    assert!(server.greet("a.example", &mut greeting), "it may come back behind TLS");
    assert!(greeting.starts_with(b"201"));
    // The login says who it is, and what it may do from then on.
    let lines = ["AUTHINFO USER fred", "AUTHINFO PASS flint stone", "CHECK bad", "XTURN"];
    assert_eq!(dialogue(peers, true, &lines).0, "381 281 501 290");
}

/// RFC 3977 s.3.1.
#[test]
fn no_response_line_is_longer_than_512_octets() {
    let name = "x".repeat(crate::limits::NEWSGROUP_NAME_MAX);
    let mut shell = Shell::new(ALL, 1000);
    for command in ["LIST ACTIVE [", "XPAT Subject <a@b> [", "LIST NEWSGROUPS !!", "GROUP ", "NOSUCH "] {
        shell.feed(format!("{command}{}\r\n", "\"".repeat(500 - command.len())).as_bytes(), usize::MAX);
    }
    shell.session.answer_group("x", &name, (2_147_483_647, 2_147_483_646, 0), true, &mut shell.out);
    let lines: Vec<&[u8]> = shell.out.split_inclusive(|octet| *octet == b'\n').collect();
    assert_eq!(lines.len(), 6);
    assert!(lines.iter().all(|line| line.len() <= 512), "{}", shell.out.escape_ascii());
}

#[test]
fn a_bad_command_never_costs_the_next_one() {
    let long = format!("STAT <{}@x>\r\nMODE STREAM\r\n", "a".repeat(1000));
    assert_eq!(codes(ALL, &long), ["501", "203"]);
    let too_large = format!("TAKETHIS <a@b>\r\n{}\r\n.\r\nMODE STREAM\r\n", "x".repeat(2000));
    let mut shell = Shell::new(ALL, 1000);
    shell.feed(too_large.as_bytes(), 100);
    assert_eq!(shell.log, ["TakeThis TooLarge(2002)"]);
    assert_eq!(shell.codes(), ["203"]);
    let long = format!("takethis <{}@x>\r\nQUIT\r\n.\r\nMODE STREAM\r\n", "a".repeat(1000));
    let mut shell = Shell::new(ALL, 1000);
    shell.feed(long.as_bytes(), 100);
    assert_eq!(shell.log, ["TakeThis BadMessageId"]);
    assert_eq!(shell.codes(), ["203"]);
    let mut shell = Shell::new(ALL, 1000);
    shell.feed(b"TAKETHIS oops\r\nQUIT\r\n.\r\nMODE STREAM\r\n", 3);
    assert_eq!(shell.log, ["TakeThis BadMessageId"]);
    assert_eq!(shell.codes(), ["203"]);
}

#[test]
fn an_article_of_exactly_the_limit_is_taken() {
    for (size, expected) in [(1000, "TakeThis Some(<a@b>) 1003"), (1001, "TakeThis TooLarge(1001)")] {
        let body = format!("{}\r\n", "x".repeat(size - 2));
        for chunk in [1, 17, 4096] {
            let mut shell = Shell::new(ALL, 1000);
            shell.feed(format!("TAKETHIS <a@b>\r\n{body}.\r\n").as_bytes(), chunk);
            assert_eq!(shell.log, [expected], "in pieces of {chunk}");
        }
    }
}

#[test]
fn somebody_who_speaks_something_else_is_cut_off() {
    let mut shell = Shell::new(ALL, 1000);
    shell.feed("GET / HTTP/1.1\r\n".repeat(50).as_bytes(), 64);
    assert_eq!(shell.log.first().map(String::as_str), Some("close"));
    assert_eq!(shell.codes().len(), UNKNOWN_MAX as usize);
    assert_eq!(shell.codes().last(), Some(&"400"));
}

#[test]
fn any_chunking_gives_the_same_steps() {
    let stream = "mode stream\r\nCHECK <a@b>\r\nTAKETHIS <a@b>\r\nPath: x\r\n\r\n..body\r\n.\r\nCHECK <c@d>\r\n\
        IHAVE <e@f>\r\n.\r\nPOST\r\nSubject: x\r\n\r\n.\r\n.x\r\nGROUP a.b\r\nSTAT\r\nXOVER 1-\r\nQUIT\r\nDATE\r\n";
    let mut whole = Shell::new(ALL, 1000);
    whole.feed(stream.as_bytes(), usize::MAX);
    assert!(whole.log.len() > 8, "{:?}", whole.log);
    for size in 1..stream.len() {
        let mut pieces = Shell::new(ALL, 1000);
        pieces.feed(stream.as_bytes(), size);
        assert_eq!(pieces.out, whole.out, "pieces of {size}");
        let closes = |log: &[String]| log.iter().filter(|l| *l != "close").cloned().collect::<Vec<_>>();
        assert_eq!(closes(&pieces.log), closes(&whole.log), "pieces of {size}");
    }
}

/// Everything a site can offer; nobody reads or posts without an account.
const OFFERS: Offers = Offers {
    starttls: true,
    login: true,
    login_reads: true,
    login_posts: true,
    login_offers: false,
    tls_offers: false,
    clear_login: false,
    compress: true,
};

/// The codes of a dialogue in which each line waits for the answer to the one before.
fn dialogue(offers: Offers, tls: bool, lines: &[&str]) -> (String, String) {
    let mut shell = Shell::new(Rights::default(), 1000);
    shell.session = Server::new(Rights::default(), 1000).on_channel(offers, tls);
    for line in lines {
        shell.feed(format!("{line}\r\n").as_bytes(), usize::MAX);
    }
    (shell.codes().join(" "), String::from_utf8(shell.out.clone()).unwrap())
}

#[test]
fn passwords_come_behind_tls_only() {
    let (codes, _) = dialogue(
        OFFERS,
        false,
        &["GROUP a.b", "POST", "AUTHINFO USER fred", "AUTHINFO SASL PLAIN AGZyZWQAeA==", "IHAVE <a@b>"],
    );
    assert_eq!(codes, "483 483 483 483 502");
    let (codes, _) = dialogue(
        OFFERS,
        false,
        &[
            "STARTTLS",
            "STARTTLS",
            "GROUP a.b",
            "AUTHINFO USER fred",
            "AUTHINFO PASS flint stone",
            "GROUP a.b",
        ],
    );
    assert_eq!(codes, "382 502 480 381 281 211");
    let clear = Offers { clear_login: true, starttls: false, ..OFFERS };
    let (codes, _) =
        dialogue(clear, false, &["POST", "AUTHINFO USER fred", "AUTHINFO PASS flint stone", "POST"]);
    assert_eq!(codes, "480 381 281 340");
    let nothing = Offers { starttls: false, ..OFFERS };
    let (codes, _) = dialogue(nothing, false, &["GROUP a.b", "AUTHINFO USER fred", "STARTTLS"]);
    assert_eq!(codes, "502 502 580");
}

#[test]
fn a_login_goes_step_by_step() {
    for (lines, expected) in [
        (&["AUTHINFO PASS flint stone"][..], "482"),
        (&["AUTHINFO USER fred", "AUTHINFO PASS barney", "AUTHINFO PASS flint stone"], "381 481 482"),
        (
            &["AUTHINFO USER x", "AUTHINFO USER fred", "AUTHINFO PASS flint stone", "AUTHINFO USER y"],
            "381 381 281 502",
        ),
        // "\0fred\0flint stone"
        (&["AUTHINFO SASL PLAIN AGZyZWQAZmxpbnQgc3RvbmU=", "AUTHINFO SASL PLAIN ="], "281 502"),
        (&["AUTHINFO SASL plain", "AGZyZWQAZmxpbnQgc3RvbmU=", "STARTTLS"], "383 281 502"),
        (
            &["AUTHINFO SASL PLAIN", "*", "AUTHINFO SASL PLAIN", "DATE!", "AUTHINFO SASL PLAIN", "="],
            "383 481 383 504 383 482",
        ),
        // "fred\0fred\0flint stone", "barney\0fred\0flint stone"
        (&["AUTHINFO SASL PLAIN ZnJlZABmcmVkAGZsaW50IHN0b25l"], "281"),
        (&["AUTHINFO SASL PLAIN YmFybmV5AGZyZWQAZmxpbnQgc3RvbmU="], "481"),
        (&["AUTHINFO SASL CRAM-MD5", "AUTHINFO SASL PLAIN AAA=BBB", "AUTHINFO GENERIC x"], "503 504 501"),
    ] {
        assert_eq!(dialogue(OFFERS, true, lines).0, expected, "{lines:?}");
    }
    let long = format!("AUTHINFO SASL PLAIN {}", "A".repeat(3000));
    assert_eq!(dialogue(OFFERS, true, &[&long, "AUTHINFO USER fred"]).0, "482 381");
    let long = format!("AUTHINFO SASL PLAIN {}", "A".repeat(5000));
    assert_eq!(dialogue(OFFERS, true, &[&long, "AUTHINFO USER fred"]).0, "501 381");
}

/// RFC 4642 s.2.2.2: what stands behind STARTTLS in clear was perhaps put there by somebody else.
#[test]
fn nothing_in_clear_passes_starttls() {
    for size in [1000, 11, 10] {
        let mut shell = Shell::new(ALL, 1000);
        shell.session = Server::new(ALL, 1000).on_channel(OFFERS, false);
        shell.feed(b"GROUP a.b\r\n", usize::MAX);
        shell.input.extend_from_slice(b"STARTTLS\r\nPOST\r\nSTAT 3\r\n");
        shell.feed(b"DATE\r\n", size);
        assert!(shell.log.contains(&"handshake".to_owned()));
        assert_eq!(shell.codes(), ["211", "382"]);
        assert!(shell.input.is_empty());
        shell.feed(b"STAT\r\n", 3);
        assert_eq!(shell.codes(), ["211", "382", "412"], "the newsgroup is forgotten");
    }
}

#[test]
fn compression_comes_last() {
    let (codes, _) = dialogue(
        OFFERS,
        true,
        &[
            "COMPRESS SHRINK",
            "COMPRESS deflate",
            "COMPRESS DEFLATE",
            "STARTTLS",
            "AUTHINFO USER fred",
            "GROUP a.b",
        ],
    );
    assert_eq!(codes, "503 206 502 502 502 502");
    let none = Offers { compress: false, ..OFFERS };
    assert_eq!(dialogue(none, true, &["COMPRESS DEFLATE", "COMPRESS"]).0, "403 501");
}

#[test]
fn capabilities_follow_the_state() {
    let has = |text: &str| {
        let last = text.rfind("101 ").unwrap();
        ["STARTTLS", "AUTHINFO USER SASL", "AUTHINFO", "SASL PLAIN", "COMPRESS DEFLATE", "READER"]
            .into_iter()
            .filter(|label| text[last..].lines().any(|line| line == *label))
            .collect::<Vec<_>>()
            .join("|")
    };
    for (lines, expected) in [
        (&[][..], "STARTTLS|AUTHINFO|COMPRESS DEFLATE"),
        (&["STARTTLS"], "AUTHINFO USER SASL|SASL PLAIN|COMPRESS DEFLATE"),
        (&["STARTTLS", "COMPRESS DEFLATE"], ""),
        (&["COMPRESS DEFLATE"], ""),
        (
            &["STARTTLS", "AUTHINFO USER fred", "AUTHINFO PASS flint stone"],
            "SASL PLAIN|COMPRESS DEFLATE|READER",
        ),
        (
            &["STARTTLS", "AUTHINFO USER fred", "AUTHINFO PASS flint stone", "COMPRESS DEFLATE"],
            "SASL PLAIN|READER",
        ),
    ] {
        let lines: Vec<&str> = lines.iter().copied().chain(["CAPABILITIES"]).collect();
        assert_eq!(has(&dialogue(OFFERS, false, &lines).1), expected, "{lines:?}");
    }
}

#[test]
fn no_password_is_shown() {
    let mut shell = Shell::new(Rights::default(), 1000);
    shell.session = Server::new(Rights::default(), 1000).on_channel(OFFERS, true);
    shell.feed(b"AUTHINFO USER fred\r\nAUTHINFO PASS flint stone\r\n", 5);
    assert!(shell.log.iter().any(|line| line.contains("fred")), "{:?}", shell.log);
    assert!(!format!("{:?} {:?}", shell.log, shell.session).contains("flint"));
}

/// A stream of what clients send, good and bad, from pieces of the grammar.
fn stream(random: &mut impl FnMut(u64) -> u64) -> Vec<u8> {
    const COMMANDS: &str = "ARTICLE|ARTICLE <a@b>|BODY 3|CAPABILITIES|CHECK <a@b>|DATE|GROUP a.b|GROUP x\
        |HDR Subject 1-|HDR :lines <a@b>|HEAD 5|HELP|IHAVE <e@f>|LAST|LIST|LIST ACTIVE a*|LIST MOTD\
        |LIST MODERATORS|LIST SUBSCRIPTIONS a*|LIST NOSUCH|LISTGROUP a.b 3-|MODE READER|MODE STREAM|MODE X\
        |NEWGROUPS 200101 000000|NEWNEWS a.* 20200101 000000 GMT|NEXT|OVER 3-5|OVER|POST|STAT|XGTITLE\
        |XGTITLE a*|XHDR Subject|XOVER 1-|XPAT Subject 1- *x y*|XPAT Subject <a@b> [|TAKETHIS bad|NOSUCH\
        |QUIT now|STARTTLS|AUTHINFO USER fred|AUTHINFO PASS flint stone|AUTHINFO SASL PLAIN\
        |AUTHINFO SASL PLAIN AGZyZWQAZmxpbnQgc3RvbmU=|AGZyZWQAZmxpbnQgc3RvbmU=|*|COMPRESS DEFLATE|COMPRESS X";
    let commands: Vec<&str> = COMMANDS.split('|').collect();
    let mut bytes = Vec::new();
    for _ in 0..random(20) {
        match random(16) {
            0 => bytes.extend_from_slice(b"TAKETHIS <c@d>\r\nPath: x\r\n\r\n..dot\r\n.\n.\r\n"),
            1 => bytes.extend_from_slice(b"Subject: x\r\n\r\nbody\r\n.\r\n"),
            2 => bytes.extend_from_slice(b".\r\n"),
            3 => bytes.extend((0..random(1200)).map(|at| b"x \r."[(at % 97 / 32) as usize])),
            4 => bytes.extend((0..random(20)).map(|at| (at * 37) as u8)),
            5 if random(8) == 0 => bytes.extend_from_slice(b"quit"),
            _ => {
                let command = commands[random(commands.len() as u64) as usize].as_bytes();
                // Sometimes something is wrong with it.
                let len = if random(9) == 0 { random(command.len() as u64) as usize } else { command.len() };
                bytes.extend_from_slice(&command[..len]);
            }
        }
        bytes.extend_from_slice([&b"\r\n"[..], b"\r\n", b"\r\n", b"\n"][random(4) as usize]);
    }
    bytes
}

#[test]
fn any_splitting_of_any_stream_gives_the_same_steps_and_replies() {
    let mut random = xorshift(3977);
    let mut asked = 0;
    let mut handshakes = 0;
    let run = |bytes: &[u8], round: u64, cuts: &mut dyn FnMut() -> usize| {
        let rights = Rights {
            read: !round.is_multiple_of(7),
            post: !round.is_multiple_of(5),
            offer: !round.is_multiple_of(3),
            turn: !round.is_multiple_of(4),
        };
        let offers = Offers { clear_login: round.is_multiple_of(2), ..OFFERS };
        let mut shell = Shell::new(rights, 300);
        shell.session = Server::new(rights, 300).on_channel(offers, round.is_multiple_of(11));
        shell.session.set_lists(ListFiles::default().with(ListFile::Motd));
        // A client says nothing between STARTTLS and the handshake; what somebody else puts there is
        // another test's.
        let mut quiet: Vec<usize> = memchr::memmem::find_iter(bytes, b"STARTTLS")
            .filter_map(|at| Some(at + memchr::memchr(b'\n', &bytes[at..])? + 1))
            .collect();
        quiet.push(bytes.len());
        let mut at = 0;
        for end in quiet {
            while at < end {
                let piece = &bytes[at..at + cuts().clamp(1, end - at)];
                shell.feed(piece, piece.len());
                at += piece.len();
            }
        }
        shell.log.retain(|line| line != "close");
        (shell.out, shell.log)
    };
    for round in 0..2000 {
        let bytes = stream(&mut random);
        let whole = run(&bytes, round, &mut || usize::MAX);
        asked += whole.1.len();
        handshakes += whole.1.iter().filter(|line| *line == "handshake").count();
        for pieces in [1, 7, 600] {
            let cut = run(&bytes, round, &mut || 1 + random(pieces) as usize);
            assert!(whole == cut, "round {round}, pieces up to {pieces}: {}", bytes.escape_ascii());
        }
    }
    assert!(asked > 2_000 && handshakes > 50, "the streams say something: {asked}, {handshakes}");
}
