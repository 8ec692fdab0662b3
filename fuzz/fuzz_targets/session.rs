//! A server's connection: whatever octets arrive, in whatever pieces, the steps and the replies are
//! the same.
#![no_main]

use bytes::BytesMut;
use feedd::article::MessageId;
use feedd::session::{Ask, Locator, Login, Offers, Received, Rights, Server, Step, reply};
use libfuzzer_sys::fuzz_target;

const ARTICLE_BYTES_MAX: usize = 256;
/// Whoever asks for more steps than this from one input goes round in circles.
const STEPS_MAX: usize = 100_000;

/// What may be done on a connection, before and after a login, and what it is offered.
#[derive(Clone, Copy)]
struct Site {
    rights: Rights,
    offers: Offers,
}

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (bits, piece, stream) = input;
    let unset = |bit: u8| bits >> bit & 1 == 0;
    let login = unset(4);
    let site = Site {
        rights: Rights { read: unset(0), post: unset(1), offer: unset(2), turn: unset(2) && unset(5) },
        offers: Offers {
            starttls: unset(3),
            login,
            login_reads: login && unset(5),
            login_posts: login,
            login_offers: login && unset(1),
            tls_offers: unset(6),
            clear_login: unset(6),
            compress: unset(7),
        },
    };
    let whole = run(site, stream, stream.len().max(1));
    let in_pieces = run(site, stream, usize::from(piece) + 1);
    assert_eq!(in_pieces.out, whole.out);
    assert_eq!(in_pieces.steps, whole.steps);
    // Replies are lines.
    assert!(whole.out.is_empty() || whole.out.ends_with(b"\r\n"));
});

/// What a connection came to.
#[derive(Default)]
struct Outcome {
    out: Vec<u8>,
    steps: Vec<String>,
}

fn run(site: Site, stream: &[u8], piece: usize) -> Outcome {
    let mut server = Server::new(site.rights, ARTICLE_BYTES_MAX).on_channel(site.offers, false);
    let mut outcome = Outcome::default();
    let mut input = BytesMut::new();
    for arrived in stream.chunks(piece) {
        input.extend_from_slice(arrived);
        loop {
            assert!(outcome.steps.len() < STEPS_MAX);
            match server.step(&mut input, &mut outcome.out) {
                Step::Read => break,
                Step::Close => {
                    outcome.steps.push("close".to_owned());
                    return outcome;
                }
                Step::Replied => {}
                // What follows stands for what arrives inside TLS.
                Step::StartTls => {
                    outcome.steps.push("STARTTLS".to_owned());
                    server.secured();
                }
                Step::Received(transfer, received) => {
                    if let Received::Article(article) = &received {
                        assert!(article.ends_with(b".\r\n") && article.len() <= ARTICLE_BYTES_MAX + 3);
                    }
                    outcome.steps.push(format!("{transfer:?} {received:?}"));
                }
                Step::Ask(ask) => {
                    outcome.steps.push(format!("{ask:?}"));
                    answer(&mut server, ask, &mut outcome.out);
                }
            }
        }
        // What waits for more is bounded: an article with its terminator, or a command line.
        assert!(input.len() <= piece + ARTICLE_BYTES_MAX.max(feedd::limits::COMMAND_LINE_MAX) + 3);
    }
    outcome
}

/// A shell that knows one newsgroup, of any name of three octets, with articles 3 to 5.
fn answer(server: &mut Server<()>, ask: Ask, out: &mut Vec<u8>) {
    let id = MessageId::try_from("<x@y.example>").expect("a Message-ID");
    match ask {
        Ask::Group(name) if name.len() == 3 => server.answer_group((), &name, (3, 5, 3), false, out),
        Ask::Ihave(id) => server.answer_ihave_wanted(id, out),
        Ask::Article(part, locator @ (Locator::Number { number: 3..=5, .. } | Locator::Id(_))) => {
            server.answer_article(part, &locator, &id, out);
        }
        Ask::Article(_, locator) => server.answer_no_article(&locator, out),
        Ask::Neighbour { from, up } => match if up { from + 1 } else { from - 1 } {
            number @ 3..=5 => server.answer_neighbour(number, &id, out),
            _ => drop(reply::line(421, "None", out)),
        },
        Ask::Login(credentials) if credentials.password == "secret" => {
            server.answer_login(Login::Accepted(Rights { read: true, post: true, ..Rights::default() }), out);
        }
        Ask::Login(_) => server.answer_login(Login::Failed, out),
        Ask::Compress => server.answer_compress(true, out),
        Ask::Turn => server.answer_turn(true, out),
        _ => drop(reply::line(503, "Not here", out)),
    }
}
