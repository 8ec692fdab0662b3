//! Passwords: where they are taken, who guesses them, where they must not turn up (RFC 4643).

use crate::house::{HERE, House, PASSWORD};
use crate::support::site::Site;
use crate::wire::{Wire, lossy};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use feedd::session::Credentials;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::fs;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

const GROUPS: &[&str] = &["misc.test"];

fn plain(name: &str, password: &str) -> String {
    STANDARD.encode(format!("\0{name}\0{password}"))
}

#[test]
fn no_password_is_taken_in_clear() {
    let house = House::with_logins("", GROUPS, |_| {});
    let mut wire = house.clear();
    wire.expect("GROUP misc.test", "483");
    wire.expect("AUTHINFO USER alice", "483");
    wire.expect(&format!("AUTHINFO PASS {PASSWORD}"), "483");
    wire.expect(&format!("AUTHINFO SASL PLAIN {}", plain("alice", PASSWORD)), "483");
    wire.expect("AUTHINFO SASL PLAIN", "483");
    let capabilities = wire.list("CAPABILITIES", "101");
    assert!(!capabilities.iter().any(|line| line.starts_with("SASL")), "{capabilities:?}");
    wire.starttls(house.trusting());
    assert!(wire.login("alice", PASSWORD).starts_with("281"));
    wire.expect("GROUP misc.test", "211");
    wire.expect("AUTHINFO USER alice", "502");

    let house = House::with_logins("clear_logins = true", GROUPS, |_| {});
    assert!(house.clear().login("alice", PASSWORD).starts_with("281"));
}

#[test]
fn no_login_behind_compression_and_none_twice() {
    let house = House::with_logins("clear_logins = true", GROUPS, |_| {});
    for mut wire in [house.clear(), house.tls()] {
        wire.compress();
        wire.expect("AUTHINFO USER alice", "502");
        wire.expect(&format!("AUTHINFO SASL PLAIN {}", plain("alice", PASSWORD)), "502");
        wire.expect("STARTTLS", "502");
        wire.expect("COMPRESS DEFLATE", "502");
        wire.expect("GROUP misc.test", "502");
    }
    // A name sent before it is of no use behind it.
    let mut wire = house.tls();
    wire.expect("AUTHINFO USER alice", "381");
    wire.compress();
    wire.expect(&format!("AUTHINFO PASS {PASSWORD}"), "502");
    // Behind the login compression is fine.
    let mut wire = house.tls();
    wire.expect(&format!("AUTHINFO SASL PLAIN {}", plain("alice", PASSWORD)), "281");
    wire.compress();
    wire.expect("GROUP misc.test", "211");
}

/// The line that answers a SASL challenge is that and nothing else, whatever it looks like.
#[test]
fn a_response_to_a_challenge_is_no_command() {
    let house = House::with_logins("", GROUPS, |_| {});
    let mut wire = house.tls();
    for (response, code) in [
        ("QUIT", "482"),
        ("*", "481"),
        ("=", "482"),
        ("", "482"),
        ("POST", "48"),
        ("AAAA", "482"),
        ("AUTHINFO USER alice", "504"),
        (&*plain("", PASSWORD), "482"),
        (&*STANDARD.encode("bob\0alice\0x"), "481"),
        (&*format!("TAKETHIS <a@b> {}", "x".repeat(5000)), "501"),
        (&*"A".repeat(4000), "482"),
        (&*STANDARD.encode([0, 0xff, 0, 0xff]), "482"),
    ] {
        wire.expect("AUTHINFO SASL PLAIN", "383 =");
        wire.expect(response, code);
        wire.expect("DATE", "111");
    }
    wire.expect("AUTHINFO SASL PLAIN", "383");
    wire.expect(&plain("alice", PASSWORD), "281");
    wire.expect("AUTHINFO SASL EXTERNAL =", "502");
}

/// A login among pipelined commands: those before it are done as nobody, those behind it as alice.
#[test]
fn a_login_takes_its_turn_among_pipelined_commands() {
    let house = House::with_logins("", GROUPS, |_| {});
    let mut wire = house.tls();
    let lines = format!(
        "GROUP misc.test\r\nAUTHINFO USER alice\r\nAUTHINFO PASS {PASSWORD}\r\nGROUP misc.test\r\nPOST\r\n\
         From: a@b.example\r\nNewsgroups: misc.test\r\nSubject: s\r\n\r\nAUTHINFO USER bob\r\n.\r\n\
         AUTHINFO USER alice\r\nQUIT\r\n"
    );
    wire.send(lines.as_bytes()).unwrap();
    let codes: Vec<String> = lossy(&wire.rest()).lines().map(|line| line[..3].to_owned()).collect();
    assert_eq!(codes, ["480", "381", "281", "211", "340", "240", "502", "205"]);
}

#[test]
fn no_password_and_no_forged_line_in_the_log() {
    let mut site = Site::init("here.example", GROUPS);
    let path = site.config();
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("clear_logins = false", "clear_logins = true")).unwrap();
    assert!(fs::read_to_string(&path).unwrap().contains("\nclear_logins = true"));
    let users = site.dir().join("users");
    let password = feedd::accounts::Password::try_from(PASSWORD.to_owned()).unwrap();
    feedd::accounts::add(&users, "alice", &[], Some(&password)).unwrap();
    site.start_with(&[("FEEDD_LOG", "trace")]);
    let mut client = site.client();
    let forged = "eve\u{2028}\u{1b}[31m\r\n2026-01-01 INFO accepted";
    let responses = [
        plain("alice", &format!("{PASSWORD}x")),
        plain(forged, PASSWORD),
        plain(&"n".repeat(2000), PASSWORD),
        plain("alice", PASSWORD),
    ];
    for (at, response) in responses.iter().enumerate() {
        client.expect(&format!("AUTHINFO SASL PLAIN {response}"), if at == 3 { "281" } else { "481" });
    }
    let mut client = site.client();
    client.expect("AUTHINFO USER alice", "381");
    client.expect(&format!("AUTHINFO PASS {PASSWORD}"), "281");
    let mut client = site.client();
    client.expect(&format!("AUTHINFO PASS {PASSWORD}"), "482");
    client.expect(&format!("AUTHINFO PASSX {PASSWORD}"), "501");
    client.expect(&format!("AUTHINFO SASL PLAIN {PASSWORD}"), "504");
    client.expect(&format!("AUTHINFO SASL LOGIN {PASSWORD}"), "503");
    client.expect("QUIT", "205");
    site.stop();
    let log = site.log();
    assert!(log.contains("login failed") && log.contains("logged in"), "{log}");
    let secrets = [PASSWORD.to_owned(), STANDARD.encode(PASSWORD), "argon2".to_owned()];
    for secret in responses.iter().chain(&secrets) {
        assert!(!log.contains(secret.as_str()), "{secret}: {log}");
    }
    assert!(!log.lines().any(|line| line.starts_with("2026-01-01")) && !log.contains('\u{1b}'), "{log}");
    assert!(log.lines().all(|line| line.len() < 1000), "{log}");
    let credentials = Credentials { name: "alice".to_owned(), password: PASSWORD.to_owned() };
    assert!(!format!("{credentials:?}").contains(PASSWORD));
}

#[test]
fn guessing_is_slowed_for_who_guesses_and_for_nobody_else() {
    let house = House::with_logins("", GROUPS, |_| {});
    let counters = house.daemon.counters();
    let guess = |wire: &mut Wire| {
        wire.send(b"AUTHINFO USER alice\r\nAUTHINFO PASS wrong\r\n").unwrap();
        assert!(wire.line().unwrap().starts_with("381"));
    };
    // Many at once: no more than mistyping allows are looked at before the others wait.
    let mut guessers: Vec<Wire> = (0..12).map(|_| house.tls()).collect();
    guessers.iter_mut().for_each(guess);
    let begun = Instant::now();
    while counters.logins_failed.load(Ordering::Relaxed) + counters.logins_slowed.load(Ordering::Relaxed) < 12
    {
        assert!(begun.elapsed() < Duration::from_secs(30), "{counters:?}");
        std::thread::yield_now();
    }
    let slowed = counters.logins_slowed.load(Ordering::Relaxed);
    assert!(slowed >= 8, "only {slowed} of 12 wait");
    // Meanwhile others come in at once, and are served.
    let begun = Instant::now();
    let mut other = house.tls_from(Ipv4Addr::new(127, 0, 0, 2));
    assert!(other.login("alice", PASSWORD).starts_with("281"));
    other.expect("GROUP misc.test", "211");
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    // What came of a guess is said in the end.
    let failed = guessers[0].line().unwrap();
    assert!(failed.starts_with("481"), "{failed}");
}

/// Who has mistyped too often waits, and is let in.
#[test]
fn the_right_password_works_in_the_end() {
    let house = House::with_logins("", GROUPS, |_| {});
    let mut wire = house.tls();
    let begun = Instant::now();
    for _ in 0..3 {
        assert!(wire.login("alice", "wrong").starts_with("481"));
    }
    assert_eq!(house.daemon.counters().logins_slowed.load(Ordering::Relaxed), 0, "the first three at once");
    let failed = Instant::now();
    assert!(wire.login("alice", PASSWORD).starts_with("281"));
    assert_eq!(house.daemon.counters().logins_slowed.load(Ordering::Relaxed), 1);
    assert!(failed.elapsed() >= Duration::from_millis(900), "{:?} since {:?}", failed.elapsed(), begun);
}

/// An unknown name takes as long as a known one, within what a machine under load tells.
#[test]
fn names_cannot_be_told_from_the_answer() {
    let house = House::with_logins("", GROUPS, |_| {});
    let mut wire = house.tls();
    let known = wire.login("alice", "wrong");
    let unknown = wire.login("nobody", "wrong");
    assert_eq!(known, unknown);
}

#[test]
fn who_goes_while_a_password_is_looked_at_leaves_nothing() {
    let house = House::with_logins("", GROUPS, |limits| limits.connections_per_account_max = 2);
    for _ in 0..6 {
        let mut wire = house.tls();
        wire.expect("AUTHINFO USER alice", "381");
        wire.send(format!("AUTHINFO PASS {PASSWORD}\r\n").as_bytes()).unwrap();
    }
    let (mut one, mut two) = (house.tls(), house.tls());
    let begun = Instant::now();
    // The places of those who have gone are free as soon as it is noticed.
    while !one.login("alice", PASSWORD).starts_with("281") || !two.login("alice", PASSWORD).starts_with("281")
    {
        (one, two) = (house.tls(), house.tls());
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
    let mut three = house.tls();
    assert!(three.login("alice", PASSWORD).starts_with("502"));
    three.expect("DATE", "111");
    drop(one);
    let begun = Instant::now();
    while !house.tls().login("alice", PASSWORD).starts_with("281") {
        assert!(begun.elapsed() < Duration::from_secs(30), "the place is not given back");
    }
}

/// An authority, and certificates that it gives out: the authority's PEM, and a client's with its key.
fn authority() -> (String, impl Fn(&str) -> (String, String)) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let pem = issuer.pem();
    let give = move |name: &str| {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    };
    (pem, give)
}

#[test]
fn a_client_certificate_logs_in_if_it_is_of_the_authority() {
    let house = House::with_logins("", GROUPS, |_| {});
    house.add_account("gate.example", &[], None);
    let (pem, give) = authority();
    fs::write(house.folder.path().join("authorities.pem"), pem).unwrap();
    let text = fs::read_to_string(house.config()).unwrap();
    let text = text.replace("[tls]\n", "[tls]\nclient_authorities = \"authorities.pem\"\n");
    fs::write(house.config(), text).unwrap();
    house.reload().unwrap();
    let connect = |shown: Option<&(String, String)>| {
        let shown = shown.map(|(certificate, key)| (certificate.as_str(), key.as_str()));
        let mut wire = Wire::connect(HERE, house.port_tls);
        wire.secure(Arc::new(house.client_with(shown, &[b"nntp"]))).unwrap();
        wire
    };
    let gate = give("gate.example");
    let mut wire = connect(Some(&gate));
    wire.greet();
    assert!(wire.greeting.starts_with("200"), "{}", wire.greeting);
    wire.expect("GROUP misc.test", "211");
    wire.expect("AUTHINFO USER alice", "502");
    // A name that has no account, and none at all: nobody yet, and a password helps.
    for shown in [Some(&give("mallory.example")), None] {
        let mut wire = connect(shown);
        wire.greet();
        wire.expect("GROUP misc.test", "480");
        assert!(wire.login("alice", PASSWORD).starts_with("281"));
    }
    // Of another authority: no connection.
    let (_, forge) = authority();
    let mut wire = Wire::connect(HERE, house.port_tls);
    let forged = forge("gate.example");
    let _ = wire.secure(Arc::new(house.client_with(Some((&forged.0, &forged.1)), &[b"nntp"])));
    assert!(wire.line().is_err());
    // By STARTTLS: the account counts from the handshake on.
    let mut wire = house.clear();
    wire.expect("GROUP misc.test", "483");
    wire.starttls(Arc::new(house.client_with(Some((&gate.0, &gate.1)), &[b"nntp"])));
    wire.expect("GROUP misc.test", "211");
}

/// Whoever logs in while the rules change gets the old ones or the new ones, and no mixture.
#[test]
fn a_login_meets_the_rules_before_a_reload_or_those_behind_it() {
    const BEFORE: &str = "accounts = [\"alice\"]\nread = \"misc.*\"\npost = \"misc.*\"\n";
    const BEHIND: &str = "accounts = [\"alice\"]\nread = \"alt.*\"\n";
    let rules = format!("clear_logins = true\n[[access.rule]]\n{BEFORE}");
    let house = House::with_logins(&rules, &["misc.test", "alt.test"], |_| {});
    let text = fs::read_to_string(house.config()).unwrap();
    let port = house.port;
    let logins: Vec<_> = (0..4)
        .map(|_| {
            thread::spawn(move || {
                for _ in 0..15 {
                    let mut wire = Wire::connect(HERE, port);
                    wire.greet();
                    let answer = wire.login("alice", PASSWORD);
                    if answer.starts_with("400") {
                        continue;
                    }
                    assert!(answer.starts_with("281"), "{answer}");
                    let _ = wire.send(b"GROUP misc.test\r\nGROUP alt.test\r\nPOST\r\n");
                    let mut codes: Vec<String> = Vec::new();
                    // Who loses a right by a reload is sent away.
                    while codes.len() < 3 && codes.last().is_none_or(|code| code != "400") {
                        codes.push(wire.line().unwrap()[..3].to_owned());
                    }
                    assert!(
                        codes == ["211", "411", "340"]
                            || codes == ["411", "211", "440"]
                            || codes.last().is_some_and(|code| code == "400"),
                        "{codes:?}"
                    );
                }
            })
        })
        .collect();
    let mut behind = false;
    while logins.iter().any(|login| !login.is_finished()) {
        behind = !behind;
        fs::write(house.config(), if behind { text.replace(BEFORE, BEHIND) } else { text.clone() }).unwrap();
        house.reload().unwrap();
    }
    for login in logins {
        login.join().unwrap();
    }
    let begun = Instant::now();
    while house.daemon.counters().connections.load(Ordering::Relaxed) > 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "a connection is left");
    }
}
