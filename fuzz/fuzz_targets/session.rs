//! A server's connection: whatever octets arrive, in whatever pieces, the steps and the replies are
//! the same.
#![no_main]

use bytes::BytesMut;
use feedd::article::MessageId;
use feedd::session::{Ask, Locator, Received, Rights, Server, Step, reply};
use libfuzzer_sys::fuzz_target;

const ARTICLE_BYTES_MAX: usize = 256;
/// Whoever asks for more steps than this from one input goes round in circles.
const STEPS_MAX: usize = 100_000;

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (rights, piece, stream) = input;
    let rights = Rights { read: rights & 1 == 0, post: rights & 2 == 0, offer: rights & 4 == 0 };
    let whole = run(rights, stream, stream.len().max(1));
    let in_pieces = run(rights, stream, usize::from(piece) + 1);
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

fn run(rights: Rights, stream: &[u8], piece: usize) -> Outcome {
    let mut server = Server::new(rights, ARTICLE_BYTES_MAX);
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
        _ => drop(reply::line(503, "Not here", out)),
    }
}
