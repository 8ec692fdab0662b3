//! The client against servers of a few lines.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::tls::Fingerprint;
use crate::tls::client::Verification;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

/// A client of a server that has said all it will ever say; what the client sent is read from the
/// other end.
fn client(said: &str) -> (Client, UnixStream) {
    let (near, mut far) = UnixStream::pair().unwrap();
    far.write_all(b"200 hello\r\n").unwrap();
    far.write_all(said.as_bytes()).unwrap();
    far.shutdown(Shutdown::Write).unwrap();
    (Client::over_unix(near).unwrap(), far)
}

fn sent(client: Client, mut far: UnixStream) -> String {
    drop(client);
    let mut text = String::new();
    far.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn articles_are_unstuffed_and_posts_stuffed() {
    let (mut client, far) =
        client("220 1 <a@b> x\r\nA: b\r\n\r\n..dot\r\n.\r\n340 go on\r\n240 Article received <c@d>\r\n");
    assert_eq!(client.article("<a@b>").unwrap(), b"A: b\r\n\r\n.dot\r\n");
    assert_eq!(client.post(b"A: b\n\n.dot").unwrap().text, "Article received <c@d>");
    assert_eq!(sent(client, far), "ARTICLE <a@b>\r\nPOST\r\nA: b\r\n\r\n..dot\r\n.\r\n");
}

#[test]
fn lists_and_overviews_are_parsed() {
    let (mut client, _far) = client(
        "215 x\r\na.b 7 3 y\r\nbad line\r\nc.d 0 1 m\r\n.\r\n215 x\r\na.b\tAll about b\r\n.\r\n\
         211 5 3 7 a.b\r\n224 x\r\n3\ts\tf\td\t<i@d>\t\t120\t4\tXref: h a.b:3\r\n.\r\n423 none\r\n",
    );
    let groups = client.list(None).unwrap();
    assert_eq!(groups.len(), 2);
    assert_eq!((groups[0].low, groups[0].high, groups[0].description.as_str()), (3, 7, "All about b"));
    assert_eq!(groups[1].status, "m");
    assert_eq!(client.group("a.b").unwrap(), (3, 7));
    let rows = client.overview("3-").unwrap();
    assert_eq!((rows[0].number, rows[0].id.as_str(), rows[0].bytes, rows[0].lines), (3, "<i@d>", 120, 4));
    assert_eq!(client.overview("8-").unwrap(), []);
}

#[test]
fn what_is_declined_or_no_nntp_is_told() {
    let (mut client, _far) = client("411 no such newsgroup\r\nHTTP/1.1 400\r\n");
    assert_eq!(client.group("x").unwrap_err().to_string(), "the server says: 411 no such newsgroup");
    assert!(matches!(client.stat("<a@b>"), Err(ClientError::Protocol(_))));
    assert!(matches!(client.stat("<a@b>"), Err(ClientError::Io(_))));
    assert!(matches!(client.command("STAT 1\r\nQUIT"), Err(ClientError::Protocol(_))));
}

/// What a scripted server does on one connection: the greeting, then for each line it is told the
/// reply. `STARTTLS` begins TLS, `COMPRESS DEFLATE` DEFLATE, behind their replies; an empty reply closes.
type Script = &'static [(&'static str, &'static str)];

const CAN_ALL: &str = "101 can\r\nVERSION 2\r\nREADER\r\nAUTHINFO USER SASL\r\nSASL PLAIN\r\n.\r\n";
const CAN_READ: &str = "101 can\r\nVERSION 2\r\nREADER\r\n.\r\n";

struct Scripted {
    address: SocketAddr,
    certificate: rustls::pki_types::CertificateDer<'static>,
    served: JoinHandle<()>,
}

impl Scripted {
    fn serve(tls: bool, connections: &'static [Script]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        let config = Arc::new(config);
        let served = std::thread::spawn(move || {
            for script in connections {
                let (tcp, _) = listener.accept().unwrap();
                converse(tcp, tls, script, &config);
            }
        });
        Self { address, certificate, served }
    }

    fn server(&self, security: Security) -> Server {
        let pin = Fingerprint::of_certificate(&self.certificate);
        let mut server = Server::from(self.address);
        (server.security, server.verification) = (security, Verification::Pins(vec![pin]));
        server
    }
}

trait Duplex: Read + Write {}
impl<T: Read + Write> Duplex for T {}

struct Halves(Input, Output);

impl Read for Halves {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(into)
    }
}

impl Write for Halves {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.1.write(octets)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.1.flush()
    }
}

fn converse(tcp: TcpStream, tls: bool, script: Script, config: &Arc<ServerConfig>) {
    let secured = |tcp: TcpStream| -> Box<dyn Duplex> {
        Box::new(StreamOwned::new(ServerConnection::new(Arc::clone(config)).unwrap(), tcp))
    };
    let under = tcp.try_clone().unwrap();
    let mut stream: BufReader<Box<dyn Duplex>> =
        BufReader::new(if tls { secured(tcp) } else { Box::new(tcp) });
    // A client that does not like us hangs up: the next connection is another.
    if stream.get_mut().write_all(b"200 hello\r\n").is_err() {
        return;
    }
    let mut script = script.iter();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).unwrap_or(0) == 0 {
            assert_eq!(script.next(), None, "the client hung up early");
            return;
        }
        let (expected, reply) = script.next().unwrap_or_else(|| panic!("unexpected {line}"));
        assert_eq!(line.trim_end(), *expected);
        if reply.is_empty() {
            return;
        }
        stream.get_mut().write_all(reply.as_bytes()).unwrap();
        stream.get_mut().flush().unwrap();
        if *expected == "STARTTLS" && reply.starts_with("382") {
            stream = BufReader::new(secured(under.try_clone().unwrap()));
        }
        if *expected == "COMPRESS DEFLATE" && reply.starts_with("206") {
            let (input, output) =
                stream::deflated(Box::new(under.try_clone().unwrap()), Box::new(under.try_clone().unwrap()));
            stream = BufReader::new(Box::new(Halves(input, output)));
        }
    }
}

#[test]
fn tls_from_the_first_octet_with_a_login() {
    let scripted = Scripted::serve(
        true,
        &[
            &[
                ("CAPABILITIES", CAN_ALL),
                ("AUTHINFO SASL PLAIN AG1lAHNlY3JldA==", "281 welcome\r\n"),
                ("GROUP a.b", "211 1 1 1 a.b\r\n"),
            ],
            &[],
        ],
    );
    let mut server = scripted.server(Security::Tls);
    server.login = Some(Login { name: "me".to_owned(), password: Password::Text("secret".to_owned()) });
    let mut client = Client::connect(&server).unwrap();
    assert_eq!(client.group("a.b").unwrap(), (1, 1));
    drop(client);

    // The authorities do not know it: the fingerprint that is told is one to pin.
    server.verification = Verification::Authorities;
    let error = Client::connect(&server).map(drop).unwrap_err().to_string();
    let key = Fingerprint::of_key(&scripted.certificate).unwrap();
    if !error.contains("knows no certificate authorities") {
        assert!(error.contains("no authority") && error.contains(&format!("--pin {key}")), "{error}");
        scripted.served.join().unwrap();
    }
}

#[test]
fn a_ca_file_is_believed_and_a_wrong_pin_is_not() {
    let scripted = Scripted::serve(true, &[&[("CAPABILITIES", CAN_READ)], &[], &[]]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    let body = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &scripted.certificate);
    std::fs::write(&file, format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"))
        .unwrap();
    let mut server = scripted.server(Security::Tls);
    server.verification = Verification::CaFile(file);
    Client::connect(&server).map(drop).unwrap();
    // Signed by itself, but this is another one's name.
    server.host = "localhost".to_owned();
    let error = Client::connect(&server).map(drop).unwrap_err().to_string();
    assert!(error.contains("for another name"), "{error}");
    server.host = "127.0.0.1".to_owned();
    let other = Fingerprint::parse(&"ab".repeat(32)).unwrap();
    server.verification = Verification::Pins(vec![other]);
    let error = Client::connect(&server).map(drop).unwrap_err().to_string();
    assert!(error.contains("not the pinned one") && error.contains(&other.to_string()), "{error}");
    scripted.served.join().unwrap();
}

#[test]
fn starttls_comes_before_the_login_and_forgets_what_was_said() {
    let scripted = Scripted::serve(
        false,
        &[
            &[
                ("CAPABILITIES", "101 can\r\nMODE-READER\r\n.\r\n"),
                ("MODE READER", "201 reader\r\n"),
                ("STARTTLS", "382 go on\r\n"),
                ("CAPABILITIES", "101 can\r\nREADER\r\nAUTHINFO USER\r\n.\r\n"),
                ("AUTHINFO USER me", "381 more\r\n"),
                ("AUTHINFO PASS secret", "281 welcome\r\n"),
            ],
            &[("CAPABILITIES", CAN_READ), ("STARTTLS", "382 go on\r\n200 injected\r\n")],
            &[("CAPABILITIES", CAN_READ), ("STARTTLS", "580 no\r\n")],
        ],
    );
    let mut server = scripted.server(Security::StartTls);
    server.login = Some(Login { name: "me".to_owned(), password: Password::Text("secret".to_owned()) });
    let client = Client::connect(&server).unwrap();
    assert!(!client.may_post());
    drop(client);
    let error = Client::connect(&server).map(drop).unwrap_err().to_string();
    assert!(error.contains("octets in clear"), "{error}");
    let error = Client::connect(&server).map(drop).unwrap_err().to_string();
    assert!(error.contains("580 no") && error.contains("--tls on"), "{error}");
    scripted.served.join().unwrap();
}

#[test]
fn no_password_goes_out_in_clear_unless_it_may() {
    let scripted = Scripted::serve(
        false,
        &[
            &[("CAPABILITIES", CAN_ALL)],
            &[
                ("CAPABILITIES", "500 what?\r\n"),
                ("MODE READER", "200 reader\r\n"),
                ("CAPABILITIES", "500 what?\r\n"),
                ("AUTHINFO USER me", "381 more\r\n"),
                ("AUTHINFO PASS secret", "481 no\r\n"),
            ],
        ],
    );
    let mut server = scripted.server(Security::Clear);
    server.login = Some(Login { name: "me".to_owned(), password: Password::Text("secret".to_owned()) });
    let error = Client::connect(&server).map(drop).unwrap_err().to_string();
    assert!(error.contains("in clear") && !error.contains("secret"), "{error}");
    server.clear_login = true;
    let error = Client::connect(&server).map(drop).unwrap_err().to_string();
    assert!(error.contains("\"me\" failed: 481 no") && !error.contains("secret"), "{error}");
    scripted.served.join().unwrap();
}

#[test]
fn a_lost_connection_and_a_480_are_mended_once() {
    let scripted = Scripted::serve(
        false,
        &[
            &[("CAPABILITIES", CAN_READ), ("GROUP a.b", "211 1 1 1 a.b\r\n"), ("HEAD 1", "")],
            &[
                ("CAPABILITIES", CAN_READ),
                ("GROUP a.b", "211 1 1 1 a.b\r\n"),
                ("HEAD 1", "480 who?\r\n"),
                ("AUTHINFO USER me", "281 ah\r\n"),
                ("HEAD 1", "221 1 <a@b>\r\nA: b\r\n.\r\n"),
            ],
        ],
    );
    let mut server = scripted.server(Security::Clear);
    server.clear_login = true;
    server.ask = Some(|_, _| Ok(("me".to_owned(), "secret".to_owned())));
    let mut client = Client::connect(&server).unwrap();
    client.group("a.b").unwrap();
    assert_eq!(client.head("1").unwrap(), b"A: b\r\n");
    drop(client);
    scripted.served.join().unwrap();
}

#[test]
fn both_halves_of_tls_move_at_once() {
    const OCTETS: usize = 8 << 20;
    let (listener, made) = (
        TcpListener::bind("127.0.0.1:0").unwrap(),
        rcgen::generate_simple_self_signed(["x".to_owned()]).unwrap(),
    );
    let pin = Fingerprint::of_certificate(made.cert.der());
    let address = listener.local_addr().unwrap();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let echo = std::thread::spawn(move || {
        let (tcp, _) = listener.accept().unwrap();
        let mut tls = StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), tcp);
        tls.write_all(b"200 hello\r\n").unwrap();
        let mut line = vec![0; 14];
        tls.read_exact(&mut line).unwrap();
        tls.write_all(CAN_READ.as_bytes()).unwrap();
        // Sent back as it comes: neither side may wait for the other to be done.
        let mut octets = vec![0; 60_000];
        let mut moved = 0;
        while moved < OCTETS {
            let count = tls.read(&mut octets).unwrap();
            tls.write_all(&octets[..count]).unwrap();
            moved += count;
        }
    });
    let mut server = Server::from(address);
    (server.security, server.verification) = (Security::Tls, Verification::Pins(vec![pin]));
    let (mut answers, mut commands) = Client::connect(&server).unwrap().into_halves();
    let writer = std::thread::spawn(move || {
        let line = [&b"222 "[..], &[b'x'; 1018], b"\r\n"].concat();
        for _ in 0..OCTETS / line.len() {
            commands.write_all(&line).unwrap();
        }
        commands.flush().unwrap();
        commands
    });
    for _ in 0..OCTETS / 1024 {
        let answer = answers.answer().unwrap();
        assert_eq!((answer.code, answer.text.len()), (Code(222), 1018));
    }
    writer.join().unwrap();
    echo.join().unwrap();
}

#[test]
fn overviews_are_compressed_and_old_servers_understood() {
    let scripted = Scripted::serve(
        false,
        &[
            &[
                ("CAPABILITIES", "101 can\r\nREADER\r\nCOMPRESS DEFLATE\r\n.\r\n"),
                ("GROUP a.b", "211 1 1 1 a.b\r\n"),
                ("COMPRESS DEFLATE", "206 on\r\n"),
                ("OVER 1-", "500 what?\r\n"),
                ("XOVER 1-", "224 x\r\n1\ts\tf\td\t<i@d>\t\t120\t4\r\n.\r\n"),
                ("HDR Xref 1", "500 what?\r\n"),
                ("XHDR Xref 1", "221 x\r\n1 h a.b:1\r\n.\r\n"),
                ("XPAT From 1- *f*", "503 no\r\n"),
                ("ARTICLE 1", ""),
            ],
            // The next connection is not compressed before it must be.
            &[
                ("CAPABILITIES", "101 can\r\nREADER\r\nCOMPRESS DEFLATE\r\nAUTHINFO\r\n.\r\n"),
                ("GROUP a.b", "211 1 1 1 a.b\r\n"),
                ("ARTICLE 1", "220 1\r\nA: b\r\n\r\n.\r\n"),
                // Somebody who may have to log in yet does not compress, though it could not log in as it is.
                ("OVER 1-", "423 none\r\n"),
            ],
        ],
    );
    let mut client = Client::connect(&Server::from(scripted.address)).unwrap();
    client.group("a.b").unwrap();
    assert_eq!(client.overview("1-").unwrap()[0].id, "<i@d>");
    assert_eq!(client.field("Xref", "1").unwrap(), [(1, "h a.b:1".to_owned())]);
    assert_eq!(client.matching("From", "1-", "*f*").unwrap(), None);
    assert_eq!(client.article("1").unwrap(), b"A: b\r\n\r\n");
    assert_eq!(client.overview("1-").unwrap(), []);
    drop(client);
    scripted.served.join().unwrap();
}

#[test]
fn an_answer_that_is_no_nntp_costs_the_connection() {
    let scripted = Scripted::serve(
        false,
        &[
            &[("CAPABILITIES", CAN_READ), ("STAT 1", "what?\r\n223 1 <a@b>\r\n")],
            &[("CAPABILITIES", CAN_READ), ("STAT 2", "430 none\r\n")],
        ],
    );
    let mut client = Client::connect(&Server::from(scripted.address)).unwrap();
    assert!(matches!(client.stat("1"), Err(ClientError::Protocol(_))));
    assert!(!client.stat("2").unwrap(), "the rest of the first answer is not taken for it");
    drop(client);
    scripted.served.join().unwrap();
}
