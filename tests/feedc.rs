//! The newsreader as a person and a script use it: the built binary on a real site.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use support::process::{free_port, signal, wait_until};
use support::site::{FEEDD, Site};
use tempfile::TempDir;

const FEEDC: &str = env!("CARGO_BIN_EXE_feedc");
const WITHIN: Duration = Duration::from_secs(60);

/// A reader with settings of its own, at a site.
struct Reader {
    site: Site,
    home: TempDir,
}

impl Reader {
    fn at(site: Site) -> Self {
        Self { site, home: tempfile::tempdir().unwrap() }
    }

    fn new() -> Self {
        let mut site = Site::init("a.example", &["local.test", "local.other"]);
        site.start();
        Self::at(site)
    }

    fn server(&self) -> String {
        format!("127.0.0.1:{}", self.site.port)
    }

    /// Writes `feedc.toml`.
    fn settings(&self, text: &str) {
        let folder = self.home.path().join("feedd");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("feedc.toml"), text).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(FEEDC);
        command
            .args(args)
            .env("XDG_CONFIG_HOME", self.home.path())
            .env("XDG_STATE_HOME", self.home.path().join("state"))
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC")
            .env_remove("FEEDC_SERVER")
            .env_remove("FEEDC_FROM")
            .env("NNTPSERVER", self.server())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a command with `input` on stdin: whether it succeeded, stdout, stderr.
    fn with(&self, args: &[&str], input: &[u8]) -> (bool, String, String) {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().unwrap();
        // One that refuses its arguments does not read.
        let _ = child.stdin.take().unwrap().write_all(input);
        said(&child.wait_with_output().unwrap())
    }

    /// A command that must succeed: its stdout.
    #[track_caller]
    fn good(&self, args: &[&str]) -> String {
        let (good, out, err) = self.with(args, b"");
        assert!(good, "{args:?}: {err}");
        out
    }

    /// A command that must fail: the line it says.
    #[track_caller]
    fn bad(&self, args: &[&str]) -> String {
        let (good, out, err) = self.with(args, b"text\n");
        assert!(!good && out.is_empty(), "{args:?}: {out}");
        err
    }

    /// Posts and returns the Message-ID.
    #[track_caller]
    fn post(&self, args: &[&str], body: &str) -> String {
        let (good, out, err) = self.with(&[&["post"], args].concat(), body.as_bytes());
        assert!(good, "{err}");
        out.trim_end().strip_prefix("posted ").unwrap().to_owned()
    }
}

fn said(output: &Output) -> (bool, String, String) {
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

const NEW: [&str; 6] = ["-n", "local.test", "--from", "Jürgen <j@b.example>", "--subject", "Grüße"];

#[test]
fn a_thread_is_posted_answered_read_and_found() {
    let reader = Reader::new();
    let first = reader.post(&NEW, "schöne Grüße \x1b[2J\n");
    let answer = reader.post(&["--reply", &first, "--quote", "--from", "b@b.example"], "Danke\n");
    let other = reader.post(
        &["-n", "local.test", "--from", "c@b.example", "--subject", "other, [x]"],
        &format!("{}\n", "long ".repeat(400)),
    );

    let tree = reader.good(&["overview", "local.test"]);
    let lines: Vec<&str> = tree.lines().collect();
    assert_eq!(lines.len(), 3, "{tree}");
    assert!(lines[0].contains("  Jürgen") && lines[0].contains("  Grüße  <"), "{tree}");
    assert!(lines[1].contains(&format!("└─ Re: Grüße  {answer}")), "{tree}");
    assert!(lines[2].contains(&other), "{tree}");
    let ascii = said(&reader.command(&["overview", "local.test"]).env("LC_ALL", "C").output().unwrap()).1;
    assert!(ascii.contains("`- Re: Grüße"), "{ascii}");
    let flat = reader.good(&["overview", "local.test", "2-", "--flat"]);
    assert!(flat.starts_with("number") && !flat.contains(&first) && flat.contains(&other), "{flat}");
    let rows = json(&reader.good(&["overview", "news:local.test", "--json"]));
    assert_eq!((&rows[1]["references"], &rows[1]["number"]), (&first.as_str().into(), &2.into()));

    let text = reader.good(&["read", &answer, "--text"]);
    assert!(text.contains("Newsgroups: local.test\nSubject: Re: Grüße\n"), "{text}");
    assert!(text.contains(&format!("References: {first}\n")), "{text}");
    assert!(text.contains("Jürgen wrote:\n> schöne Grüße ?[2J\n\nDanke\n"), "{text}");
    assert!(!text.contains("Path:") && !text.contains('\x1b'), "{text}");
    let raw = reader.good(&["read", "local.test", "1"]);
    assert!(raw.contains("Subject: =?UTF-8?B?R3LDvMOfZQ==?=\n") && raw.contains("\x1b[2J"), "{raw}");
    assert_eq!(reader.good(&["read", &format!("nntp://{}/local.test/1", reader.server())]), raw);
    assert_eq!(reader.good(&["read", &format!("news:{}", first.trim_matches(['<', '>']))]), raw);
    let whole = json(&reader.good(&["read", &other, "--json"]));
    assert_eq!(whole["text"].as_str().unwrap().trim_end(), "long ".repeat(400).trim_end());
    assert!(reader.good(&["read", &other]).lines().all(|line| line.len() <= 998));

    let found = |args: &[&str]| {
        let rows = json(&reader.good(&[&["search", "local.test"], args, &["--json"]].concat()));
        rows.as_array().unwrap().iter().map(|row| row["number"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(found(&["Subject", "Grüße"]), [1, 2]);
    assert_eq!(found(&["subject", "other, [x]"]), [3]);
    assert!(found(&["Subject", "OTHER"]).is_empty());
    assert_eq!(found(&["Subject", "OTHER", "-i"]), [3]);
    assert_eq!(found(&["From", "c@*"]), [3]);
    assert_eq!(found(&["References", &first]), [2]);
    assert_eq!(found(&["From", "b.example", "--last", "1"]), [3]);
    // Within an encoded-word, which the server does not see through, and not its wrapping.
    assert_eq!(found(&["From", "rgen <"]), [1]);
    assert!(found(&["From", "UTF-8"]).is_empty());

    assert_eq!(json(&reader.good(&["list", "news:local.t*", "--json"])).as_array().unwrap().len(), 1);
    assert_eq!(reader.good(&["list", "-s", &format!("news://{}/", reader.server())]).lines().count(), 3);
}

#[test]
fn followups_go_where_the_author_wants_them() {
    let reader = Reader::new();
    let header = "Newsgroups: local.test\nSubject: s\nFrom: a@b.example\n";
    let elsewhere = reader.post(&[], &format!("{header}Followup-To: local.other\n\nx\n"));
    reader.post(&["--reply", &elsewhere], "y\n");
    assert!(reader.good(&["overview", "local.other"]).contains("Re: s"));
    let by_mail = reader.post(&[], &format!("{header}Followup-To: poster\nReply-To: me@b.example\n\nx\n"));
    let refused = reader.bad(&["post", "--reply", &by_mail]);
    assert!(refused.contains("by mail, to me@b.example") && refused.contains("-n NEWSGROUP"), "{refused}");
    reader.post(&["--reply", &by_mail, "-n", "local.test"], "y\n");
}

#[test]
fn a_text_that_could_not_be_posted_is_kept() {
    let reader = Reader::new();
    let empty = reader.bad(&["post", "-n", "local.test", "--subject", "s", "/dev/null"]);
    assert!(empty.contains("empty"), "{empty}");
    let (good, _, err) = reader.with(&["post", "-n", "no.such.group", "--subject", "s"], b"precious\n");
    assert!(!good && err.contains("the server says: 441"), "{err}");
    let kept = err.trim_end().rsplit("the draft is kept in ").next().unwrap();
    assert_eq!(fs::read_to_string(kept).unwrap(), "precious\n");
    assert_eq!(fs::metadata(kept).unwrap().permissions().mode() & 0o777, 0o600);
    // The answer named a newsgroup that the server has; the file is posted as it is.
    reader.good(&["post", "-n", "local.test", "--subject", "s", kept]);
}

#[test]
fn settings_name_servers_and_who_posts() {
    let reader = Reader::new();
    let signature = reader.home.path().join("feedd/signature");
    reader.settings(&format!(
        "default = \"home\"\n[server.home]\naddress = \"{}\"\n[server.away]\naddress = \"127.0.0.1:1\"\n\
         [identity]\nfrom = \"Me <me@b.example>\"\norganization = \"Grün & Co\"\nsignature = \"signature\"\n",
        reader.server()
    ));
    fs::write(signature, "me\n").unwrap();
    let mut list = reader.command(&["list"]);
    assert!(said(&list.env_remove("NNTPSERVER").output().unwrap()).1.contains("local.test"));
    reader.post(&["-s", "home", "-n", "local.test", "--subject", "s"], "hello");
    let text = reader.good(&["read", "local.test", "1", "--text"]);
    assert!(
        text.starts_with("From: Me <me@b.example>\n") && text.contains("Organization: Grün & Co\n"),
        "{text}"
    );
    assert!(text.ends_with("\n\nhello\n-- \nme\n"), "{text}");
    let away = reader.bad(&["list", "-s", "away"]);
    assert!(away.starts_with("feedc: 127.0.0.1:1: ") && away.lines().count() == 1, "{away}");

    reader.settings("[server.home]\naddress = \"x\"\nname = \"me\"\npassword = \"secret\"\n");
    let readable = reader.bad(&["list"]);
    assert!(readable.contains("chmod 600") && !readable.contains("secret"), "{readable}");
    reader.settings("[server.home]\nadress = \"x\"\n");
    assert!(reader.bad(&["list"]).contains("feedc.toml:2: "));
}

#[test]
fn no_password_goes_out_in_clear() {
    let reader = Reader::new();
    let file = reader.home.path().join("password");
    fs::write(&file, "secret\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let refused = reader.bad(&["list", "--user", "me", "--password-file", file.to_str().unwrap()]);
    assert!(refused.contains("in clear") && refused.contains("--tls on"), "{refused}");
    assert_eq!(refused.lines().count(), 1, "{refused}");
    let no_tls = reader.bad(&["list", "--tls", "on", "--pin", &"ab".repeat(32)]);
    assert!(no_tls.contains("no TLS on that port"), "{no_tls}");
}

#[test]
fn drafts_come_from_the_editor() {
    // The editor is a shell script, and the terminal one that `script` makes.
    let reader = Reader::new();
    let first = reader.post(&NEW, "one\n");
    let editor = reader.home.path().join("editor");
    fs::write(&editor, "#!/bin/sh\ncp \"$1\" \"$0.shown\"\n[ -e \"$0.on\" ] && echo two >> \"$1\"\nexit 0\n")
        .unwrap();
    fs::set_permissions(&editor, fs::Permissions::from_mode(0o700)).unwrap();
    let Some(unchanged) = in_terminal(&reader, &editor, &first) else { return };
    assert!(unchanged.contains("nothing is posted"), "{unchanged}");
    fs::write(editor.with_extension("on"), "").unwrap();
    let posted = in_terminal(&reader, &editor, &first).unwrap();
    assert!(posted.contains("posted <"), "{posted}");
    let shown = fs::read_to_string(editor.with_extension("shown")).unwrap();
    assert!(shown.contains("Subject: Re: Grüße\n") && shown.contains("wrote:\n> one\n"), "{shown}");
    let text = reader.good(&["read", "local.test", "2", "--text"]);
    assert!(text.ends_with("> one\ntwo\n") && text.contains(&format!("References: {first}")), "{text}");
    assert_eq!(fs::read_dir(reader.home.path().join("state/feedd/drafts")).unwrap().count(), 0);
}

/// `post --reply` within a terminal; none where there is no `script` to make one.
fn in_terminal(reader: &Reader, editor: &Path, article: &str) -> Option<String> {
    let line = format!("{FEEDC} post --reply '{article}' -s {}", reader.server());
    let mut script = Command::new("script");
    script
        .args(["-qec", &line, "/dev/null"])
        .env("VISUAL", editor)
        .env("XDG_CONFIG_HOME", reader.home.path());
    script.env("XDG_STATE_HOME", reader.home.path().join("state")).stdin(Stdio::null());
    Some(said(&script.output().ok()?).1)
}

/// Lines of a running `follow`.
struct Follow {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Follow {
    fn start(reader: &Reader, args: &[&str]) -> Self {
        let mut child =
            reader.command(&[&["follow", "local.test", "--every", "1"], args].concat()).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let (say, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = say.send(line);
            }
        });
        Self { child, lines }
    }

    #[track_caller]
    fn next(&self) -> String {
        self.lines.recv_timeout(WITHIN).unwrap()
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn follow_shows_what_comes_through_an_outage_until_it_is_stopped() {
    let mut reader = Reader::new();
    let old = reader.post(&NEW, "old\n");
    let mut json_lines = Follow::start(&reader, &["--json", "--last", "1"]);
    assert_eq!(json(&json_lines.next())["id"], old.as_str());
    let plain = Follow::start(&reader, &["--last", "1"]);
    assert!(plain.next().contains("Jürgen  Grüße  <"));
    let second = reader.post(&NEW, "second\n");
    assert_eq!(json(&json_lines.next())["id"], second.as_str());

    reader.site.stop();
    let mut told = String::new();
    BufReader::new(json_lines.child.stderr.take().unwrap()).read_line(&mut told).unwrap();
    assert!(told.contains("waiting for it"), "{told}");
    reader.site.start();
    let third = reader.post(&NEW, "third\n");
    assert_eq!(json(&json_lines.next())["id"], third.as_str());

    signal(json_lines.child.id(), rustix::process::Signal::INT);
    assert!(wait_until(WITHIN, || json_lines.child.try_wait().unwrap().is_some()));
    assert!(json_lines.child.wait().unwrap().success());
}

/// A site that wants logins and has made its own certificate; its address for TLS, and a file with the
/// password of the account `me`.
fn with_login() -> (Reader, String, String) {
    let tls = format!("127.0.0.1:{}", free_port());
    let options = ["--self-signed", "--require-login", "--listen-tls", &tls];
    let mut site = Site::init_with("a.example", &["local.test"], &options);
    let mut add = Command::new(FEEDD);
    add.args(["user", "add", "me", "--password-stdin", "-c"]).arg(site.config()).stdin(Stdio::piped());
    let mut adding = add.stdout(Stdio::null()).spawn().unwrap();
    adding.stdin.take().unwrap().write_all(b"secret\n").unwrap();
    assert!(adding.wait().unwrap().success());
    site.start();
    let reader = Reader::at(site);
    let file = reader.home.path().join("password");
    fs::write(&file, "secret\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    (reader, tls, file.to_str().unwrap().to_owned())
}

#[test]
fn logins_go_over_tls_to_a_server_that_is_known() {
    let (reader, tls, password) = with_login();
    let login = ["--user", "me", "--password-file", &password];
    let certificate = reader.site.dir().join("tls/certificate.pem");
    let certificate = certificate.to_str().unwrap();
    // What to pin is told, here by the refusal of another one.
    let wrong = "ab".repeat(32);
    let refused = reader.bad(&[&["list", "-s", &tls, "--tls", "on", "--pin", &wrong], &login[..]].concat());
    let pin = refused.split_once("it shows ").unwrap().1.split(',').next().unwrap().to_owned();
    let unknown = reader.bad(&[&["list", "-s", &tls, "--tls", "on"], &login[..]].concat());
    let told = unknown.contains("its certificate is not known") && unknown.contains(&format!("--pin {pin}"));
    // Where this machine knows no authorities at all there is no handshake either.
    assert!(told || unknown.contains("no certificate authorities"), "{unknown}");
    assert_eq!(unknown.lines().count(), 1, "{unknown}");

    let clear = reader.server();
    for at in [["-s", &tls, "--tls", "on"], ["-s", &clear, "--tls", "starttls"]] {
        for known in [["--pin", &pin], ["--ca", certificate]] {
            let list = reader.good(&[&["list"], &at[..], &known, &login].concat());
            assert!(list.contains("local.test"), "{list}");
        }
        let refused = reader.bad(&[&["list"], &at[..], &["--pin", &wrong], &login].concat());
        assert!(refused.contains("not the pinned one") && refused.contains(&wrong), "{refused}");
        let nobody = reader.bad(&[&["list"], &at[..], &["--pin", &pin]].concat());
        assert!(nobody.contains("--user NAME --password-file FILE"), "{nobody}");
    }
    let in_clear = reader.bad(&[&["list"], &login[..]].concat());
    assert!(in_clear.contains("in clear") && !in_clear.contains("secret"), "{in_clear}");

    reader.settings(&format!(
        "[server.home]\naddress = \"{tls}\"\ntls = \"on\"\npin = \"{pin}\"\nname = \"me\"\n\
         password_file = \"{password}\"\n[server.command]\naddress = \"{clear}\"\ntls = \"starttls\"\n\
         pin = \"{pin}\"\nname = \"me\"\npassword_command = \"cat {password}\"\n"
    ));
    let id = reader.post(&["-s", "home", "-n", "local.test", "--subject", "s"], "hello\n");
    // Compressed, and told by a URL.
    assert!(reader.good(&["overview", &format!("nntps://{tls}/local.test")]).contains(&id));
    assert!(reader.good(&["read", &id, "-s", "command"]).ends_with("\n\nhello\n"));
    fs::write(&password, "wrong\n").unwrap();
    let failed = reader.bad(&["list", "-s", "home"]);
    assert!(failed.contains("login as \"me\" failed: 481") && !failed.contains("wrong"), "{failed}");
}
