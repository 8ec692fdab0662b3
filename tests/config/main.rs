//! The operator's two files: the commented defaults are the built-in ones, and every mistake is named
//! with its line and its cure.
#![allow(clippy::unwrap_used)]

mod peers;

use feedd::article::PathIdentity;
use feedd::config::{
    self, Config, Dial, DialAddress, Mistake, Network, Peer, Scope, Source, Subject, TlsFiles,
};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Checks two texts as `feedd.toml` and `peers.toml` of one folder.
fn check(site: &str, peers: &str) -> Result<Config, Vec<Mistake>> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("feedd.toml");
    std::fs::write(&file, site).unwrap();
    std::fs::write(folder.path().join("peers.toml"), peers).unwrap();
    Config::read(&file)
}

/// Every mistake as `file:line: what; cure`, without the folder.
fn complaints(site: &str, peers: &str) -> Vec<String> {
    let mistakes = check(site, peers).unwrap_err();
    let bare = |mistake: &Mistake| Path::new(mistake.file.file_name().unwrap()).to_path_buf();
    mistakes.iter().map(|mistake| Mistake { file: bare(mistake), ..mistake.clone() }.to_string()).collect()
}

const SITE: &str = "identity = \"a.example\"\n";

#[test]
fn the_commented_defaults_are_the_built_in_ones() {
    let read = Config::read(Path::new("config/feedd.toml")).unwrap();
    let mut built_in = Config::built_in();
    built_in.site.data = Path::new("config").join(built_in.site.data);
    built_in.site.peers = Path::new("config").join(built_in.site.peers);
    built_in.site.users = Path::new("config").join(built_in.site.users);
    assert_eq!(read, built_in);
}

#[test]
fn the_commented_peer_has_the_built_in_defaults() {
    let text = std::fs::read_to_string("config/peers.toml").unwrap();
    let (_, block) = text.split_once("# [[peer]]").unwrap();
    let uncommented: String = block
        .lines()
        .map(|line| line.strip_prefix("# ").unwrap_or(line.trim_matches('#')).to_owned() + "\n")
        .collect();
    let shown = check(SITE, &format!("[[peer]]{uncommented}")).unwrap().peers;
    let least = check(SITE, "[[peer]]\nname = \"news.example.net\"\naddress = \"news.example.net:119\"\n")
        .unwrap()
        .peers;
    assert_eq!(shown, least);
    let identity = PathIdentity::try_from("news.example.net").unwrap();
    let address = DialAddress { host: "news.example.net".to_owned(), port: Some(119) };
    let expected = Peer {
        dial: Some(Dial::to(address)),
        accept_from: vec![Source::Host("news.example.net".to_owned())],
        ..Peer::new("news.example.net", identity)
    };
    assert_eq!(shown, [expected]);
}

#[test]
fn the_commented_rule_and_certificate_are_good() {
    let text = fs::read_to_string("config/feedd.toml").unwrap();
    let keys = [
        "[tls]",
        "certificate",
        "key",
        "client_authorities",
        "[[access.rule]]",
        "accounts",
        "networks",
        "read",
        "post",
        "connections_max",
        "article_bytes_max",
        "posts_max",
        "bytes_max",
        "period_s",
    ];
    let mut uncommented = 0;
    let lines = text.lines().map(|line| {
        let bare = line.strip_prefix("# ").unwrap_or(line);
        let key = bare.split(" = ").next().unwrap();
        if line != bare && keys.contains(&key) {
            uncommented += 1;
            return bare;
        }
        line
    });
    let text: Vec<&str> = lines.collect();
    assert_eq!(uncommented, keys.len());
    let site = check(&text.join("\n"), "").unwrap().site;
    assert!(site.tls.unwrap().client_authorities.unwrap().ends_with("tls/authorities.pem"));
    let [rule] = site.rules.as_slice() else { panic!("one rule") };
    assert_eq!(rule.accounts, [Subject::Group("staff".to_owned()), Subject::Account("alice".to_owned())]);
    assert_eq!(rule.period_s, config::RULE_PERIOD_S);
}

#[test]
fn access_and_certificates_are_taken_as_written() {
    let site = check(
        "identity = \"a.example\"\nlisten_tls = [\"0.0.0.0:563\"]\n[tls]\nkey = \"/etc/key.pem\"\n\
         [access]\nusers = \"/var/lib/users\"\nclear_logins = true\n\
         [[access.rule]]\naccounts = [\"*\"]\nnetworks = [\"192.0.2.0/24\"]\nread = \"*\"\npost = \"local.*\"\n\
         posts_max = 7\nbytes_max = \"1 MiB\"\nperiod_s = 60\nconnections_max = 3\narticle_bytes_max = 8192\n\
         [[access.rule]]\nnetworks = [\"anywhere\"]\nread = \"!*\"\n\
         [limits]\nconnections_per_address_max = 9\nconnections_per_account_max = 8\nslow_bytes_s = 0\n",
        "",
    )
    .unwrap()
    .site;
    assert_eq!(site.listen_tls, ["0.0.0.0:563".parse().unwrap()]);
    let TlsFiles { certificate, key, client_authorities } = site.tls.unwrap();
    assert!(certificate.is_absolute() && certificate.ends_with("tls/certificate.pem"));
    assert_eq!((key.as_path(), client_authorities), (Path::new("/etc/key.pem"), None));
    assert_eq!((site.users.as_path(), site.clear_logins), (Path::new("/var/lib/users"), true));
    let limits = site.limits;
    assert_eq!(
        (limits.connections_per_address_max, limits.connections_per_account_max, limits.slow_bytes_s),
        (9, 8, 0)
    );
    let [first, last] = site.rules.as_slice() else { panic!("two rules") };
    assert_eq!((first.line, last.line), (8, 18));
    assert_eq!((&first.read, first.post.to_string().as_str()), (&Scope::All, "local.*"));
    assert_eq!((first.posts_max, first.bytes_max, first.period_s), (Some(7), Some(1 << 20), 60));
    assert_eq!((first.connections_max, first.article_bytes_max), (Some(3), Some(8192)));
    assert_eq!((&last.read, &last.post, last.accounts.len()), (&Scope::Nothing, &Scope::Nothing, 0));
}

#[test]
fn mistakes_of_access_have_their_line_and_their_cure() {
    let cases = [
        ("listen_tls = [\"127.0.0.1:563\"]", 2, "\"listen_tls\" needs a certificate", "add [tls] with"),
        (
            "listen_tls = [\"127.0.0.1:1119\"]\nlisten = [\"127.0.0.1:1119\"]\n[tls]",
            2,
            "\"127.0.0.1:1119\" stands in \"listen\" as well",
            "a port of its own",
        ),
        ("[tls]\nkey = \"\"", 3, "\"key\" is empty", "write key = \"tls/key.pem\""),
        ("[tls]\ncert = \"x\"", 3, "unknown key \"cert\"", "did you mean \"certificate\"?"),
        (
            "[access]\nclear_logins = \"yes\"",
            3,
            "\"clear_logins\" is a text, not a truth value",
            "clear_logins = false",
        ),
        ("[limits]\nslow_bytes_s = -1", 3, "\"slow_bytes_s\" is -1", "from 0 to"),
        ("[access]\nrule = 1", 3, "\"rule\" is not a list of sections", "write [[access.rule]]"),
        ("[[access.rule]]\nread = \"*\"", 2, "this rule does not say whom it is about", "accounts = [\"*\"]"),
        ("[[access.rule]]\naccounts = [\"a\"]", 2, "this rule gives nothing", "read = \"!*\""),
        (
            "[[access.rule]]\naccounts = []\nread = \"*\"",
            3,
            "\"accounts\" is an empty list: this rule is about nobody",
            "name somebody",
        ),
        (
            "[[access.rule]]\naccounts = [\"a b\"]\nread = \"*\"",
            3,
            "\"a b\" is no account: it has a blank",
            "\"@\" and a group's name",
        ),
        (
            "[[access.rule]]\naccounts = [\"@\"]\nread = \"*\"",
            3,
            "\"@\" is no account: it is empty",
            "a group's name",
        ),
        (
            "[[access.rule]]\naccounts = [\"a\", \"*\"]\nread = \"*\"",
            3,
            "\"*\" is everybody who has logged in",
            "remove the others",
        ),
        (
            "[[access.rule]]\naccounts = [\"a\", \"a\"]\nread = \"*\"",
            3,
            "\"a\" stands there twice",
            "keep one",
        ),
        (
            "[[access.rule]]\nnetworks = [\"192.0.2.1/24\"]\nread = \"*\"",
            3,
            "\"192.0.2.1/24\" has bits set",
            "\"192.0.2.0/24\"",
        ),
        (
            "[[access.rule]]\naccounts = [\"a\"]\nread = \"*,@local.*\"",
            4,
            "\"read\": \"@local.*\" is for subscriptions of peers",
            "write \"!local.*\"",
        ),
        (
            "[[access.rule]]\naccounts = [\"a\"]\npost = \"local.*,*\"",
            4,
            "\"post\": the pattern \"local.*\" can never decide",
            "general pattern first",
        ),
        (
            "[[access.rule]]\naccounts = [\"a\"]\nread = \"*\"\nposts_max = 3",
            5,
            "\"posts_max\" has no effect: this rule lets nobody post",
            "add post",
        ),
        (
            "[[access.rule]]\naccounts = [\"a\"]\npost = \"*\"\nperiod_s = 60",
            5,
            "\"period_s\" has no effect: nothing is counted",
            "add posts_max",
        ),
        (
            "[[access.rule]]\naccounts = [\"a\"]\nread = \"!*\"\nconnections_max = 3",
            5,
            "\"connections_max\" has no effect: this rule shuts everybody out",
            "remove it",
        ),
        (
            "[[access.rule]]\naccounts = [\"a\"]\npost = \"*\"\narticle_bytes_max = \"1 GiB\"",
            5,
            "\"article_bytes_max\" is out of range",
            "to \"10304 KiB\"",
        ),
    ];
    for (text, line, what, cure) in cases {
        let told = complaints(&format!("{SITE}{text}\n"), "");
        assert_eq!(told.len(), 1, "{text}: {told:#?}");
        assert!(told[0].starts_with(&format!("feedd.toml:{line}: {what}")), "{}", told[0]);
        assert!(told[0].split_once("; ").unwrap().1.contains(cure), "{}", told[0]);
    }
}

#[test]
fn a_rule_that_can_never_decide_is_told() {
    // What two rules are about, and whether the second is dead text.
    for (first, second, dead) in [
        ("accounts = [\"*\"]", "accounts = [\"a\"]", true),
        ("accounts = [\"*\"]", "accounts = [\"@a\"]\nnetworks = [\"loopback\"]", true),
        ("accounts = [\"*\"]", "networks = [\"loopback\"]", false),
        ("accounts = [\"a\", \"b\"]", "accounts = [\"b\"]", true),
        ("accounts = [\"a\"]", "accounts = [\"@a\"]", false),
        ("accounts = [\"a\"]", "accounts = [\"a\", \"b\"]", false),
        ("networks = [\"anywhere\"]", "accounts = [\"a\"]", true),
        ("networks = [\"192.0.2.0/24\"]", "accounts = [\"a\"]\nnetworks = [\"192.0.2.7\"]", true),
        ("networks = [\"192.0.2.0/24\"]", "accounts = [\"a\"]", false),
        ("networks = [\"192.0.2.7\"]", "networks = [\"192.0.2.0/24\"]", false),
        ("accounts = [\"a\"]\nnetworks = [\"loopback\"]", "accounts = [\"a\"]", false),
        ("accounts = [\"a\"]\nnetworks = [\"anywhere\"]", "accounts = [\"a\"]", true),
    ] {
        let rule = |about: &str| format!("[[access.rule]]\n{about}\nread = \"*\"\n");
        let text = format!("{SITE}{}{}", rule(first), rule(second));
        match check(&text, "") {
            Ok(_) => assert!(!dead, "{text}"),
            Err(told) => {
                assert!(dead && told.len() == 1, "{text}: {told:?}");
                assert!(told[0].what.contains("can never decide: the one of line 2"), "{}", told[0]);
                assert_eq!(told[0].line, 4 + first.lines().count());
            }
        }
    }
}

#[test]
fn the_files_it_names_are_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(
        path("feedd.toml"),
        format!(
            "{SITE}[tls]\nclient_authorities = \"no\"\n[[access.rule]]\naccounts = [\"a\", \"b\", \"@g\", \"@h\"]\nread = \"*\""
        ),
    )
    .unwrap();
    fs::create_dir_all(path("tls/certificate.pem")).unwrap();
    fs::write(path("tls/key.pem"), "a key").unwrap();
    fs::set_permissions(path("tls/key.pem"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(path("users"), "a:*:g\nno account\n").unwrap();
    fs::set_permissions(path("users"), fs::Permissions::from_mode(0o640)).unwrap();
    let site = Config::read(&path("feedd.toml")).unwrap().site;
    let told: Vec<String> = site
        .check_files()
        .into_iter()
        .map(|mistake| {
            let file = mistake.file.strip_prefix(folder.path()).unwrap().to_path_buf();
            Mistake { file, ..mistake }.to_string()
        })
        .collect();
    let expected = [
        "tls/certificate.pem:1: is no file; put the certificate there",
        "tls/key.pem:1: others than its owner can read or write it; chmod 600 ",
        "no:1: cannot be read: ",
        "users:1: others than its owner can read or write it; chmod 600 ",
        "users:2: \"no account\" is no name of an account: it has a blank",
    ];
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told}\nshould begin: {expected}");
    }
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    let unknown: Vec<String> =
        site.unknown_subjects().iter().map(|(line, subject)| format!("{line} {subject}")).collect();
    assert_eq!(unknown, ["4 b", "4 @h"]);
}

#[test]
fn values_are_taken_as_written() {
    let config = check(
        "identity = \"a.example\"\nlisten = [\"0.0.0.0:119\", \"[::1]:0\"]\ndns = [\"192.0.2.53\", \"[2001:db8::53]:5353\", \"::1\"]\ndata = \"/srv/news\"\ncutoff_days = 10\n\
         [access]\nreaders = [\"anywhere\"]\nposters = []\n\
         [limits]\narticle_bytes_max = \"1 MiB\"\nidle_s = 180\nsegment_bytes = 2097152\n",
        "[[peer]]\nname = \"b\"\nidentity = [\"b.example\", \"old.b.example\"]\naddress = \"[2001:db8::7]:1119\"\n\
         send = \"comp.*,@*.binaries.*\"\n[[peer]]\nname = \"c\"\naccept_from = [\"loopback\", \"192.0.2.0/24\", \"c.example\"]\n",
    )
    .unwrap();
    assert_eq!(config.site.listen, ["0.0.0.0:119".parse().unwrap(), "[::1]:0".parse().unwrap()]);
    let dns = ["192.0.2.53:53", "[2001:db8::53]:5353", "[::1]:53"].map(|text| text.parse().unwrap());
    assert_eq!(config.site.name_servers, dns);
    assert_eq!(config.site.data, Path::new("/srv/news"));
    assert_eq!(config.site.cutoff_days, Some(10));
    assert_eq!(config.site.readers, Network::ANYWHERE);
    assert_eq!(config.site.posters, []);
    assert_eq!(config.site.limits.article_bytes_max, 1 << 20);
    assert_eq!(config.site.limits.segment_bytes, 2 << 20);
    let [b, c] = config.peers.as_slice() else { panic!("two peers") };
    assert_eq!(b.identities.len(), 2);
    assert_eq!(b.accept_from, [Source::Network(Network::host("2001:db8::7".parse().unwrap()))]);
    assert!(!b.send.newsgroups.wants(["comp.test", "alt.binaries.x"]));
    assert_eq!(c.dial, None);
    assert_eq!(c.identities[0].as_str(), "c");
    assert_eq!(c.accept_from.len(), 4);
    assert_eq!(c.accept_from[3], Source::Host("c.example".to_owned()));
}

#[test]
fn without_peers_toml_there_are_no_peers() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("feedd.toml");
    std::fs::write(&file, SITE).unwrap();
    let config = Config::read(&file).unwrap();
    assert_eq!(config.peers, []);
    assert_eq!(config.site.data, folder.path().join("data"));
}

#[test]
fn every_mistake_has_its_line_and_its_cure() {
    let site = [
        "identity = \"not an identity\"",                 // 1
        "listn = [\"127.0.0.1:1119\"]",                   // 2
        "listen = [\"127.0.0.1\", 7, \"localhost:119\"]", // 3
        "data = 5",                                       // 4
        "cutoff_days = -1",                               // 5
        "[access]",                                       // 6
        "readers = [\"192.0.2.1/24\"]",                   // 7
        "posters = \"loopback\"",                         // 8
        "[limits]",                                       // 9
        "idle_s = 60",                                    // 10
        "article_bytes_max = \"10 MegaBytes\"",           // 11
        "in_flight_bytes_max = \"1 MiB\"",                // 12
        "conections_max = 10",                            // 13
        "segment_bytes = true",                           // 14
        "crosspost_max = 99999999999999999999999",        // 15
    ];
    let peers = [
        "[[peer]]",                                  // 1
        "name = \"b\"",                              // 2
        "address = \"b.example:0\"",                 // 3
        "send = \"comp.lang.*,comp.*\"",             // 4
        "accept = \"!local.*\"",                     // 5
        "[[peer]]",                                  // 6
        "name = \"b\"",                              // 7
        "address = \"b.example:119\"",               // 8
        "identity = [\"c.example\", \"c.example\"]", // 9
        "conections = 4",                            // 10
        "[[peer]]",                                  // 11
        "name = \"d\"",                              // 12
        "[[peer]]",                                  // 13
        "address = \"e.example:119\"",               // 14
        "[[peer]]",                                  // 15
        "name = \"f g\"",                            // 16
        "accept_from = [\"10.0.0.256\"]",            // 17
        "connections = 0",                           // 18
        "[[site]]",                                  // 19
    ];
    let told = complaints(&site.join("\n"), &peers.join("\n"));
    let expected = [
        ("feedd.toml:1: \"not an identity\" is no path identity", "write this host's full domain name"),
        ("feedd.toml:2: unknown key \"listn\"", "did you mean \"listen\"?"),
        ("feedd.toml:3: \"listen\" holds something that is not a text", "write listen = ["),
        ("feedd.toml:3: \"127.0.0.1\" is no address to listen on", "write an address and a port"),
        ("feedd.toml:3: \"localhost:119\" is no address to listen on", "write an address and a port"),
        ("feedd.toml:4: \"data\" is a whole number, not a text", "write data = \"data\""),
        ("feedd.toml:5: \"cutoff_days\" is -1", "write a number from 0 to 36500"),
        ("feedd.toml:7: \"192.0.2.1/24\" has bits set behind its prefix", "write \"192.0.2.0/24\""),
        ("feedd.toml:8: \"posters\" is a text, not a list of texts", "write posters = ["),
        ("feedd.toml:10: \"idle_s\" is 60", "write a number from 180"),
        (
            "feedd.toml:11: \"10 MegaBytes\" is no size",
            "write a size such as article_bytes_max = \"10304 KiB\"",
        ),
        (
            "feedd.toml:12: \"in_flight_bytes_max\" is less than one article",
            "raise the first or lower the second",
        ),
        ("feedd.toml:13: unknown key \"conections_max\"", "did you mean \"connections_max\"?"),
        ("feedd.toml:14: \"segment_bytes\" is a truth value", "write segment_bytes = \"1 GiB\""),
        ("feedd.toml:15: \"crosspost_max\" is 99999999999999999999999", "write a number from 1 to 1000"),
        ("peers.toml:3: \"b.example:0\" is no address to dial: its port is not", "write a host with or"),
        (
            "peers.toml:4: \"send\": the pattern \"comp.lang.*\" can never decide",
            "put the general pattern first",
        ),
        ("peers.toml:5: \"accept\": the pattern \"!local.*\" excludes nothing", "such as \"*,!local.*\""),
        ("peers.toml:7: there are two peers \"b\"", "give each a name of its own"),
        ("peers.toml:9: \"c.example\" stands there twice", "keep one of them"),
        ("peers.toml:10: unknown key \"conections\"", "did you mean \"connections\"?"),
        (
            "peers.toml:11: peer \"d\" has neither \"address\" nor \"accept_from\"",
            "add address = \"HOST:PORT\"",
        ),
        ("peers.toml:13: a [[peer]] without \"name\"", "add name = "),
        ("peers.toml:16: \"f g\" is no name for a peer", "write 1 to 64 letters"),
        ("peers.toml:17: \"10.0.0.256\" is neither an address nor a network", "or a host name"),
        ("peers.toml:18: \"connections\" is 0", "write a number from 1 to 64; the default is 4"),
        (
            "peers.toml:18: \"connections\" has no effect",
            "add address = \"HOST:PORT\" or remove \"connections\"",
        ),
        ("peers.toml:19: unknown key \"site\"", "known here are: peer"),
    ];
    for (complaint, (what, cure)) in told.iter().zip(expected) {
        assert!(complaint.starts_with(what), "{complaint}\nshould begin: {what}");
        let (_, told_cure) = complaint.split_once("; ").unwrap();
        assert!(told_cure.contains(cure), "{complaint}\nshould advise: {cure}");
    }
    assert_eq!(told.len(), expected.len(), "{told:#?}");
}

#[test]
fn name_servers_are_addresses_and_few() {
    let told =
        complaints(&format!("{SITE}dns = [\"dns.example\", \"192.0.2.1:0\", \"192.0.2.1:http\"]\n"), "");
    for (complaint, text) in told.iter().zip(["dns.example", "192.0.2.1:0", "192.0.2.1:http"]) {
        assert!(complaint.starts_with(&format!("feedd.toml:2: \"{text}\" is no address of a name server")));
        assert!(complaint.contains("write an address with or without a port"), "{complaint}");
    }
    assert_eq!(told.len(), 3, "{told:?}");
    let told = complaints(&format!("{SITE}dns = [\"::1\", \"::2\", \"::3\", \"::4\"]\n"), "");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("more than 3 name servers"), "{told:?}");
}

#[test]
fn contradictions_with_the_site_are_told() {
    let told = complaints(SITE, "[[peer]]\nname = \"A.example\"\naddress = \"a.example:119\"\n");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with("peers.toml:2: \"A.example\" is the identity of this site itself; "),
        "{told:?}"
    );

    let told = complaints(SITE, "[[peer]]\nname = \"b\"\naccept_from = \"loopback\"\nsend = \"comp.*\"\n");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("peers.toml:4: \"send\" has no effect"), "{told:?}");
}

#[test]
fn what_is_no_toml_is_told_with_its_line() {
    for (text, line) in [
        ("identity = \"a.example\"\nlisten = [\"127.0.0.1:1119\"\n", 2),
        ("identity = a.example\n", 1),
        ("identity = \"a.example\"\n\nidentity = \"b.example\"\n", 3),
        ("identity = \"a.example\"\nlimits\n", 2),
        ("\n\n[access\n", 3),
    ] {
        let told = complaints(text, "");
        let prefix = format!("feedd.toml:{line}: not TOML: ");
        assert!(told.iter().any(|complaint| complaint.starts_with(&prefix)), "{text:?} gives {told:?}");
        assert!(told.iter().all(|complaint| complaint.contains("; ")), "{told:?}");
    }
}

#[test]
fn a_mistake_is_one_line_whatever_it_quotes() {
    let told = complaints("identity = \"a\\nb\\u001b[2J\"\n", "");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("feedd.toml:1: \"a\\nb\\u{1b}[2J\" is no path identity"), "{told:?}");
}

#[test]
fn a_file_that_cannot_be_read_is_a_mistake() {
    let told = Config::read(Path::new("no/such/feedd.toml")).unwrap_err();
    assert_eq!(told.len(), 1);
    assert!(told[0].to_string().starts_with("no/such/feedd.toml:1: cannot be read: "), "{}", told[0]);

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("feedd.toml");
    std::fs::write(&file, b"identity = \"a.example\"\n# caf\xe9\n").unwrap();
    let told = Config::read(&file).unwrap_err();
    assert_eq!((told[0].line, told[0].what.as_str()), (2, "not UTF-8"));
}

#[test]
fn an_identity_leaves_room_for_a_message_id() {
    let label = "a".repeat(49);
    let fits = [label.as_str(); 4].join(".");
    assert!(feedd::config::own_identity(&fits).is_ok(), "{} octets", fits.len());
    let told = complaints(&format!("identity = \"{fits}.example\""), "");
    assert!(told[0].contains("no Message-ID has room"), "{told:?}");
}
