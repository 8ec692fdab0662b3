//! The commands as an operator and a reader type them: the built binaries, on a stopped site and on a
//! running one.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use support::process::{signal, wait_until};
use support::site::{FEEDD, Site};

const FEEDC: &str = env!("CARGO_BIN_EXE_feedc");

/// What a command did: whether it succeeded, stdout, stderr.
fn run(program: &str, args: &[&str]) -> (bool, String, String) {
    said(&Command::new(program).args(args).stdin(Stdio::null()).output().unwrap())
}

fn said(output: &Output) -> (bool, String, String) {
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// An article as an old spool kept it: LF line ends, a date of long ago.
fn article(id: &str, newsgroup: &str, body: &str) -> String {
    format!(
        "Path: old.example!not-for-mail\nFrom: a@b.example\nNewsgroups: {newsgroup}\nSubject: s\n\
         Date: 5 Apr 93 12:00:00 GMT\nMessage-ID: {id}\n\n{body}\n"
    )
}

#[test]
fn init_makes_a_whole_site_and_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("site");
    let name = dir.to_str().unwrap();
    let config = format!("{name}/feedd.toml");
    let init = ["init", name, "--identity", "a.example", "--listen", "127.0.0.1:1120"];
    let groups = ["--group", "local.test", "--moderated", "local.announce"];
    let (good, out, err) = run(FEEDD, &[&init[..], &groups].concat());
    assert!(good, "{err}");
    assert!(out.contains(&format!("feedd run -c {config}")), "{out}");

    let (good, out, _) = run(FEEDD, &["check", "-c", &config]);
    assert!(good && out.contains("identity a.example") && out.contains("127.0.0.1:1120"), "{out}");
    let (_, out, _) = run(FEEDD, &["group", "list", "--json", "-c", &config]);
    let listed: Vec<_> =
        json(&out).as_array().unwrap().iter().map(|g| (g["name"].clone(), g["status"].clone())).collect();
    assert_eq!(listed, [("local.announce".into(), "m".into()), ("local.test".into(), "y".into())]);

    let before = fs::read(&config).unwrap();
    let (good, _, err) = run(FEEDD, &["init", name, "--identity", "b.example"]);
    assert!(!good && err.lines().count() == 1 && err.contains("exists already"), "{err}");
    assert_eq!(fs::read(&config).unwrap(), before);

    let bad = ["init", &format!("{name}2"), "--identity", "not an identity"];
    assert!(!run(FEEDD, &bad).0);
    assert!(!Path::new(&format!("{name}2")).exists());
}

#[test]
fn init_with_tls_and_logins_tells_true_next_steps() {
    let folder = tempfile::tempdir().unwrap();
    let init = |name: &str, args: &[&str]| {
        let dir = folder.path().join(name);
        let (good, out, err) =
            run(FEEDD, &[&["init", dir.to_str().unwrap(), "--identity", "a.example"], args].concat());
        assert!(good, "{err}");
        let config = dir.join("feedd.toml");
        (out, run(FEEDD, &["check", "-c", config.to_str().unwrap()]), dir)
    };
    let args = ["--self-signed", "--require-login", "--listen", "127.0.0.1:0", "--listen-tls", "127.0.0.1:0"];
    let (out, (good, checked, _), dir) = init("signed", &args);
    assert!(good && checked.contains("127.0.0.1:0 (STARTTLS), 127.0.0.1:0 (TLS)"), "{checked}");
    assert!(out.contains("feedd user add NAME -c ") && out.contains("tls/certificate.pem"), "{out}");
    assert!(!out.contains("put the certificate") && !out.contains("feedc"), "{out}");
    let mode = |name: &str| fs::metadata(dir.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("tls/key.pem"), mode("tls/certificate.pem") & 0o444), (0o600, 0o444));
    let text = fs::read_to_string(dir.join("feedd.toml")).unwrap();
    assert!(text.contains("\nreaders = []\nposters = []\n") && text.contains("\n[tls]\n"), "{text}");

    let (out, (good, checked, _), dir) = init("given", &["--listen-tls", "127.0.0.1:0"]);
    let missing = dir.join("tls/certificate.pem").display().to_string();
    assert!(!good && checked.starts_with(&format!("{missing}:1: cannot be read: ")), "{checked}");
    assert!(out.contains(&format!("put the certificate   into {missing}")), "{out}");
    let check = || run(FEEDD, &["check", "-c", dir.join("feedd.toml").to_str().unwrap()]);
    let [certificate, key] = ["tls/certificate.pem", "tls/key.pem"].map(|name| dir.join(name));
    let other = folder.path().join("signed");
    fs::create_dir(dir.join("tls")).unwrap();
    fs::write(&certificate, "no certificate").unwrap();
    fs::copy(other.join("tls/key.pem"), &key).unwrap();
    assert!(
        check().1.starts_with(&format!("{missing}:1: holds no certificate in PEM form; ")),
        "{:?}",
        check()
    );
    let made = feedd::tls::self_signed::make(&["a".to_owned()], feedd::clock::now()).unwrap();
    fs::write(&certificate, made.certificate).unwrap();
    assert!(check().1.contains("tls/key.pem:1: does not belong to "), "{:?}", check());
    fs::write(&key, made.key).unwrap();
    assert!(check().0, "{:?}", check());

    let (out, (good, checked, _), _) = init("plain", &["--require-login"]);
    assert!(good && !checked.contains("STARTTLS") && out.contains("let users log in"), "{out}");
}

/// Runs `feedd user` with a line on stdin.
fn user(site: &Site, args: &[&str], line: &str) -> (bool, String, String) {
    let mut feedd = Command::new(FEEDD)
        .arg("user")
        .args(args)
        .arg("-c")
        .arg(site.config())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may have ended without reading.
    let _ = feedd.stdin.take().unwrap().write_all(line.as_bytes());
    said(&feedd.wait_with_output().unwrap())
}

#[test]
fn accounts_are_kept_on_a_stopped_and_on_a_running_site() {
    use feedd::accounts::{AccountsFile, Password};
    let mut site = Site::init("a.example", &["local.test"]);
    let file = AccountsFile::new(site.dir().join("users"));
    let logs_in =
        |name: &str, text: &str| file.verify(name, &Password::try_from(text.to_owned()).unwrap()).is_some();
    for (name, running) in [("alice", false), ("böb", true)] {
        if running {
            site.start();
        }
        let add = ["add", name, "--group", "staff", "--group", "mod", "--password-stdin"];
        let (good, out, err) = user(&site, &add, "correct horse\n");
        assert!(good && out.starts_with(&format!("{name} is in ")), "{err}");
        assert!(err.contains("nobody can log in yet"), "{err}");
        assert!(logs_in(name, "correct horse") && !logs_in(name, "correct"));
        assert_eq!(file.find(name).unwrap().groups, ["staff", "mod"]);
        let (good, _, err) = user(&site, &add, "other\n");
        assert!(!good && err.contains("already; `feedd user passwd`"), "{err}");
        assert!(user(&site, &["passwd", name, "--password-stdin"], "battery").0);
        assert!(logs_in(name, "battery") && !logs_in(name, "correct horse"));
    }
    assert!(user(&site, &["add", "gate", "--no-password"], "").0);
    let listed = json(&user(&site, &["list", "--json"], "").1);
    let rows: Vec<_> =
        listed.as_array().unwrap().iter().map(|row| (&row["name"], &row["password"])).collect();
    assert_eq!(
        rows,
        [(&"alice".into(), &true.into()), (&"böb".into(), &true.into()), (&"gate".into(), &false.into())]
    );
    assert!(!listed.to_string().contains("argon2"));
    let table = user(&site, &["list"], "").1;
    assert!(table.starts_with("account") && table.contains("staff mod"), "{table}");
    assert!(user(&site, &["remove", "alice"], "").0);
    assert!(file.find("alice").is_none());

    let before = fs::read(file.path()).unwrap();
    for (args, line, why) in [
        (&["remove", "alice"][..], "", "there is no account \"alice\""),
        (&["passwd", "alice", "--password-stdin"], "x", "there is no account \"alice\""),
        (&["add", "a b", "--password-stdin"], "x", "\"a b\" is no name"),
        (&["add", "c", "--group", "@x", "--password-stdin"], "x", "\"@x\" is no name"),
        (&["add", "c", "--password-stdin"], "\n", "a password is not empty"),
        (&["add", "c", "--password-stdin"], &"x".repeat(300), "256 octets at most"),
    ] {
        let (good, _, err) = user(&site, args, line);
        assert!(!good && err.contains(why) && err.lines().count() == 1, "{args:?}: {err}");
    }
    assert_eq!(fs::read(file.path()).unwrap(), before);
    assert_eq!(fs::metadata(file.path()).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn check_tells_every_mistake_and_fails() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("feedd.toml");
    fs::write(&config, "identity = \"a.example\"\nlistn = []\n[limits]\nidle_s = 1\n").unwrap();
    fs::write(folder.path().join("peers.toml"), "[[peer]]\nname = \"b\"\n").unwrap();
    let output = Command::new(FEEDD).arg("check").arg("-c").arg(&config).output().unwrap();
    let (good, out, _) = said(&output);
    assert!(!good);
    assert_eq!(output.status.code(), Some(1));
    let places: Vec<String> = [("feedd.toml", 2), ("feedd.toml", 4), ("peers.toml", 1)]
        .map(|(file, line)| format!("{}:{line}: ", folder.path().join(file).display()))
        .to_vec();
    assert_eq!(out.lines().count(), 3, "{out}");
    for (line, place) in out.lines().zip(places) {
        assert!(line.starts_with(&place) && line.contains("; "), "{line}");
    }
    // And no other command goes on with such a config.
    assert!(!run(FEEDD, &["run", "-c", config.to_str().unwrap()]).0);
}

#[test]
fn without_a_config_there_is_a_site_of_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let feedd =
        |args: &[&str]| said(&Command::new(FEEDD).args(args).current_dir(folder.path()).output().unwrap());
    let (good, out, _) = feedd(&["check"]);
    assert!(good && out.contains("built-in defaults") && out.contains("127.0.0.1:1119"), "{out}");
    let (good, _, err) = feedd(&["peer", "add", "b", "--address", "b.example:119"]);
    assert!(!good && err.contains("feedd init"), "{err}");
    for command in [&["status"][..], &["group", "list"], &["verify"], &["rebuild"]] {
        let (good, _, err) = feedd(command);
        assert!(!good && err.contains("no site has its data here"), "{command:?}: {err}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn newsgroups_are_kept_on_a_stopped_and_on_a_running_site() {
    let mut site = Site::init("a.example", &["local.test"]);
    for running in [false, true] {
        if running {
            site.start();
        }
        let name = format!("local.new{}", u8::from(running));
        let add = |args: &[&str]| site.feedd(&["group", "add"], &[&[name.as_str()], args].concat());
        assert!(add(&["--moderated", "--description", "New here"]).contains("created"));
        assert!(add(&[]).contains("exists already"));
        assert!(add(&["--no-posting"]).contains("changed"));
        let listed = json(&site.feedd(&["group", "list", "--json"], &["local.new*"]));
        let last = listed.as_array().unwrap().last().unwrap().clone();
        assert_eq!((last["name"].as_str(), last["status"].as_str()), (Some(name.as_str()), Some("n")));
        assert_eq!(last["description"], "New here");
        let table = site.feedd(&["group", "list"], &[]);
        assert!(table.starts_with("newsgroup") && table.contains(&name), "{table}");
    }
    site.feedd(&["group", "remove"], &["local.new0"]);
    let config = site.config();
    let (good, _, err) = run(FEEDD, &["group", "remove", "local.new0", "-c", config.to_str().unwrap()]);
    assert!(!good && err.contains("there is no newsgroup local.new0"), "{err}");
    site.stop();
    let names = json(&site.feedd(&["group", "list", "--json"], &[]));
    assert_eq!(names.as_array().unwrap().len(), 2);
}

#[test]
fn a_newsgroup_takes_every_status_that_leads_somewhere() {
    let site = Site::init("a.example", &["local.test"]);
    let config = site.config();
    let refused = |act: &str, args: &[&str], why: &str| {
        let args = [&["group", act, "-c", config.to_str().unwrap()], args].concat();
        let (good, _, err) = run(FEEDD, &args);
        assert!(!good && err.contains(why), "{args:?}: {err}");
    };
    refused("add", &["a.junk", "--junk"], "needs the newsgroup junk");
    site.feedd(&["group", "add"], &["junk", "--no-posting"]);
    site.feedd(&["group", "add"], &["a.junk", "--junk"]);
    site.feedd(&["group", "add"], &["a.closed", "--closed"]);
    site.feedd(&["group", "add"], &["a.old", "--alias", "local.test", "--next-number", "4000"]);
    refused("add", &["x", "--alias", "x"], "cannot stand for itself");
    refused("add", &["x", "--alias", "no.such"], "no newsgroup no.such");
    refused("add", &["x", "--alias", "a.old"], "an alias itself");
    refused("add", &["local.test", "--alias", "a.closed"], "a.old is an alias of local.test");
    refused("add", &["junk", "--junk"], "junk itself");
    refused("add", &["a.old", "--posting", "--next-number", "3999"], "only go up");
    refused("add", &["a.old", "--next-number", "0"], "between 1 and");
    refused("remove", &["local.test"], "articles for a.old are filed in local.test");
    refused("remove", &["junk"], "articles for a.junk are filed in junk");
    let listed = json(&site.feedd(&["group", "list", "--json"], &["a.*"]));
    let listed: Vec<_> =
        listed.as_array().unwrap().iter().map(|g| (g["status"].clone(), g["low"].clone())).collect();
    assert_eq!(listed, [("x".into(), 1.into()), ("j".into(), 1.into()), ("=local.test".into(), 4000.into())]);
    site.feedd(&["group", "add"], &["a.old", "--posting"]);
    site.feedd(&["group", "remove"], &["local.test"]);
}

#[test]
fn lists_are_checked_and_taken_up_by_a_reload() {
    let mut site = Site::init("a.example", &["local.test"]);
    let lists = site.dir().join("lists");
    fs::create_dir_all(&lists).unwrap();
    fs::write(lists.join("motd"), "one\n").unwrap();
    fs::write(lists.join("moderators"), "*:%s%s@x\n").unwrap();
    let config = site.config();
    let (good, out, _) = run(FEEDD, &["check", "-c", config.to_str().unwrap()]);
    assert!(!good && out.contains("lists/moderators:1: \"%s%s@x\" is no submission template"), "{out}");
    fs::remove_file(lists.join("moderators")).unwrap();
    assert!(site.feedd(&["check"], &[]).contains("LIST gives out MOTD"));
    site.start();
    let mut before = site.client();
    fs::write(lists.join("motd"), "two\n").unwrap();
    fs::write(lists.join("subscriptions"), "local.test\n").unwrap();
    assert!(site.feedd(&["reload"], &[]).starts_with("reloaded"));
    let mut behind = site.client();
    assert_eq!(before.list("LIST MOTD", "215"), ["one"], "what a connection began with");
    before.expect("LIST SUBSCRIPTIONS", "503");
    assert_eq!(behind.list("LIST MOTD", "215"), ["two"]);
    assert_eq!(behind.list("LIST SUBSCRIPTIONS", "215"), ["local.test"]);
    site.stop();
}

#[test]
fn a_peer_is_written_behind_what_the_operator_wrote() {
    let mut site = Site::init("a.example", &["local.test"]);
    let peers = site.config().with_file_name("peers.toml");
    let mut text = fs::read_to_string(&peers).unwrap();
    text.push_str("\n  # mine, without a newline at its end");
    fs::write(&peers, &text).unwrap();
    fs::set_permissions(&peers, fs::Permissions::from_mode(0o640)).unwrap();
    site.feedd(
        &["peer", "add"],
        &["b", "--address", "127.0.0.1:9", "--identity", "b.example", "--send", "*,!local.*"],
    );
    let written = fs::read_to_string(&peers).unwrap();
    assert!(written.starts_with(&text) && written.len() > text.len());
    assert_eq!(fs::metadata(&peers).unwrap().permissions().mode() & 0o777, 0o640);

    let config = site.config();
    for wrong in [
        &["b", "--address", "127.0.0.1:9"][..],
        &["c"],
        &["c", "--address", "nowhere:0"],
        &["c d", "--address", "x:1"],
    ] {
        let args = [&["peer", "add", "-c", config.to_str().unwrap()], wrong].concat();
        let (good, _, err) = run(FEEDD, &args);
        assert!(!good && err.contains("nothing was written"), "{wrong:?}: {err}");
        assert_eq!(fs::read_to_string(&peers).unwrap(), written);
    }

    site.start();
    assert!(site.feedd(&["peer", "add"], &["c", "--accept-from", "loopback"]).contains("running site knows"));
    let listed = json(&site.feedd(&["peer", "list", "--json"], &[]));
    let names: Vec<_> = listed.as_array().unwrap().iter().map(|peer| peer["name"].clone()).collect();
    assert_eq!(names, ["b", "c"]);
    assert_eq!(listed[0]["feed"]["peer"], "b");
    assert_eq!(listed[0]["send"], "*,!local.*");
    assert!(site.feedd(&["peer", "list"], &[]).contains("(dials us)"));

    // A reload with a mistake keeps the peers that are.
    fs::write(&peers, "[[peer]]\nnome = \"x\"\n").unwrap();
    signal(site.pid(), rustix::process::Signal::HUP);
    assert!(
        wait_until(Duration::from_secs(30), || site.log().contains("peers.toml:2: unknown key")),
        "{}",
        site.log()
    );
    fs::write(&peers, &written).unwrap();
    assert!(site.feedd(&["reload"], &[]).starts_with("reloaded"));

    // Taken out again, it leaves what was there before; one that another needs stays.
    let backup = format!("{written}\n[[peer]]\nname = \"d\"\naddress = \"d.example\"\nbackup_of = \"b\"\n");
    fs::write(&peers, &backup).unwrap();
    for (name, words) in [("nobody", "no peer \"nobody\""), ("b", "nothing was written")] {
        let (good, _, err) = run(FEEDD, &["peer", "remove", "-c", config.to_str().unwrap(), name]);
        assert!(!good && err.contains(words) && err.lines().count() == 1, "{err}");
        assert_eq!(fs::read_to_string(&peers).unwrap(), backup);
    }
    assert!(site.feedd(&["peer", "remove"], &["d"]).contains("running site has let go"));
    assert!(site.feedd(&["peer", "remove"], &["b"]).contains("out of"));
    assert_eq!(fs::read_to_string(&peers).unwrap().trim_end(), text.trim_end());
    assert_eq!(json(&site.feedd(&["peer", "list", "--json"], &[])).as_array().unwrap().len(), 0);
}

#[test]
fn status_verify_and_rebuild_know_whether_the_site_runs() {
    let mut site = Site::init("a.example", &["local.test"]);
    let stopped = json(&site.feedd(&["status", "--json"], &[]));
    assert_eq!(
        (stopped["running"].as_bool(), stopped["store"]["newsgroups"].as_u64()),
        (Some(false), Some(1))
    );
    assert!(site.feedd(&["rebuild"], &[]).contains("made anew"));
    assert!(site.feedd(&["status"], &[]).contains("is stopped"));
    site.start();
    let running = json(&site.feedd(&["status", "--json"], &[]));
    assert_eq!(running["running"], true);
    assert_eq!(running["addresses"][0], format!("127.0.0.1:{}", site.port));
    assert_eq!(json(&site.feedd(&["verify", "--json"], &[]))["damage"].as_array().unwrap().len(), 0);
    let config = site.config();
    let (good, _, err) = run(FEEDD, &["rebuild", "-c", config.to_str().unwrap()]);
    assert!(!good && err.contains("stop it first"), "{err}");
    let (good, _, err) = run(FEEDD, &["run", "-c", config.to_str().unwrap()]);
    assert!(!good && err.trim_end().lines().last().unwrap().contains("another"), "{err}");
    site.stop();
    let (good, _, err) = run(FEEDD, &["reload", "-c", config.to_str().unwrap()]);
    assert!(!good && err.contains("no site runs"), "{err}");
}

/// One of everything that can be imported: each article once more in another package, and things that
/// are none.
fn packages(folder: &Path) {
    let [a, b, c] = ["<a@old.example>", "<b@old.example>", "<c@old.example>"]
        .map(|id| article(id, "old.test", "From here\n.dot"));
    fs::create_dir(folder.join("spool")).unwrap();
    fs::write(folder.join("spool/1"), &a).unwrap();
    fs::write(folder.join("spool/2"), b.replace('\n', "\r\n")).unwrap();
    fs::write(folder.join("spool/3"), "no article\n").unwrap();
    fs::write(folder.join("mbox"), format!("From a Mon\n{a}\nFrom c Tue\n{c}\n")).unwrap();
    fs::write(folder.join("batch"), format!("#! rnews {}\n{b}#! rnews {}\n{c}", b.len(), c.len())).unwrap();
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(
        fs::File::create(folder.join("articles.tgz")).unwrap(),
        flate2::Compression::fast(),
    ));
    tar.append_dir_all("spool", folder.join("spool")).unwrap();
    tar.into_inner().unwrap().finish().unwrap();
}

#[test]
fn import_takes_every_package_once_stopped_or_running() {
    for running in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        packages(folder.path());
        let paths = folder.path().to_str().unwrap();
        let mut site = Site::init("a.example", &["local.test"]);
        if running {
            site.start();
        }
        let refused = json(&site.feedd(&["import", "--json"], &[&format!("{paths}/mbox")]));
        assert_eq!(
            (refused["accepted"].as_u64(), refused["rejected"].as_u64()),
            (Some(0), Some(2)),
            "{refused}"
        );
        let totals = json(&site.feedd(&["import", "--json", "--create-groups"], &[paths]));
        assert_eq!(totals["accepted"], 3, "{totals}");
        assert_eq!(totals["duplicate"], 5, "{totals}");
        assert_eq!(totals["reasons"]["no header"], 2, "{totals}");
        let again = site.feedd(&["import", "--create-groups"], &[paths]);
        assert!(
            again.starts_with("accepted 0, duplicate 8, rejected 2\n  rejected: no header x2"),
            "{again}"
        );
        let status = json(&site.feedd(&["status", "--json"], &[]));
        assert_eq!(status["store"]["articles"], 3);
        if !running {
            site.start();
        }
        let server = format!("127.0.0.1:{}", site.port);
        let (good, text, err) = run(FEEDC, &["read", "<c@old.example>", "-s", &server]);
        assert!(good, "{err}");
        assert!(text.ends_with("\n\nFrom here\n.dot\n") && text.contains("Path: a.example!"), "{text}");
    }
}

#[test]
fn import_says_what_it_could_not_read() {
    let site = Site::init("a.example", &["local.test"]);
    let folder = tempfile::tempdir().unwrap();
    let good_file = folder.path().join("good");
    fs::write(&good_file, article("<a@old.example>", "local.test", "x")).unwrap();
    let config = site.config();
    let import = ["import", "-c", config.to_str().unwrap()];
    let (good, out, err) =
        run(FEEDD, &[&import[..], &["/no/such/file", good_file.to_str().unwrap()]].concat());
    assert!(!good && out.starts_with("accepted 1,") && err.contains("/no/such/file: "), "{out}{err}");
    let (good, _, err) = run(FEEDD, &[&import[..], &[folder.path().join("none").to_str().unwrap()]].concat());
    assert!(!good && err.contains("none: "), "{err}");
}

#[test]
fn feedc_posts_lists_and_reads() {
    let mut site = Site::init("a.example", &["local.test"]);
    site.start();
    let server = format!("127.0.0.1:{}", site.port);
    let mut post = Command::new(FEEDC)
        .args(["post", "-n", "local.test", "--subject", "Grüße", "--from", "a@b.example"])
        .env("FEEDC_SERVER", &server)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    post.stdin.take().unwrap().write_all("schöne Grüße\n.\nnicht das Ende\n".as_bytes()).unwrap();
    let (good, out, _) = said(&post.wait_with_output().unwrap());
    let id = out.trim_end().strip_prefix("posted ").unwrap().to_owned();
    assert!(good && id.starts_with('<'), "{out}");

    let (_, text, _) = run(FEEDC, &["-s", &server, "read", "local.test", "1"]);
    assert!(text.ends_with("\n\nschöne Grüße\n.\nnicht das Ende\n") && text.contains(&id), "{text}");
    assert_eq!(run(FEEDC, &["read", &id, "-s", &server]).1, text);
    let (_, rows, _) = run(FEEDC, &["overview", "local.test", "--json", "-s", &server]);
    assert_eq!(
        (json(&rows)[0]["id"].as_str(), json(&rows)[0]["number"].as_u64()),
        (Some(id.as_str()), Some(1))
    );
    let (_, groups, _) = run(FEEDC, &["list", "--json", "-s", &server]);
    assert_eq!(
        (json(&groups)[0]["high"].as_u64(), json(&groups)[0]["status"].as_str()),
        (Some(1), Some("y"))
    );
    assert!(run(FEEDC, &["overview", "local.test", "-s", &server]).1.contains(&id));

    let (good, _, err) = run(FEEDC, &["read", "local.test", "7", "-s", &server]);
    assert!(!good && err.starts_with("feedc: the server says: 423"), "{err}");
    site.stop();
    let (good, _, err) = run(FEEDC, &["list", "-s", &server]);
    assert!(!good && err.lines().count() == 1, "{err}");
}

#[test]
fn feedc_posts_a_whole_article_from_a_file() {
    let mut site = Site::init("a.example", &["local.test"]);
    site.start();
    let server = format!("127.0.0.1:{}", site.port);
    let draft =
        article("<draft@b.example>", "local.test", "edited").replace("Path: old.example!not-for-mail\n", "");
    let draft = draft.replace("Date: 5 Apr 93 12:00:00 GMT\n", "");
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), draft).unwrap();
    let (good, out, err) = run(FEEDC, &["post", file.path().to_str().unwrap(), "-s", &server]);
    assert!(good && out.contains("<draft@b.example>"), "{out}{err}");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let site = Site::init("a.example", &["local.test"]);
    let mut child = Command::new(FEEDD)
        .args(["group", "list", "-c"])
        .arg(site.config())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn the_demo_relays_along_its_line_and_cleans_up() {
    let temp = tempfile::tempdir().unwrap();
    let output = Command::new(FEEDD)
        .args(["demo", "--sites", "3", "--for", "1"])
        .env("TMPDIR", temp.path())
        .output()
        .unwrap();
    let (good, out, err) = said(&output);
    assert!(good, "{out}{err}");
    assert!(out.contains("Path: a.demo.example!.POSTED"), "{out}");
    assert!(out.contains("Path: c.demo.example!!b.demo.example!!a.demo.example!.POSTED"), "{out}");
    assert_eq!(out.matches(" ms ").count(), 3, "{out}");
    assert_eq!(out.matches("newsreader: host 127.0.0.1 port ").count(), 3, "{out}");
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
}

#[test]
fn the_demo_ends_its_sites_when_it_is_interrupted() {
    let temp = tempfile::tempdir().unwrap();
    let demo = Command::new(FEEDD)
        .args(["demo", "--sites", "2"])
        .env("TMPDIR", temp.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let sites = || fs::read_dir(temp.path()).unwrap().next().is_some();
    assert!(wait_until(Duration::from_secs(60), sites));
    signal(demo.id(), rustix::process::Signal::INT);
    let (good, out, err) = said(&demo.wait_with_output().unwrap());
    assert!(good, "{out}{err}");
    assert!(!sites());
}
