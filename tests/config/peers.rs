//! The blocks of `peers.toml`: templates, contracts, and what contradicts itself.

use super::{SITE, check, complaints};
use feedd::article::ArticleKind;
use feedd::config::{self, ArticleOrigin, Compression, DialTls, Network, Source};
use std::path::Path;

#[test]
fn a_peer_is_what_its_block_and_its_templates_say() {
    let peers = r#"
[[template]]
name = "text"
tls = "starttls"
delay_s = 60
send = { newsgroups = "comp.*", bytes_max = "64 KiB", kinds = ["text"] }
accept = { crosspost_max = 5, hops_max = 20 }
[[template]]
name = "slow"
delay_s = 99
bytes_s_max = "100 kB"
schedule = "Mon-Fri 22:00-06:00"
[[peer]]
name = "b"
template = ["text", "slow"]
address = ["b.example:1119", "b.example"]
pin = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
send = "*,!local.*"
[peer.accept]
hops_max = 30
origin = "local"
age_days_max = 7
distributions = "*,!local"
[[peer]]
name = "c"
[peer.batch]
out = "out/c"
inbound = "/in/c"
compression = "xz"
[[peer]]
name = "d"
address = "[::1]:563"
backup_of = "b"
user = "us"
password_file = "secret"
"#;
    let peers = check(SITE, peers).unwrap().peers;
    let [b, c, d] = peers.as_slice() else { panic!("three peers") };
    assert_eq!((b.delay_s, b.bytes_s_max, b.schedule.len()), (60, Some(100_000), 1));
    assert_eq!((b.send.newsgroups.to_string().as_str(), b.send.bytes_max), ("*,!local.*", Some(65_536)));
    assert_eq!(b.send.kinds, [ArticleKind::Text]);
    assert_eq!((b.accept.crosspost_max, b.accept.hops_max), (Some(5), Some(30)));
    assert_eq!((b.accept.origin, b.accept.age_days_max), (ArticleOrigin::Local, Some(7)));
    assert_eq!(b.accept.newsgroups.to_string(), "*");
    let dial = b.dial.as_ref().unwrap();
    assert_eq!((dial.tls, dial.pins.len(), dial.addresses.len()), (DialTls::StartTls, 1, 2));
    assert_eq!(dial.pins, b.keys);
    assert_eq!(b.accept_from, [], "who has a key is not known by an address");
    let batch = c.batch.as_ref().unwrap();
    // Relative to the file.
    assert!(batch.out.as_ref().is_some_and(|out| out.is_absolute() && out.ends_with("out/c")));
    assert_eq!(batch.inbound.as_deref(), Some(Path::new("/in/c")));
    assert_eq!((batch.compression, batch.every_s), (Compression::Xz, config::BATCH_EVERY_S));
    assert_eq!(d.dial.as_ref().map(|dial| dial.tls), Some(DialTls::Implicit));
    assert_eq!(d.backup_of.as_deref(), Some("b"));
}

#[test]
fn by_default_a_peer_comes_from_where_it_is_dialled_but_not_through_a_proxy() {
    let block = "[[peer]]\nname = \"b\"\naddress = [\"b.example\", \"192.0.2.7:119\"]\n";
    let from = |more: &str| check(SITE, &format!("{block}{more}")).unwrap().peers.remove(0).accept_from;
    let expected =
        [Source::Host("b.example".to_owned()), Source::Network(Network::host("192.0.2.7".parse().unwrap()))];
    assert_eq!(from(""), expected);
    let proxy = "proxy = \"socks5://127.0.0.1:9050\"\n";
    assert_eq!(from(proxy), []);
    assert_eq!(from(&format!("{proxy}accept_from = \"b.example\"\n")), expected[..1]);
}

#[test]
fn what_contradicts_itself_in_a_peer_is_told() {
    for (block, what, cure) in [
        ("address = \"b.example\"\ntemplate = \"no\"", "no template \"no\"", "remove the key"),
        ("address = \"b.example\"\npin = \"sha256:12\"\ntls = \"implicit\"", "no fingerprint", "peer key"),
        (
            "address = \"b.example\"\npin = \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"",
            "dialled in clear",
            "add tls",
        ),
        ("address = \"b.example\"\nuser = \"u\"\npassword_file = \"f\"", "in clear", "add tls"),
        (
            "address = \"b.example\"\ntls = \"implicit\"\nuser = \"u\"",
            "without \"password_file\"",
            "add password_file",
        ),
        (
            "address = \"b.example\"\ntls = \"implicit\"\npassword_file = \"u\"",
            "without \"user\"",
            "add user",
        ),
        ("address = \"b.example\"\ntls = \"on\"", "\"tls\" is \"on\"", "\"implicit\""),
        ("address = \"b.example\"\nproxy = \"127.0.0.1:9050\"", "no proxy", "socks5://"),
        ("address = \"b.example\"\nproxy = \"socks5://127.0.0.1\"", "it has no port", "socks5://"),
        ("address = \"b.example\"\nschedule = []", "never be dialled", "remove the key"),
        ("address = \"b.example\"\nschedule = [\"soon\"]", "no time of the week", "22:00-06:00"),
        ("address = \"b.example\"\nbackup_of = \"c\"", "no peer \"c\"", "another [[peer]]"),
        ("address = \"b.example\"\nbackup_of = \"b\"", "a backup of itself", "no backup of this one"),
        (
            "address = \"b.example\"\n[peer.batch]\nout = \"x\"",
            "both \"address\" and \"batch\"",
            "remove one",
        ),
        ("[peer.batch]\nevery_s = 5", "names no folder", "add out"),
        ("[peer.batch]\nout = \"x\"\ninbound = \"x\"", "one folder", "two folders"),
        ("[peer.batch]\nout = \"x\"\ncompression = \"zip\"", "\"zip\"", "\"gzip\""),
        ("address = \"b.example\"\n[peer.send]\nkinds = []", "empty list", "remove the key"),
        ("address = \"b.example\"\n[peer.send]\nkinds = \"jpeg\"", "no kind of article", "\"yenc\""),
        ("address = \"b.example\"\n[peer.send]\norigin = \"here\"", "\"origin\" is \"here\"", "\"local\""),
        ("address = \"b.example\"\n[peer.send]\nbytes = 5", "unknown key \"bytes\"", "did you mean"),
        ("address = \"b.example\"\n[peer.send]\ndistributions = \"!local\"", "takes none", "\"*,!local\""),
        ("address = \"b.example\"\nsend = 5", "not a text", "write send"),
        ("account = \"b\"\ndelay_s = 5", "\"delay_s\" has no effect", "add address"),
        (
            "address = \"b.example\"\n[[peer]]\nname = \"b2\"\nidentity = \"b\"\naddress = \"c.example\"",
            "same path identity",
            "two addresses",
        ),
    ] {
        let told = complaints(SITE, &format!("[[peer]]\nname = \"b\"\n{block}\n"));
        assert_eq!(told.len(), 1, "{block}: {told:#?}");
        assert!(told[0].contains(what) && told[0].contains(cure), "{block}: {}", told[0]);
    }
}
