//! Transcripts (`C:` what the machine sends, `S:` what it is told) and properties.

use super::*;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Article {
    id: MessageId,
    octets: usize,
}

impl Offered for Article {
    fn message_id(&self) -> &MessageId {
        &self.id
    }

    fn octets(&self) -> usize {
        self.octets
    }
}

fn article(name: impl fmt::Display) -> Article {
    sized(name, 2000)
}

fn sized(name: impl fmt::Display, octets: usize) -> Article {
    Article { id: MessageId::try_from(format!("<{name}@example.com>").as_str()).unwrap(), octets }
}

/// A machine and the least shell it can have: every article asked for is sent as `[article]`.
struct Bench {
    sender: Sender<Article>,
    out: Vec<u8>,
    /// What became of each article, by the part of its Message-ID before `@`.
    story: Vec<String>,
}

impl Bench {
    fn new(window: usize) -> Self {
        Self {
            sender: Sender::new(window, Acceptance::default(), Opening::default()),
            out: Vec::new(),
            story: Vec::new(),
        }
    }

    /// One that has come as far as streaming.
    fn streaming(window: usize) -> Self {
        let mut bench = Self::new(window);
        bench.hears("200 hello\r\n101 list\r\nVERSION 2\r\nIHAVE\r\nSTREAMING\r\n.\r\n");
        bench.sends("CAPABILITIES\r\n");
        assert_eq!(std::mem::take(&mut bench.story), ["ready: streaming"]);
        bench
    }

    fn ihave() -> Self {
        let mut bench = Self::new(100);
        bench.hears("200 hello\r\n101 list\r\nVERSION 2\r\nIHAVE\r\n.\r\n");
        bench.sends("CAPABILITIES\r\n");
        assert_eq!(std::mem::take(&mut bench.story), ["ready: IHAVE"]);
        bench
    }

    fn offers(&mut self, articles: impl IntoIterator<Item = Article>) {
        for article in articles {
            self.sender.offer(article);
        }
        self.run();
    }

    fn hears(&mut self, octets: &str) {
        self.sender.receive(octets.as_bytes());
        self.run();
    }

    fn run(&mut self) {
        while let Some(step) = self.sender.next(&mut self.out, true) {
            match step {
                Step::Ready { streaming } => {
                    self.story.push(format!("ready: {}", if streaming { "streaming" } else { "IHAVE" }));
                }
                Step::Send(article) => {
                    self.sender.begin(article, &mut self.out);
                    self.out.extend_from_slice(b"[article]\r\n.\r\n");
                }
                Step::Settled(article, verdict) => {
                    let name = article.id.as_str().trim_matches(['<', '>']).replace("@example.com", "");
                    self.story.push(format!("{name}: {verdict:?}"));
                }
                Step::StartTls => {
                    self.story.push("TLS".to_owned());
                    assert_eq!(self.sender.take_input(), b"", "nothing of the clear text counts");
                    self.sender.secured(&mut self.out);
                }
                Step::StartDeflate => {
                    self.story.push("deflate".to_owned());
                    if let Some(Step::Ready { .. }) = self.sender.compressed(&mut self.out) {
                        self.story.push("ready behind it".to_owned());
                    }
                }
                Step::Opened => self.story.push("opened".to_owned()),
                Step::Turned => self.story.push("turned".to_owned()),
                Step::Close(why) => self.story.push(format!("close: {why}")),
            }
        }
    }

    #[track_caller]
    fn sends(&mut self, expected: &str) {
        assert_eq!(String::from_utf8(std::mem::take(&mut self.out)).unwrap(), expected);
    }

    #[track_caller]
    fn tells(&mut self, expected: &[&str]) {
        assert_eq!(std::mem::take(&mut self.story), expected);
    }

    fn unsettled(self) -> Vec<Article> {
        self.sender.unsettled().collect()
    }
}

#[test]
fn check_then_takethis() {
    let mut bench = Bench::streaming(10);
    bench.offers([article("want"), article("have"), article("defer")]);
    bench.sends("CHECK <want@example.com>\r\nCHECK <have@example.com>\r\nCHECK <defer@example.com>\r\n");
    bench.hears("238 <want@example.com>\r\n438 <have@example.com>\r\n431 <defer@example.com>\r\n");
    bench.sends("TAKETHIS <want@example.com>\r\n[article]\r\n.\r\n");
    bench.tells(&["have: Refused", "defer: Deferred"]);
    assert!(bench.sender.is_owed());
    bench.hears("239 <want@example.com>\r\n");
    bench.tells(&["want: Accepted"]);
    assert!(bench.sender.is_idle() && !bench.sender.is_owed());
    assert_eq!(bench.sender.unanswered_octets(), 0);
}

#[test]
fn a_rejected_article_keeps_the_peers_words() {
    let mut bench = Bench::streaming(10);
    bench.offers([article("a")]);
    bench.hears("238 <a@example.com>\r\n439 <a@example.com> Unwanted newsgroup \"x\"\r\n");
    bench.tells(&["a: Rejected(\"<a@example.com> Unwanted newsgroup \\\"x\\\"\")"]);
}

#[test]
fn the_window_bounds_commands_in_flight() {
    assert_eq!(Bench::streaming(1000).sender.room(), OFFERS_MAX, "the rest may go to others");
    let mut bench = Bench::streaming(2);
    assert_eq!(bench.sender.room(), 2);
    bench.offers([article(1), article(2)]);
    assert_eq!(bench.sender.room(), 0);
    bench.hears("438 <1@example.com>\r\n");
    assert_eq!(bench.sender.room(), 1);
    bench.hears("238 <2@example.com>\r\n");
    assert_eq!(bench.sender.room(), 1, "an article without its 239 still counts");
}

#[test]
fn octets_in_flight_are_bounded_but_one_article_always_passes() {
    let mut bench = Bench::streaming(10);
    bench.offers([sized(1, UNANSWERED_OCTETS_MAX + 1), article(2)]);
    bench.out.clear();
    bench.hears("238 <1@example.com>\r\n238 <2@example.com>\r\n");
    bench.sends("TAKETHIS <1@example.com>\r\n[article]\r\n.\r\n");
    bench.offers([article(3)]);
    bench.sends(""); // The peer is not asked for more than can follow.
    bench.hears("239 <1@example.com>\r\n");
    bench.sends("TAKETHIS <2@example.com>\r\n[article]\r\n.\r\nCHECK <3@example.com>\r\n");
}

#[test]
fn mode_stream_where_capabilities_are_unknown() {
    let mut bench = Bench::new(10);
    bench.hears("200 old server\r\n500 What?\r\n");
    bench.sends("CAPABILITIES\r\nMODE STREAM\r\n");
    bench.hears("203 Streaming is OK\r\n");
    bench.tells(&["ready: streaming"]);
}

#[test]
fn ihave_where_there_is_no_streaming() {
    let mut bench = Bench::new(10);
    bench.hears("201 older server\r\n500 What?\r\n500 What?\r\n");
    bench.tells(&["ready: IHAVE"]);
}

#[test]
fn a_capability_list_without_transfer_is_believed_unless_mode_stream_works() {
    let mut bench = Bench::new(10);
    bench.hears("200 hello\r\n101 list\r\nVERSION 2\r\nMODE-READER\r\n.\r\n");
    bench.sends("CAPABILITIES\r\nMODE STREAM\r\n");
    bench.hears("501 Unknown MODE variant\r\n");
    bench.tells(&["close: takes no articles from us: neither STREAMING nor IHAVE"]);

    let mut bench = Bench::new(10);
    bench.hears("200 hello\r\n101 list\r\nVERSION 2\r\n.\r\n203 ok\r\n");
    bench.tells(&["ready: streaming"]);
}

#[test]
fn greetings_that_turn_us_away() {
    for (greeting, why) in [
        ("400 busy\r\n", "close: turned away: 400 busy"),
        ("502 You have no permission\r\n", "close: turned away: 502 You have no permission"),
        ("SSH-2.0-OpenSSH\r\n", "close: protocol error: not a reply: SSH-2.0-OpenSSH"),
    ] {
        let mut bench = Bench::new(10);
        bench.hears(greeting);
        bench.tells(&[why]);
        bench.hears("200 come back\r\n");
        bench.tells(&[]);
        bench.sends("");
    }
}

#[test]
fn authentication_asked_for() {
    let mut bench = Bench::streaming(10);
    bench.offers([article(1)]);
    bench.hears("480 who are you\r\n");
    bench.tells(&["close: asks for authentication or privacy: 480 who are you"]);
    assert_eq!(bench.unsettled(), [article(1)]);
}

#[test]
fn ihave_one_at_a_time() {
    let mut bench = Bench::ihave();
    assert_eq!(bench.sender.room(), 1);
    bench.offers([article(1), article(2), article(3), article(4), article(5)]);
    bench.sends("IHAVE <1@example.com>\r\n");
    bench.hears("335 send it\r\n");
    bench.sends("[article]\r\n.\r\n");
    bench.hears("235 thanks\r\n");
    bench.sends("IHAVE <2@example.com>\r\n");
    bench.hears("435 have it\r\n436 <later@example.com> is busy\r\n");
    bench.sends("IHAVE <3@example.com>\r\nIHAVE <4@example.com>\r\n");
    bench.hears("335 go\r\n437 not that\r\n335 go\r\n436 disk full\r\n");
    bench.tells(&["1: Accepted", "2: Refused", "3: Deferred", "4: Rejected(\"not that\")", "5: Deferred"]);
    assert_eq!(bench.sender.unanswered_octets(), 0);
}

#[test]
fn an_article_that_cannot_be_sent_is_left_out_when_streaming() {
    let mut bench = Bench::streaming(10);
    bench.offers([article(1), article(2)]);
    bench.out.clear();
    bench.sender.receive(b"238 <1@example.com>\r\n238 <2@example.com>\r\n");
    let Some(Step::Send(gone)) = bench.sender.next(&mut bench.out, true) else { panic!("nothing to send") };
    assert_eq!(bench.sender.room(), 8);
    assert_eq!(bench.sender.cannot_send(&gone), Ok(()));
    assert_eq!(bench.sender.room(), 9);
    bench.run();
    bench.sends("TAKETHIS <2@example.com>\r\n[article]\r\n.\r\n");
    assert_eq!(bench.unsettled(), [article(2)], "the first one is with the shell");
}

#[test]
fn an_article_that_cannot_be_sent_after_335_ends_the_connection() {
    let mut bench = Bench::ihave();
    bench.offers([article(1)]);
    bench.sender.receive(b"335 send it\r\n");
    let Some(Step::Send(gone)) = bench.sender.next(&mut bench.out, true) else { panic!("nothing to send") };
    assert_eq!(bench.sender.cannot_send(&gone), Err(Close::Withdrawn));
    assert!(bench.unsettled().is_empty());
}

#[test]
fn after_400_everything_without_an_answer_comes_back() {
    let mut bench = Bench::streaming(3);
    bench.offers((1..=4).map(article));
    bench.hears("238 <1@example.com>\r\n400 going down\r\n438 <2@example.com>\r\n");
    bench.tells(&["close: unavailable: 400 going down"]);
    let mut left = bench.unsettled();
    left.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(left, [article(1), article(2), article(3), article(4)]);
}

#[test]
fn replies_that_fit_no_command_end_the_connection() {
    for reply in [
        "239 <1@example.com>", // nothing was sent
        "238 <9@example.com>", // never offered
        "335 send it",         // not IHAVE
        "500 What?",           // streaming has ended
        "205 bye",             // not asked for
        "999 <1@example.com>", // no such code
        "2x8 <1@example.com>", // no code at all
        "",                    // nothing at all
    ] {
        let mut bench = Bench::streaming(10);
        bench.offers([article(1), article(2)]);
        bench.hears(&format!("{reply}\r\n"));
        assert!(
            bench.story.len() == 1 && bench.story[0].starts_with("close: protocol error"),
            "{reply}: {:?}",
            bench.story
        );
        assert_eq!(bench.unsettled(), [article(1), article(2)]);
    }
}

#[test]
fn a_reply_out_of_order_is_taken_by_its_message_id() {
    let mut bench = Bench::streaming(10);
    bench.offers([article(1), article(2), article(3)]);
    bench.hears(
        "438 <3@example.com>\r\n238 <1@example.com>\r\n239 <1@example.com>\r\n438 <2@example.com>\r\n",
    );
    bench.tells(&["3: Refused", "1: Accepted", "2: Refused"]);
}

#[test]
fn a_reply_without_its_message_id_answers_the_oldest_command() {
    let mut bench = Bench::streaming(10);
    bench.offers([article(1), article(2)]);
    bench.hears("438\r\n438 got it\r\n");
    bench.tells(&["1: Refused", "2: Refused"]);
}

#[test]
fn a_message_id_the_peer_cannot_take_does_not_stop_the_feed() {
    let mut bench = Bench::streaming(10);
    bench.offers([article(1), article(2)]);
    bench.hears("501 Syntax error in message-ID\r\n438 <2@example.com>\r\n");
    bench.tells(&["1: Refused", "2: Refused"]);
}

#[test]
fn endless_lines_and_lists_are_cut_off() {
    let mut bench = Bench::streaming(10);
    bench.hears(&"4".repeat(REPLY_LINE_MAX + 1));
    bench.tells(&["close: protocol error: a reply line has no end"]);

    let mut bench = Bench::new(10);
    bench.hears("200 hello\r\n101 list\r\n");
    for _ in 0..CAPABILITIES_MAX / 100 + 1 {
        bench.hears(&format!("{}\r\n", "X".repeat(100)));
    }
    bench.tells(&["close: protocol error: the capability list has no end"]);
}

#[test]
fn what_the_peer_says_is_shown_without_control_characters() {
    let mut bench = Bench::new(10);
    bench.hears("502 \x1b[31mno\x07 way\r\n");
    bench.tells(&["close: turned away: 502  [31mno  way"]);
}

#[test]
fn draining_sends_what_was_asked_for_and_offers_nothing_more() {
    let mut bench = Bench::streaming(10);
    bench.offers([article(1)]);
    bench.sender.drain();
    assert_eq!(bench.sender.room(), 0);
    bench.sender.offer(article(2));
    bench.out.clear();
    bench.hears("238 <1@example.com>\r\n");
    bench.sends("TAKETHIS <1@example.com>\r\n[article]\r\n.\r\n");
    bench.hears("239 <1@example.com>\r\n");
    assert!(!bench.sender.is_owed());
    let mut goodbye = Vec::new();
    bench.sender.quit(&mut goodbye);
    assert_eq!(goodbye, b"QUIT\r\n");
    assert_eq!(bench.unsettled(), [article(2)]);
}

#[test]
fn while_output_is_full_replies_are_worked_off_and_nothing_is_sent() {
    let mut bench = Bench::streaming(10);
    bench.offers([article(1), article(2)]);
    bench.out.clear();
    bench.sender.offer(article(3));
    bench.sender.receive(b"238 <1@example.com>\r\n438 <2@example.com>\r\n");
    let step = bench.sender.next(&mut bench.out, false);
    assert_eq!(step, Some(Step::Settled(article(2), Verdict::Refused)));
    assert_eq!(bench.sender.next(&mut bench.out, false), None);
    bench.sends("");
    bench.run();
    bench.sends("TAKETHIS <1@example.com>\r\n[article]\r\n.\r\nCHECK <3@example.com>\r\n");
}

#[test]
fn straight_takethis_while_nearly_all_is_accepted() {
    let mut bench = Bench::streaming(1);
    let mut offer = |n: u32, wanted: bool| {
        bench.offers([article(n)]);
        let asked = bench.out.starts_with(b"CHECK");
        match (asked, wanted) {
            (true, true) => bench.hears(&format!("238 <{n}@example.com>\r\n239 <{n}@example.com>\r\n")),
            (true, false) => bench.hears(&format!("438 <{n}@example.com>\r\n")),
            (false, true) => bench.hears(&format!("239 <{n}@example.com>\r\n")),
            (false, false) => bench.hears(&format!("439 <{n}@example.com>\r\n")),
        }
        bench.out.clear();
        assert_eq!(std::mem::take(&mut bench.story).len(), 1);
        asked
    };
    let first_straight = (0..1000).find(|&n| !offer(n, true)).unwrap();
    assert!((100..200).contains(&first_straight), "after about 150 articles: {first_straight}");
    // One refusal in fifty is within the thresholds' distance: it does not switch back.
    assert!((1000..2000).all(|n| !offer(n, n % 50 != 0)));
    let asked_again = (2000..3000).find(|&n| offer(n, n % 5 != 0)).unwrap();
    assert!(asked_again < 2100, "soon when a fifth is refused: {asked_again}");
    assert!((3000..4000).all(|n| offer(n, n % 5 != 0)), "and no straight article at 80 %");
}

#[test]
fn acceptance_has_hysteresis() {
    let mut acceptance = Acceptance::default();
    let mut switches = 0;
    // 93 % stands between the thresholds: whatever it was, it stays.
    for start in [false, true] {
        while acceptance.straight() != start {
            acceptance.record(start);
        }
        for n in 0..300 {
            let before = acceptance.straight();
            acceptance.record(n % 15 != 0);
            switches += u32::from(acceptance.straight() != before);
        }
    }
    assert_eq!(switches, 0);
}

/// Any way to cut the peer's octets into pieces gives the same steps and the same output.
#[test]
fn chunking_changes_nothing() {
    let mut replies = String::from("200 hello\r\n101 list\r\nVERSION 2\r\nSTREAMING\r\nIHAVE\r\n.\r\n");
    let ids: Vec<String> = (0..40).map(|n| format!("<{n}@example.com>")).collect();
    for (n, id) in ids.iter().enumerate() {
        let code = match n % 4 {
            0 | 1 => 238,
            2 => 438,
            _ => 431,
        };
        replies.push_str(&format!("{code} {id}\r\n"));
    }
    for (n, id) in ids.iter().enumerate().filter(|(n, _)| n % 4 < 2) {
        replies.push_str(&format!("{} {id} words\r\n", if n % 4 == 0 { 239 } else { 439 }));
    }
    replies.push_str("400 enough\r\n");

    let run = |pieces: &mut dyn FnMut() -> usize| {
        let mut bench = Bench::new(50);
        for n in 0..ids.len() {
            bench.sender.offer(article(n));
        }
        let mut rest = replies.as_str();
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(pieces().clamp(1, rest.len()));
            bench.hears(piece);
            rest = behind;
        }
        (bench.out, bench.story)
    };
    let whole = run(&mut || usize::MAX);
    assert_eq!(whole.1.len(), 42);
    assert_eq!(run(&mut || 1), whole);
    let mut state = 7_u64;
    for _ in 0..50 {
        let mut dice = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 57) as usize
        };
        assert_eq!(run(&mut dice), whole);
    }
}

/// Whatever a peer says, every article comes back exactly once and nothing panics.
#[test]
fn noise_loses_no_article() {
    let words = [
        "200",
        "238 <1@example.com>",
        "239 <2@example.com>",
        "438 <3@example.com>",
        "431",
        "400 x",
        "501 y",
        "\r\n",
        "\n",
        ".",
        "335",
        "235",
        "437",
        "101",
        "STREAMING",
        "\0",
        "\u{fffd}",
        "<4@example.com>",
        " ",
    ];
    let mut state = 99_u64;
    let mut dice = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % n
    };
    for round in 0..2000 {
        let mut bench = if round % 2 == 0 { Bench::streaming(6) } else { Bench::ihave() };
        let offered: Vec<Article> = (1..=5).map(article).collect();
        bench.offers(offered.clone());
        for _ in 0..dice(20) {
            let word = words[dice(words.len())];
            let end = if dice(3) == 0 { "" } else { "\r\n" };
            bench.hears(&format!("{word}{end}"));
        }
        let settled = bench.story.iter().filter(|line| !line.starts_with("close")).count();
        assert_eq!(settled + bench.unsettled().len(), offered.len(), "round {round}");
    }
}

/// A machine that wants all of these first.
fn opening(start_tls: bool, login: bool, compress: bool) -> Bench {
    let login = login.then(|| ("us".to_owned(), "secret".to_owned()));
    opening_of(Opening { start_tls, login, compress, ..Opening::default() })
}

fn opening_of(opening: Opening) -> Bench {
    Bench { sender: Sender::new(10, Acceptance::default(), opening), out: Vec::new(), story: Vec::new() }
}

#[test]
fn tls_login_and_compression_come_before_articles() {
    let mut bench = opening(true, true, true);
    bench.offers([]);
    bench.hears("200 hello\r\n101 list\r\nVERSION 2\r\nSTARTTLS\r\nAUTHINFO\r\n.\r\n");
    bench.sends("CAPABILITIES\r\nSTARTTLS\r\n");
    bench.hears("382 go on\r\n");
    bench.sends("CAPABILITIES\r\n");
    bench.hears("101 list\r\nAUTHINFO USER\r\nCOMPRESS DEFLATE\r\n.\r\n");
    bench.sends("AUTHINFO USER us\r\n");
    bench.hears("381 password\r\n");
    bench.sends("AUTHINFO PASS secret\r\n");
    bench.hears("281 welcome\r\n");
    bench.sends("CAPABILITIES\r\n");
    bench.hears("101 list\r\nIHAVE\r\nSTREAMING\r\nCOMPRESS DEFLATE\r\n.\r\n");
    bench.sends("COMPRESS DEFLATE\r\n");
    bench.hears("206 go on\r\n");
    assert_eq!(bench.story, ["TLS", "deflate", "ready behind it"]);
    assert_eq!(bench.sender.room(), 10);
}

#[test]
fn a_peer_without_tls_is_told_nothing() {
    for refusal in ["101 list\r\nSTREAMING\r\nAUTHINFO USER\r\n.\r\n", "500 what?\r\n580 not now\r\n"] {
        let mut bench = opening(true, true, true);
        bench.hears(&format!("200 hello\r\n{refusal}"));
        assert!(
            bench.story[0].starts_with("close: no TLS, and without it nothing is sent"),
            "{:?}",
            bench.story
        );
        let said = String::from_utf8(bench.out).unwrap();
        assert!(said == "CAPABILITIES\r\n" || said == "CAPABILITIES\r\nSTARTTLS\r\n", "{said}");
    }
}

#[test]
fn a_login_is_given_where_it_is_taken_and_its_refusal_ends_the_connection() {
    let mut bench = opening(false, true, false);
    bench.hears("200 hello\r\n101 list\r\nIHAVE\r\n.\r\n");
    assert_eq!(bench.story, ["ready: IHAVE"], "it takes articles, and no logins");
    let mut bench = opening(false, true, false);
    bench.hears("200 hello\r\n101 list\r\nAUTHINFO USER SASL\r\nSASL PLAIN\r\n.\r\n");
    bench.sends("CAPABILITIES\r\nAUTHINFO SASL PLAIN AHVzAHNlY3JldA==\r\n");
    bench.hears("481 no\r\n");
    assert_eq!(bench.story, ["close: the login is refused: 481 no"]);
    // COMPRESS that is refused is no matter.
    let mut bench = opening(false, false, true);
    bench.hears("200 hello\r\n101 list\r\nSTREAMING\r\nCOMPRESS DEFLATE\r\n.\r\n403 not now\r\n");
    assert_eq!(bench.story, ["ready: streaming"]);
}

#[test]
fn places_are_changed_where_the_peer_offers_it() {
    let turning = || {
        let opening = Opening { turn: true, compress: true, ..Opening::default() };
        let mut bench = opening_of(opening);
        bench.offers([]);
        bench.hears("200 hello\r\n");
        bench
    };
    let mut bench = turning();
    bench.hears("101 list\r\nSTREAMING\r\nXTURN\r\nCOMPRESS DEFLATE\r\n.\r\n206 go on\r\n");
    bench.sends("CAPABILITIES\r\nCOMPRESS DEFLATE\r\nXTURN\r\n");
    bench.hears("290 yours\r\n");
    assert_eq!(bench.story, ["deflate", "turned"]);
    for (answer, story) in [
        ("101 list\r\nSTREAMING\r\n.\r\n", "close: the peer does not offer XTURN"),
        ("500 what?\r\n", "close: the peer does not offer XTURN"),
        ("101 list\r\nXTURN\r\n.\r\n403 no feed\r\n", "close: 403 no feed"),
        ("101 list\r\nXTURN\r\n.\r\n400 bye\r\n", "close: unavailable: 400 bye"),
    ] {
        let mut bench = turning();
        bench.hears(answer);
        assert!(bench.story[0].starts_with(story), "{:?}", bench.story);
    }
}
