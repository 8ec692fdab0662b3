//! By key, by password, by address, and what is told to who is none of them.

use crate::sites::*;
use crate::support::articles::{message_id, relayed};
use crate::support::process::wait_until;
use crate::wire::Wire;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::fs;
use std::net::Ipv4Addr;

/// An address that stands in no `accept_from` here.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 77);

/// Brings an article: the code of the reply.
fn brings(wire: &mut Wire, number: u64) -> String {
    let id = message_id("proof", number);
    let mut octets = format!("TAKETHIS {id}\r\n").into_bytes();
    octets.extend_from_slice(&relayed(&id, NEWSGROUP, 500));
    wire.send(&octets).unwrap();
    wire.line().unwrap()[..3].to_owned()
}

fn has(wire: &mut Wire, capability: &str) -> bool {
    wire.list("CAPABILITIES", "101").iter().any(|line| line == capability)
}

#[test]
fn a_pinned_key_is_the_peer_wherever_it_comes_from_and_another_key_is_nobody() {
    let mut site = secure("here.example");
    let shown = Shown::new("away.example");
    write_peers(
        &site,
        &format!(
            "[[peer]]\nname = \"away\"\nidentity = \"away.example\"\npin = \"{}\"\n",
            shown.fingerprint()
        ),
    );
    site.start();
    // In clear nobody knows who it is.
    let mut wire = clear(&site, ELSEWHERE);
    wire.expect("CHECK <a@b.example>", "483");
    assert!(!has(&mut wire, "STREAMING") && has(&mut wire, "STARTTLS"));
    assert_eq!(brings(&mut wire, 1), "483");
    let mut wire = tls(&site, ELSEWHERE, Some(&shown));
    assert!(has(&mut wire, "STREAMING") && has(&mut wire, "IHAVE"));
    assert_eq!(brings(&mut wire, 1), "239");
    // It is the peer, not its address: who shows no key is a reader, and is not disturbed.
    let mut wire = tls(&site, ELSEWHERE, None);
    wire.expect("GROUP test.a", "211 1");
    assert!(!has(&mut wire, "STREAMING") && has(&mut wire, "READER"));
    assert_eq!(brings(&mut wire, 2), "502");
    // The same name with another key.
    let other = Shown::new("away.example");
    let mut wire = tls(&site, ELSEWHERE, Some(&other));
    assert!(!has(&mut wire, "STREAMING"));
    assert_eq!(brings(&mut wire, 2), "502");
    let line = until_logged(&site, &["WARN", &other.fingerprint(), &shown.fingerprint()]);
    assert!(line.contains("\"away\"") && line.contains("pin"), "{line}");
}

#[test]
fn another_key_is_not_believed_for_its_address() {
    let mut site = secure("here.example");
    let shown = Shown::new("away.example");
    let pin = shown.fingerprint();
    write_peers(
        &site,
        &format!(
            "[[peer]]\nname = \"away\"\nidentity = \"away.example\"\npin = \"{pin}\"\naccept_from = [\"127.0.0.9\"]\n"
        ),
    );
    site.start();
    let there = Ipv4Addr::new(127, 0, 0, 9);
    // Both are written: either is enough.
    assert_eq!(brings(&mut clear(&site, there), 1), "239");
    assert_eq!(brings(&mut tls(&site, ELSEWHERE, Some(&shown)), 2), "239");
    assert_eq!(brings(&mut tls(&site, there, Some(&Shown::new("x.example"))), 3), "502");
    until_logged(&site, &["WARN", &pin]);
}

#[test]
fn a_password_makes_a_peer_and_goes_when_its_account_goes() {
    let mut site = secure("here.example");
    add_user(&site, "away-feeds", "open sesame");
    add_user(&site, "alice", "Zr4q-Wq9u-17");
    write_peers(&site, "[[peer]]\nname = \"away\"\nidentity = \"away.example\"\naccount = \"away-feeds\"\n");
    site.start();
    let mut wire = clear(&site, HERE);
    wire.expect("CHECK <a@b.example>", "483");
    wire.expect("IHAVE <a@b.example>", "483");
    assert!(has(&mut wire, "AUTHINFO"));
    let mut wire = tls(&site, HERE, None);
    assert!(has(&mut wire, "AUTHINFO USER SASL") && !has(&mut wire, "IHAVE"));
    wire.expect("CHECK <a@b.example>", "480");
    assert_eq!(brings(&mut wire, 1), "480");
    assert!(wire.login("away-feeds", "open sesam").starts_with("481"));
    wire.expect("CHECK <a@b.example>", "480");
    assert!(wire.login("away-feeds", "open sesame").starts_with("281"));
    assert!(has(&mut wire, "IHAVE") && has(&mut wire, "STREAMING"));
    assert_eq!(brings(&mut wire, 1), "239");
    // Another account is no peer.
    let mut alice = tls(&site, HERE, None);
    assert!(alice.login("alice", "Zr4q-Wq9u-17").starts_with("281"));
    alice.expect("CHECK <a@b.example>", "502");
    site.feedd(&["user", "remove"], &["away-feeds"]);
    let said = wire.line().unwrap();
    assert!(said.starts_with("400"), "{said}");
    wire.is_closed();
    alice.expect("GROUP test.a", "211 1");
    assert!(tls(&site, HERE, None).login("away-feeds", "open sesame").starts_with("481"));
}

/// The name in a certificate that an authority has signed is an account's, and that account the peer's;
/// beside peers that are known by their keys.
#[test]
fn a_signed_certificate_makes_a_peer() {
    let mut site = secure("here.example");
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    fs::write(site.dir().join("authorities.pem"), issuer.pem()).unwrap();
    let config = fs::read_to_string(site.config()).unwrap();
    let config = config.replace("[tls]\n", "[tls]\nclient_authorities = \"authorities.pem\"\n");
    fs::write(site.config(), config).unwrap();
    add_user(&site, "away.example", "open sesame");
    let signed = |name: &str| {
        let pair = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        Shown { certificate: params.signed_by(&pair, &issuer).unwrap().pem(), key: pair.serialize_pem() }
    };
    let pinned = Shown::new("pinned.example");
    let by_account = "[[peer]]\nname = \"away\"\nidentity = \"away.example\"\naccount = \"away.example\"\n";
    let by_key = format!(
        "[[peer]]\nname = \"pinned\"\nidentity = \"pinned.example\"\npin = \"{}\"\n",
        pinned.fingerprint()
    );
    write_peers(&site, by_account);
    site.start();
    for (round, peers) in [by_account.to_owned(), format!("{by_account}{by_key}")].iter().enumerate() {
        write_peers(&site, peers);
        site.feedd(&["reload"], &[]);
        let number = u64::try_from(round).unwrap() * 10;
        assert_eq!(brings(&mut tls(&site, ELSEWHERE, Some(&signed("away.example"))), number), "239");
        // Signed, but no account's; and of the right name, but signed by itself.
        assert_eq!(brings(&mut tls(&site, ELSEWHERE, Some(&signed("other.example"))), number + 1), "480");
        if round == 1 {
            let own = Shown::new("away.example");
            assert_eq!(brings(&mut tls(&site, ELSEWHERE, Some(&own)), number + 2), "480");
            assert_eq!(brings(&mut tls(&site, ELSEWHERE, Some(&pinned)), number + 3), "239");
        }
    }
}

#[test]
fn a_peer_with_tls_is_never_taken_for_it_in_clear() {
    let mut site = secure("here.example");
    let nobody = crate::support::process::free_port();
    write_peers(
        &site,
        &format!(
            "[[peer]]\nname = \"away\"\nidentity = \"away.example\"\naddress = \"127.0.0.1:{nobody}\"\n\
             tls = \"starttls\"\naccept_from = [\"127.0.0.9\"]\n"
        ),
    );
    site.start();
    let there = Ipv4Addr::new(127, 0, 0, 9);
    let mut wire = clear(&site, there);
    wire.expect("CHECK <a@b.example>", "483");
    assert_eq!(brings(&mut wire, 1), "483");
    assert!(!has(&mut wire, "IHAVE"));
    let mut wire = tls(&site, there, None);
    assert!(has(&mut wire, "IHAVE"));
    assert_eq!(brings(&mut wire, 1), "239");
    assert_eq!(brings(&mut tls(&site, ELSEWHERE, None), 2), "502");
}

#[test]
fn readers_at_a_peers_address_are_readers_and_its_connections_are_counted() {
    let mut site = secure("here.example");
    write_peers(
        &site,
        "[[peer]]\nname = \"near\"\nidentity = \"near.example\"\naccept_from = [\"127.0.0.1\"]\nconnections_in_max = 2\n",
    );
    site.start();
    let mut readers: Vec<Wire> = (0..5).map(|_| clear(&site, HERE)).collect();
    for reader in &mut readers {
        reader.expect("GROUP test.a", "211");
    }
    assert_eq!(counter(&site, "connections_peers"), 0, "nobody has offered anything");
    let mut first = clear(&site, HERE);
    assert_eq!(brings(&mut first, 1), "239");
    let mut second = clear(&site, HERE);
    second.expect("CHECK <a@b.example>", "238");
    assert_eq!(counter(&site, "connections_peers"), 2);
    for command in ["CHECK <a@b.example>", "IHAVE <a@b.example>"] {
        let mut third = clear(&site, HERE);
        third.expect(command, "400");
        third.is_closed();
    }
    assert_eq!(brings(&mut clear(&site, HERE), 2), "400", "it is offered again later");
    until_logged(&site, &["connections_in_max", "near"]);
    assert_eq!(counter(&site, "peers_full"), 3);
    // The readers are still there, and one of them may become the peer when there is a place.
    drop(second);
    assert!(wait_until(WITHIN, || counter(&site, "connections_peers") == 1));
    for reader in &mut readers {
        reader.expect("GROUP test.a", "211");
    }
    assert_eq!(brings(&mut readers[0], 2), "239");
}
